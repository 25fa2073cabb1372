// RNN, GRU and LSTM with constant f32 weights: packed once; the projections of many time steps are one product, and a
// step costs one product more (GRU without linear_before_reset: two) and a few passes over its gates.
//
// A task runs one direction of some sequences from the first step to the last: steps depend on each other, and a
// barrier after each would cost more than small cells take.
#include <algorithm>
#include <cstring>

#include "core/cpu_info.h"
#include "core/memory.h"
#include "core/rounding.h"
#include "kernels/layout.h"
#include "ops/op_kernel.h"
#include "ops/recurrent.h"

namespace quoin {
namespace {

constexpr int64_t kProjectedRows = 64;  // rows of projections in scratch at a time, at least one step of the batch
constexpr int64_t kTaskProducts = int64_t{1} << 18;  // multiplications that are worth a task of their own

// A matrix [columns][inner] in panels, in a buffer of all of them.
struct Packed {
    size_t offset = 0;
    int64_t columns = 0;
    int64_t inner = 0;

    int64_t stride() const { return panel_bytes(DType::F32, inner); }
};

class Recurrent final : public PreparedNode {
public:
    struct Direction {
        Packed input;
        Packed recurrence;             // all gates, or z and r of a GRU that resets before the product
        Packed candidate;              // h of such a GRU
        std::vector<float> bias;       // [gates * hidden], of the input and, where they just add up, of the recurrence
        std::vector<float> late_bias;  // of the recurrence, where it does not: [gates * hidden]
    };

    Recurrent(const Node& node, const KernelTable& kernels, RecurrentSettings settings)
        : name_(node.name), kernels_(kernels), settings_(std::move(settings)) {}

    Status pack(const PrepareContext& context, const Tensor& w, const Tensor& r, const Tensor* bias) {
        const int64_t hidden = r.shape()[2];
        const int64_t input = w.shape()[2];
        const int64_t rows = settings_.gates * hidden;
        const bool split = settings_.op == Op::GRU && !settings_.linear_before_reset;
        size_t total = 0;
        const auto place = [&](int64_t columns, int64_t inner) {
            const Packed packed{total, columns, inner};
            total += static_cast<size_t>(panel_count(columns) * panel_bytes(DType::F32, inner));
            total = align_up(total, Memory::kAlignment);
            return packed;
        };
        directions_.resize(static_cast<size_t>(settings_.directions));
        for (Direction& direction : directions_) {
            direction.input = place(rows, input);
            direction.recurrence = place(split ? 2 * hidden : rows, hidden);
            if (split) direction.candidate = place(hidden, hidden);
        }
        QUOIN_ASSIGN_OR_RETURN(weights_, Buffer::allocate(context.runtime.memory, total, "weights of " + name_));
        for (int64_t index = 0; index < settings_.directions; ++index) {
            Direction& direction = directions_[static_cast<size_t>(index)];
            const float* const w_rows = reinterpret_cast<const float*>(w.data()) + index * rows * input;
            const float* const r_rows = reinterpret_cast<const float*>(r.data()) + index * rows * hidden;
            pack_matrix(w_rows, direction.input);
            pack_matrix(r_rows, direction.recurrence);
            if (split) pack_matrix(r_rows + 2 * hidden * hidden, direction.candidate);
            direction.bias.assign(static_cast<size_t>(rows), 0.0F);
            direction.late_bias.assign(static_cast<size_t>(rows), 0.0F);
            if (bias == nullptr) continue;
            const float* const values = reinterpret_cast<const float*>(bias->data()) + index * 2 * rows;
            for (int64_t row = 0; row < rows; ++row) {
                const auto at = static_cast<size_t>(row);
                const bool late = settings_.linear_before_reset && settings_.op == Op::GRU && row >= 2 * hidden;
                direction.bias[at] = values[row] + (late ? 0.0F : values[rows + row]);
                direction.late_bias[at] = late ? values[rows + row] : 0.0F;
            }
        }
        return {};
    }

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const RecurrentSizes sizes = sizes_of(arguments);
        // Sequences of different lengths run one by one; equal ones together, shared out where it pays.
        int64_t rows = std::max<int64_t>(1, sizes.batch);
        const int64_t products =
            std::max<int64_t>(1, sizes.steps) * settings_.gates * sizes.hidden * (sizes.input + sizes.hidden);
        if (given(arguments, kLengths)) {
            rows = 1;
        } else if (products >= kTaskProducts / 8) {
            const int64_t parts = std::clamp<int64_t>(rows * products * sizes.directions / kTaskProducts, 1,
                                                      divide_up(threads, sizes.directions));
            rows = divide_up(rows, parts);
        }
        const int64_t blocks = divide_up(sizes.batch, rows);
        return Work{.tasks = blocks * sizes.directions,
                    .scratch_bytes = product_bytes(sizes, rows) + room_floats(sizes, rows) * int64_t{sizeof(float)},
                    .grain = {rows, blocks, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const RecurrentSizes sizes = sizes_of(arguments);
        const auto [grain, blocks, unused] = arguments.work.grain;
        const int64_t index = task / blocks;
        const int64_t first = task % blocks * grain;
        const int64_t rows = std::min(grain, sizes.batch - first);
        int64_t length = sizes.steps;
        if (given(arguments, kLengths)) {
            length = arguments.inputs[kLengths].as<int32_t>()[first];
            if (length < 0 || length > sizes.steps) {
                return error(StatusCode::InvalidArgument, "node '", name_, "': a sequence has the length ", length,
                             " of ", sizes.steps);
            }
        }
        const Direction& direction = directions_[static_cast<size_t>(index)];
        const int64_t width = settings_.gates * sizes.hidden;
        const Room room(scratch + product_bytes(sizes, grain), scratch, rows, sizes.hidden, width);
        load_state(arguments, kInitialH, sizes, index, first, rows, room.h);
        load_state(arguments, kInitialC, sizes, index, first, rows, room.c);
        const float* const peepholes = given(arguments, kPeepholes)
                                           ? arguments.inputs[kPeepholes].as<float>() + index * 3 * sizes.hidden
                                           : nullptr;
        float* const y = output(arguments, 0);
        const int64_t block = projected_steps(grain);
        const bool reversed = settings_.reversed(index);
        for (int64_t done = 0; done < length; done += block) {
            const int64_t count = std::min(block, length - done);
            const int64_t begin = reversed ? length - done - count : done;
            project(arguments, sizes, direction, begin, count, first, rows, room);
            for (int64_t each = 0; each < count; ++each) {
                const int64_t offset = reversed ? count - 1 - each : each;
                const float* const inputs = room.projected + offset * rows * width;
                switch (settings_.op) {
                    case Op::GRU: gru(direction, index, sizes.hidden, rows, inputs, room); break;
                    case Op::LSTM: lstm(direction, index, sizes.hidden, rows, inputs, peepholes, room); break;
                    default: rnn(direction, index, sizes.hidden, rows, inputs, room); break;
                }
                if (y == nullptr) continue;
                for (int64_t row = 0; row < rows; ++row) {
                    std::copy_n(room.h + row * sizes.hidden, sizes.hidden,
                                y + sizes.y(begin + offset, index, first + row));
                }
            }
        }
        for (int64_t step = length; y != nullptr && step < sizes.steps; ++step) {
            for (int64_t row = 0; row < rows; ++row) {
                std::fill_n(y + sizes.y(step, index, first + row), sizes.hidden, 0.0F);
            }
        }
        store_state(output(arguments, 1), sizes, index, first, rows, room.h);
        store_state(output(arguments, 2), sizes, index, first, rows, room.c);
        return {};
    }

    std::string label() const override { return std::string(op_info(settings_.op).name) + " linear_f32"; }

private:
    static bool given(const Arguments& arguments, size_t index) {
        return index < arguments.inputs.size() && arguments.inputs[index].dtype != DType::Undefined;
    }
    static float* output(const Arguments& arguments, size_t index) {
        return index < arguments.outputs.size() ? arguments.outputs[index].as<float>() : nullptr;
    }
    RecurrentSizes sizes_of(const Arguments& arguments) const {
        return {arguments.inputs[kX].shape, arguments.inputs[kR].shape, settings_.batch_first};
    }
    // Steps whose projections are made together, of tasks with so many sequences at most.
    static int64_t projected_steps(int64_t grain) { return std::max<int64_t>(1, kProjectedRows / grain); }

    // Scratch of a task over so many sequences, its products' first.
    struct Room {
        Room(std::byte* floats, std::byte* product_scratch, int64_t rows, int64_t hidden, int64_t width)
            : products(product_scratch),
              h(reinterpret_cast<float*>(floats)),
              c(h + rows * hidden),
              spare(c + rows * hidden),
              gates(spare + rows * hidden),
              projected(gates + rows * width) {}

        std::byte* products;  // LinearArgs::scratch
        float* h;             // [rows][hidden], like c and spare
        float* c;
        float* spare;
        float* gates;      // [rows][width]
        float* projected;  // [steps of a block][rows][width]
    };
    int64_t product_bytes(const RecurrentSizes& sizes, int64_t rows) const {
        return linear_scratch_bytes(DType::F32, std::max(rows, kProjectedRows),
                                    panel_count(settings_.gates * sizes.hidden));
    }
    int64_t room_floats(const RecurrentSizes& sizes, int64_t rows) const {
        const int64_t width = settings_.gates * sizes.hidden;
        const int64_t steps = std::clamp<int64_t>(sizes.steps, 1, projected_steps(rows));
        return rows * (3 * sizes.hidden + width) + steps * rows * width;
    }

    void pack_matrix(const float* src, const Packed& packed) const {
        const int64_t row_bytes = packed.inner * int64_t{sizeof(float)};
        for (int64_t panel = 0; panel < panel_count(packed.columns); ++panel) {
            const int64_t column = panel * kPanelColumns;
            kernels_.pack_f32(reinterpret_cast<const std::byte*>(src + column * packed.inner), row_bytes,
                              std::min(kPanelColumns, packed.columns - column), packed.inner,
                              weights_.data() + packed.offset + static_cast<size_t>(panel * packed.stride()));
        }
    }

    // dst[rows][columns] = src x matrix^T + bias + residual.
    void multiply(const Room& room, const Packed& matrix, const float* src, int64_t src_stride, int64_t rows,
                  const float* bias, const float* residual, int64_t residual_stride, float* dst,
                  int64_t dst_stride) const {
        LinearArgs args{};
        args.weights = weights_.data() + matrix.offset;
        args.panel_stride = matrix.stride();
        args.panels = panel_count(matrix.columns);
        args.columns = matrix.columns;
        args.src = reinterpret_cast<const std::byte*>(src);
        args.src_stride = src_stride * int64_t{sizeof(float)};
        args.rows = rows;
        args.inner = matrix.inner;
        args.processor = processor_traits();
        args.bias = bias;
        args.residual = residual;
        args.residual_stride = residual_stride;
        args.dst = dst;
        args.dst_stride = dst_stride;
        args.scratch = room.products;
        kernels_.linear_f32(args);
    }

    // Projections of `count` steps from `begin` on of these sequences: dst[count][rows][gates * hidden].
    void project(const Arguments& arguments, const RecurrentSizes& sizes, const Direction& direction, int64_t begin,
                 int64_t count, int64_t first, int64_t rows, const Room& room) const {
        const float* const x = arguments.inputs[kX].as<float>() + begin * sizes.x_step() + first * sizes.x_row();
        const int64_t width = direction.input.columns;
        const float* const bias = direction.bias.data();
        if (rows == 1 || count > rows) {
            for (int64_t row = 0; row < rows; ++row) {
                multiply(room, direction.input, x + row * sizes.x_row(), sizes.x_step(), count, bias, nullptr, 0,
                         room.projected + row * width, rows * width);
            }
            return;
        }
        for (int64_t step = 0; step < count; ++step) {
            multiply(room, direction.input, x + step * sizes.x_step(), sizes.x_row(), rows, bias, nullptr, 0,
                     room.projected + step * rows * width, width);
        }
    }

    static void load_state(const Arguments& arguments, size_t input, const RecurrentSizes& sizes, int64_t direction,
                           int64_t first, int64_t rows, float* state) {
        for (int64_t row = 0; row < rows; ++row) {
            float* const dst = state + row * sizes.hidden;
            if (given(arguments, input)) {
                std::copy_n(arguments.inputs[input].as<float>() + sizes.state(direction, first + row), sizes.hidden,
                            dst);
            } else {
                std::fill_n(dst, sizes.hidden, 0.0F);
            }
        }
    }
    static void store_state(float* output, const RecurrentSizes& sizes, int64_t direction, int64_t first, int64_t rows,
                            const float* state) {
        if (output == nullptr) return;
        for (int64_t row = 0; row < rows; ++row) {
            std::copy_n(state + row * sizes.hidden, sizes.hidden, output + sizes.state(direction, first + row));
        }
    }

    void activate(int64_t direction, int64_t function, float* values, int64_t count, bool clip = true) const {
        if (clip && settings_.clip > 0) {
            for (int64_t index = 0; index < count; ++index) {
                values[index] = std::clamp(values[index], -settings_.clip, settings_.clip);
            }
        }
        const GateActivation& activation = settings_.activation(direction, function);
        switch (activation.function) {
            case GateFunction::Sigmoid: kernels_.sigmoid_row(values, count, 0, 0, values); return;
            case GateFunction::Tanh: kernels_.tanh_row(values, count, 0, 0, values); return;
            case GateFunction::Relu: kernels_.relu_row(values, count, 0, 0, values); return;
            default: break;
        }
        for (int64_t index = 0; index < count; ++index) values[index] = apply(activation, values[index]);
    }

    void rnn(const Direction& direction, int64_t index, int64_t hidden, int64_t rows, const float* inputs,
             const Room& room) const {
        multiply(room, direction.recurrence, room.h, hidden, rows, nullptr, inputs, hidden, room.gates, hidden);
        activate(index, 0, room.gates, rows * hidden);
        std::copy_n(room.gates, rows * hidden, room.h);
    }

    void gru(const Direction& direction, int64_t index, int64_t hidden, int64_t rows, const float* inputs,
             const Room& room) const {
        float* const h = room.h;
        float* const gates = room.gates;
        const int64_t width = 3 * hidden;
        if (settings_.linear_before_reset) {
            multiply(room, direction.recurrence, h, hidden, rows, direction.late_bias.data(), nullptr, 0, gates, width);
            for (int64_t row = 0; row < rows; ++row) {
                float* const gate = gates + row * width;
                const float* const input = inputs + row * width;
                kernels_.add(gate, input, 2 * hidden, gate);
                activate(index, 0, gate, 2 * hidden);
                for (int64_t unit = 0; unit < hidden; ++unit) {
                    gate[2 * hidden + unit] = input[2 * hidden + unit] + gate[hidden + unit] * gate[2 * hidden + unit];
                }
            }
        } else {
            multiply(room, direction.recurrence, h, hidden, rows, nullptr, inputs, width, gates, width);
            for (int64_t row = 0; row < rows; ++row) {
                activate(index, 0, gates + row * width, 2 * hidden);
                kernels_.multiply(gates + row * width + hidden, h + row * hidden, hidden, room.spare + row * hidden);
            }
            multiply(room, direction.candidate, room.spare, hidden, rows, nullptr, inputs + 2 * hidden, width,
                     gates + 2 * hidden, width);
        }
        for (int64_t row = 0; row < rows; ++row) {
            float* const update = gates + row * width;
            float* const candidate = update + 2 * hidden;
            float* const state = h + row * hidden;
            activate(index, 1, candidate, hidden);
            for (int64_t unit = 0; unit < hidden; ++unit) {
                state[unit] = candidate[unit] + update[unit] * (state[unit] - candidate[unit]);
            }
        }
    }

    void lstm(const Direction& direction, int64_t index, int64_t hidden, int64_t rows, const float* inputs,
              const float* peepholes, const Room& room) const {
        float* const h = room.h;
        float* const gates = room.gates;
        const int64_t width = 4 * hidden;
        multiply(room, direction.recurrence, h, hidden, rows, nullptr, inputs, width, gates, width);
        for (int64_t row = 0; row < rows; ++row) {
            float* const input = gates + row * width;
            float* const output = input + hidden;
            float* const forget = output + hidden;
            float* const candidate = forget + hidden;
            float* const cell = room.c + row * hidden;
            float* const squashed = room.spare + row * hidden;
            if (peepholes != nullptr) {
                for (int64_t unit = 0; unit < hidden; ++unit) {
                    input[unit] += peepholes[unit] * cell[unit];
                    forget[unit] += peepholes[2 * hidden + unit] * cell[unit];
                }
                activate(index, 0, input, hidden);
                activate(index, 0, forget, hidden);
            } else {
                activate(index, 0, input, 3 * hidden);
            }
            activate(index, 1, candidate, hidden);
            if (settings_.input_forget) {
                for (int64_t unit = 0; unit < hidden; ++unit) forget[unit] = 1 - input[unit];
            }
            for (int64_t unit = 0; unit < hidden; ++unit) {
                cell[unit] = forget[unit] * cell[unit] + input[unit] * candidate[unit];
                squashed[unit] = cell[unit];
            }
            if (peepholes != nullptr) {
                for (int64_t unit = 0; unit < hidden; ++unit) output[unit] += peepholes[hidden + unit] * cell[unit];
                activate(index, 0, output, hidden);
            }
            activate(index, 2, squashed, hidden, false);
            kernels_.multiply(output, squashed, hidden, h + row * hidden);
        }
    }

    std::string name_;
    const KernelTable& kernels_;
    RecurrentSettings settings_;
    std::vector<Direction> directions_;
    Buffer weights_;
};

}  // namespace

Result<std::unique_ptr<PreparedNode>> prepare_recurrent(const PrepareContext& context) {
    std::unique_ptr<PreparedNode> none;
    const Constant* const w = context.constant(kW);
    const Constant* const r = context.constant(kR);
    const bool biased = context.node.input(kB) != kNoValue;
    const Constant* const bias = context.constant(kB);
    if (w == nullptr || r == nullptr || (biased && bias == nullptr) || w->dtype() != DType::F32 || w->shape()[2] == 0 ||
        r->shape()[2] == 0) {
        return none;
    }
    QUOIN_ASSIGN_OR_RETURN(RecurrentSettings settings, recurrent_settings(context.node));
    auto node = std::make_unique<Recurrent>(context.node, context.kernels(), std::move(settings));
    QUOIN_ASSIGN_OR_RETURN(const Tensor w_bytes, w->load());
    QUOIN_ASSIGN_OR_RETURN(const Tensor r_bytes, r->load());
    Tensor bias_bytes;
    if (biased) {
        QUOIN_ASSIGN_OR_RETURN(bias_bytes, bias->load());
    }
    QUOIN_RETURN_IF_ERROR(node->pack(context, w_bytes, r_bytes, biased ? &bias_bytes : nullptr));
    return std::unique_ptr<PreparedNode>(std::move(node));
}

}  // namespace quoin
