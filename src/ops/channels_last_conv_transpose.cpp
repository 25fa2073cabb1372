// ChannelsLastConvTranspose (quoin).
//
// ChannelsLastConvTranspose(x [N, spatial..., C], weight [C, OC / group, kernel...], bias [OC]?) {strides, pads,
// dilations, output_padding, group, activation...} -> [N, spatial..., OC]: ONNX ConvTranspose in f32 on another order
// of axes, then activation(sum + bias). One to three spatial axes; the weight is a constant that pack_convolutions has
// packed: for each phase (kernels/transposed.h), in the order of depth, height, width, the panels of its convolution.
// Every phase must have a tap. Where the windows of the source's positions neither overlap nor leave gaps, all phases
// are one matrix product, so the panels are those of [taps * OC / group, C].
#include <algorithm>
#include <cstring>

#include "core/rounding.h"
#include "kernels/transposed.h"
#include "ops/activation.h"
#include "ops/channels_last_conv.h"
#include "ops/convolution_problem.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

// One phase along all axes.
struct Phase {
    std::array<TransposedPhase, 3> axis;
    std::array<int64_t, 3> begin;   // its first output
    int64_t first_panel_float = 0;  // in the packed weight
    int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
    int64_t outputs() const { return axis[0].outputs * axis[1].outputs * axis[2].outputs; }
};

struct Transposed {
    SlidingWindow window;
    std::array<int64_t, 3> more{};  // output_padding
    int64_t group = 1;
    int64_t channels = 0;  // of the source, in a group
    int64_t columns = 0;   // of the result, in a group

    int64_t panels() const { return panel_count(columns); }
    int64_t phases() const { return window.step[0] * window.step[1] * window.step[2]; }
    // Every position of the source makes a block of results of its own.
    bool makes_blocks() const {
        for (size_t axis = 0; axis < window.axes; ++axis) {
            if (window.kernel[axis] != window.step[axis] || (window.kernel[axis] > 1 && window.dilation[axis] != 1) ||
                more[axis] != 0 || window.pad_begin[axis] != 0 || window.pad_end[axis] != 0) {
                return false;
            }
        }
        return true;
    }
    int64_t block_columns() const { return window.kernel[0] * window.kernel[1] * window.kernel[2] * columns; }
    // Of a group, where the positions make blocks.
    int64_t block_weight_floats() const {
        return panel_count(block_columns()) * panel_bytes(DType::F32, channels) / int64_t{sizeof(float)};
    }
    // May be negative for hostile attributes.
    int64_t output_size(size_t axis, int64_t source) const {
        return (source - 1) * window.step[axis] + more[axis] + window.extent(axis) - window.pad_begin[axis] -
               window.pad_end[axis];
    }
    int64_t inner(const Phase& phase) const { return channels * phase.taps(); }
    int64_t panel_floats(const Phase& phase) const {
        return panel_bytes(DType::F32, inner(phase)) / int64_t{sizeof(float)};
    }

    // The phases for these spatial sizes (of as many axes as the window has).
    std::vector<Phase> list(std::span<const int64_t> source, std::span<const int64_t> output) const {
        std::vector<Phase> result;
        int64_t next = 0;
        for (int64_t index = 0; index < phases(); ++index) {
            Phase phase{};
            int64_t left = index;
            for (size_t axis = 3; axis-- > 0;) {
                const size_t own = axis + window.axes - 3;  // wraps around for axes that are not there
                TransposedAxis sizes{1, 1, 1, 1, 1, 0};
                if (axis + window.axes >= 3) {
                    sizes = {source[own],      output[own],          window.kernel[own],
                             window.step[own], window.dilation[own], window.pad_begin[own]};
                }
                phase.begin[axis] = left % sizes.step;
                left /= sizes.step;
                phase.axis[axis] = transposed_phase(sizes, phase.begin[axis]);
            }
            phase.first_panel_float = next;
            next += group * panels() * panel_floats(phase);
            result.push_back(phase);
        }
        return result;
    }
};

constexpr int64_t kMostPhases = 256;
constexpr int64_t kMostTaps = 4096;

Result<Transposed> read_transposed(const Node& node, const Shape& weight) {
    const auto refuse = [&](const char* why) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': ", why);
    };
    if (weight.rank() < 3 || weight.rank() > 5) return refuse("its weight has not rank 3 to 5");
    Transposed problem;
    problem.group = node.integer("group", 1);
    if (problem.group < 1 || weight[0] < 1 || weight[1] < 1 || weight[0] % problem.group != 0) {
        return refuse("the groups do not divide the weight");
    }
    problem.channels = weight[0] / problem.group;
    problem.columns = weight[1];
    QUOIN_ASSIGN_OR_RETURN(problem.window, read_sliding_window(node, weight.rank() - 2, weight.dims().subspan(2)));
    if (problem.window.padding != SlidingWindow::Padding::Explicit) return refuse("auto_pad is not implemented");
    if (const Attribute* const attribute = node.attribute("output_padding")) {
        const auto* const list = std::get_if<std::vector<int64_t>>(attribute);
        if (list == nullptr || list->size() != problem.window.axes) return refuse("output_padding has a wrong length");
        for (size_t axis = 0; axis < list->size(); ++axis) {
            if ((*list)[axis] < 0 ||
                (*list)[axis] >= std::max(problem.window.step[axis], problem.window.dilation[axis]))
                return refuse("output_padding is out of range");
            problem.more[axis] = (*list)[axis];
        }
    }
    const auto& window = problem.window;
    for (size_t axis = 0; axis < 3; ++axis) {
        if (window.step[axis] > kMostPhases || window.kernel[axis] > kMostTaps)
            return refuse("the steps are too large");
    }
    if (problem.phases() > kMostPhases) return refuse("the steps are too large");
    const std::array<int64_t, 3> ones{1, 1, 1};
    for (const Phase& phase : problem.list(ones, ones)) {
        if (phase.taps() == 0) return refuse("some results have no tap");
    }
    return problem;
}

Status infer_transposed(InferContext& context) {
    for (size_t input = 0; input < context.input_count(); ++input) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(input, {DType::F32}));
    }
    const std::optional<Shape> weight = known_shape(context.input(1));
    if (!weight) return context.fail("the weight is no constant");
    QUOIN_ASSIGN_OR_RETURN(const Transposed problem, read_transposed(context.node(), *weight));
    QUOIN_ASSIGN_OR_RETURN(const Activation activation, read_activation(context.node()));
    if (activation.kind == ActivationKind::PRelu) return context.fail("it has no slopes for PRelu");
    QUOIN_RETURN_IF_ERROR(expect_vector(context, 2, problem.columns * problem.group, "bias"));
    const auto& x = context.input(0).dims;
    if (!x) {
        context.set_output(0, DType::F32, std::nullopt);
        return {};
    }
    if (x->size() != weight->rank() || (x->back().known() && x->back().size != (*weight)[0])) {
        return context.fail("the input does not fit the weight");
    }
    std::vector<Dim> dims(x->size());
    dims.front() = x->front();
    dims.back() = {.size = problem.columns * problem.group};
    for (size_t axis = 0; axis < problem.window.axes; ++axis) {
        const Dim& source = (*x)[axis + 1];
        if (!source.known()) continue;
        if (source.size > (int64_t{1} << 30)) return context.fail("an axis of ", source.size, " values");
        const int64_t size = source.size == 0 ? 0 : problem.output_size(axis, source.size);
        if (size < 0) return context.fail("nothing is left of spatial axis ", axis);
        dims[axis + 1] = {.size = size};
    }
    context.set_output(0, DType::F32, std::move(dims));
    return {};
}

std::span<const int64_t> spatial(const Shape& shape) {
    return shape.dims().subspan(1, shape.rank() - 2);
}

// Tasks are (phase, image, group, block of positions); grain: positions of a block, blocks of the largest phase.
class ConvTranspose final : public PreparedNode {
public:
    ConvTranspose(const Transposed& problem, const Activation& activation, const KernelTable& kernels, Isa isa)
        : problem_(problem), activation_(activation), kernel_(kernels.convolution_f32), isa_(isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        int64_t positions = 1;
        int64_t inner = 1;
        int64_t floats = 0;
        for (const Phase& phase : problem_.list(spatial(src.shape), spatial(dst.shape))) {
            positions = std::max(positions, phase.outputs());
            inner = std::max(inner, problem_.inner(phase));
            floats = std::max(floats, convolution_scratch_floats(problem_.inner(phase), problem_.columns));
        }
        const int64_t units = problem_.phases() * std::max<int64_t>(dst.shape[0], 1) * problem_.group;
        const int64_t wanted = divide_up(2 * int64_t{threads}, units);
        int64_t block = convolution_block_rows(inner, problem_.columns);
        if (threads > 1) block = std::min(block, align_up(divide_up(positions, wanted), 12));
        Work work{.scratch_bytes = floats * int64_t{sizeof(float)}};
        work.grain = {block, divide_up(positions, block), 1};
        work.tasks = dst.elements() == 0 ? 0 : units * work.grain[1];
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const auto [block, blocks, unused] = arguments.work.grain;
        const int64_t images = dst.shape[0];
        const int64_t group = task / blocks % problem_.group;
        const int64_t image = task / blocks / problem_.group % images;
        const Phase phase = phase_at(src.shape, dst.shape, task / blocks / problem_.group / images);
        const int64_t first = task % blocks * block;
        if (first >= phase.outputs()) return {};
        const std::array<int64_t, 3> src_stride = position_strides(src.shape);
        const std::array<int64_t, 3> dst_stride = position_strides(dst.shape);
        ConvolutionArgs args{};
        float* target = dst.as<float>() + image * positions_of(dst.shape) * dst.columns();
        for (size_t axis = 0; axis < 3; ++axis) {
            const bool there = axis + problem_.window.axes >= 3;
            const int64_t step = there ? problem_.window.step[axis + problem_.window.axes - 3] : 1;
            args.window.source[axis] = there ? src.shape[axis + problem_.window.axes - 2] : 1;
            args.window.source_stride[axis] = src_stride[axis];
            args.window.output[axis] = phase.axis[axis].outputs;
            args.window.kernel[axis] = phase.axis[axis].taps;
            args.window.step[axis] = 1;
            args.window.dilation[axis] = phase.axis[axis].dilation;
            args.window.pad[axis] = phase.axis[axis].pad;
            args.dst_stride[axis] = dst_stride[axis] * step;
            target += phase.begin[axis] * dst_stride[axis];
        }
        const int64_t column = group * problem_.columns;
        args.channels = problem_.channels;
        args.src = src.as<float>() + image * positions_of(src.shape) * src.columns() + group * problem_.channels;
        args.panel_stride = problem_.panel_floats(phase);
        args.weights =
            arguments.inputs[1].as<float>() + phase.first_panel_float + group * problem_.panels() * args.panel_stride;
        args.columns = problem_.columns;
        args.epilogue.activation = activation_;
        if (arguments.inputs.size() > 2 && arguments.inputs[2].data != nullptr) {
            args.epilogue.bias = arguments.inputs[2].as<float>() + column;
        }
        args.dst = target + column;
        args.first = first;
        args.count = std::min(block, phase.outputs() - first);
        args.scratch = reinterpret_cast<float*>(scratch);
        kernel_(args);
        return {};
    }

    std::string label() const override {
        return "convolution_f32 [" + std::string(isa_name(kernel_isa(Kernel::convolution_f32, isa_))) + "]";
    }

private:
    // Without a list of all of them: nothing is allocated while a program runs.
    Phase phase_at(const Shape& src, const Shape& dst, int64_t index) const {
        Phase result{};
        int64_t next = 0;
        for (int64_t each = 0; each <= index; ++each) {
            int64_t left = each;
            for (size_t axis = 3; axis-- > 0;) {
                TransposedAxis sizes{1, 1, 1, 1, 1, 0};
                if (axis + problem_.window.axes >= 3) {
                    const size_t own = axis + problem_.window.axes - 3;
                    sizes = {src[own + 1],
                             dst[own + 1],
                             problem_.window.kernel[own],
                             problem_.window.step[own],
                             problem_.window.dilation[own],
                             problem_.window.pad_begin[own]};
                }
                result.begin[axis] = left % sizes.step;
                left /= sizes.step;
                result.axis[axis] = transposed_phase(sizes, result.begin[axis]);
            }
            result.first_panel_float = next;
            next += problem_.group * problem_.panels() * problem_.panel_floats(result);
        }
        return result;
    }

    Transposed problem_;
    Activation activation_;
    decltype(KernelTable::convolution_f32) kernel_;
    Isa isa_;
};

// A row of 32 columns at a time is slow where rows are short; these are applied to the whole result of a task.
decltype(KernelTable::sigmoid_row) row_kernel(const KernelTable& kernels, ActivationKind kind) {
    switch (kind) {
        case ActivationKind::Sigmoid: return kernels.sigmoid_row;
        case ActivationKind::Tanh: return kernels.tanh_row;
        default: return nullptr;
    }
}

// Tasks are (image, group, run of positions of the source); grain: positions of a run, runs.
class BlockTranspose final : public PreparedNode {
public:
    BlockTranspose(const Transposed& problem, const Activation& activation, const KernelTable& kernels, Isa isa)
        : problem_(problem),
          activation_(activation),
          kernel_(kernels.convolution_f32),
          activate_(row_kernel(kernels, activation.kind)),
          isa_(isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const Shape& src = arguments.inputs[0].shape;
        const int64_t columns = problem_.block_columns();
        const int64_t positions = positions_of(src);
        const int64_t units = std::max<int64_t>(src[0], 1) * problem_.group;
        int64_t run = convolution_block_rows(problem_.channels, columns);
        if (threads > 1) run = std::min(run, align_up(divide_up(positions, divide_up(2 * threads, units)), 12));
        run = std::max<int64_t>(run, 12);
        Work work;
        work.grain = {run, divide_up(positions, run), 1};
        work.tasks = arguments.outputs[0].elements() == 0 ? 0 : src[0] * problem_.group * work.grain[1];
        work.scratch_bytes =
            (convolution_scratch_floats(problem_.channels, columns) + (run + 1) * columns) * int64_t{sizeof(float)};
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const auto [run, runs, unused] = arguments.work.grain;
        const int64_t positions = positions_of(src.shape);
        const int64_t columns = problem_.block_columns();
        const int64_t group = task / runs % problem_.group;
        const int64_t image = task / runs / problem_.group;
        const int64_t first = task % runs * run;
        const int64_t count = std::min(run, positions - first);
        auto* const blocks = reinterpret_cast<float*>(scratch);
        float* const bias = blocks + run * columns;
        ConvolutionArgs args{};
        args.window = row_window(count, src.columns());
        args.channels = problem_.channels;
        args.src = src.as<float>() + (image * positions + first) * src.columns() + group * problem_.channels;
        args.weights = arguments.inputs[1].as<float>() + group * problem_.block_weight_floats();
        args.panel_stride = panel_bytes(DType::F32, problem_.channels) / int64_t{sizeof(float)};
        args.columns = columns;
        if (activate_ == nullptr) args.epilogue.activation = activation_;
        if (arguments.inputs.size() > 2 && arguments.inputs[2].data != nullptr) {
            const float* const given = arguments.inputs[2].as<float>() + group * problem_.columns;
            for (int64_t c = 0; c < columns; ++c) bias[c] = given[c % problem_.columns];
            args.epilogue.bias = bias;
        }
        args.dst_stride[2] = columns;
        args.dst = blocks;
        args.count = count;
        args.scratch = bias + columns;
        kernel_(args);
        if (activate_ != nullptr) activate_(blocks, count * columns, activation_.alpha, activation_.beta, blocks);
        spread(src.shape, dst, image, group, first, count, blocks);
        return {};
    }

    std::string label() const override {
        return "convolution_f32 in blocks [" + std::string(isa_name(kernel_isa(Kernel::convolution_f32, isa_))) + "]";
    }

private:
    // blocks[position][taps][columns] of `count` positions to their places.
    void spread(const Shape& src, const TensorView& dst, int64_t image, int64_t group, int64_t first, int64_t count,
                const float* blocks) const {
        std::array<int64_t, 3> sizes{1, 1, 1};
        std::array<int64_t, 3> kernel{1, 1, 1};
        for (size_t axis = 0; axis < problem_.window.axes; ++axis) {
            sizes[axis + 3 - problem_.window.axes] = src[axis + 1];
            kernel[axis + 3 - problem_.window.axes] = problem_.window.kernel[axis];
        }
        const std::array<int64_t, 3> stride = position_strides(dst.shape);
        float* const base =
            dst.as<float>() + image * positions_of(dst.shape) * dst.columns() + group * problem_.columns;
        const int64_t columns = problem_.block_columns();
        // All taps of a row lie side by side where there is one group.
        const int64_t together = problem_.group == 1 ? kernel[2] : 1;
        for (int64_t position = first; position < first + count;) {
            const int64_t column = position % sizes[2];
            const int64_t some = std::min(sizes[2] - column, first + count - position);
            const int64_t row = position / sizes[2] % sizes[1];
            const int64_t depth = position / sizes[2] / sizes[1];
            const float* const from = blocks + (position - first) * columns;
            for (int64_t tap = 0; tap < kernel[0] * kernel[1] * kernel[2]; tap += together) {
                const int64_t w = tap % kernel[2];
                const int64_t h = tap / kernel[2] % kernel[1];
                const int64_t d = tap / kernel[2] / kernel[1];
                float* const to = base + (depth * kernel[0] + d) * stride[0] + (row * kernel[1] + h) * stride[1] +
                                  (column * kernel[2] + w) * stride[2];
                copy_pieces(from + tap * problem_.columns, columns, together * problem_.columns, some,
                            kernel[2] * stride[2], to);
            }
            position += some;
        }
    }

    static void copy_pieces(const float* src, int64_t src_step, int64_t floats, int64_t count, int64_t dst_step,
                            float* dst) {
        if (floats == 2) {  // one channel and two taps: no call for eight bytes
            for (int64_t i = 0; i < count; ++i) std::memcpy(dst + i * dst_step, src + i * src_step, 2 * sizeof(float));
            return;
        }
        for (int64_t i = 0; i < count; ++i) {
            std::memcpy(dst + i * dst_step, src + i * src_step, static_cast<size_t>(floats) * sizeof(float));
        }
    }

    Transposed problem_;
    Activation activation_;
    decltype(KernelTable::convolution_f32) kernel_;
    decltype(KernelTable::sigmoid_row) activate_;  // null: the epilogue does it
    Isa isa_;
};

Result<std::unique_ptr<PreparedNode>> prepare_transposed(const PrepareContext& context) {
    const Constant* const weight = context.constant(1);
    if (weight == nullptr) return context.fail(StatusCode::Unsupported, "the weight is no constant");
    if (weight->layout() != Layout::Panels) return context.fail(StatusCode::Internal, "the weight was not packed");
    QUOIN_ASSIGN_OR_RETURN(const Transposed problem, read_transposed(context.node, weight->shape()));
    QUOIN_ASSIGN_OR_RETURN(const Activation activation, read_activation(context.node));
    if (problem.makes_blocks()) {
        return std::unique_ptr<PreparedNode>(
            std::make_unique<BlockTranspose>(problem, activation, context.kernels(), context.runtime.isa));
    }
    return std::unique_ptr<PreparedNode>(
        std::make_unique<ConvTranspose>(problem, activation, context.kernels(), context.runtime.isa));
}

// The panels of BlockTranspose; `src` is [groups * channels][columns][taps].
Result<Constant> pack_blocks(const Runtime& runtime, const Transposed& problem, const Tensor& src,
                             const std::string& name) {
    const int64_t each = problem.block_weight_floats();
    QUOIN_ASSIGN_OR_RETURN(const Tensor packed,
                           Tensor::allocate(runtime.memory, DType::F32, {problem.group * each}, name));
    const auto pack = kernels(runtime.isa).pack_convolution_f32;
    const int64_t columns = problem.block_columns();
    const int64_t taps = columns / problem.columns;
    const int64_t panel_floats = panel_bytes(DType::F32, problem.channels) / int64_t{sizeof(float)};
    const auto values = src.as<const float>();
    std::vector<float> rows;  // [columns of a panel][channels]
    for (int64_t panel = 0; panel < problem.group * panel_count(columns); ++panel) {
        const int64_t group = panel / panel_count(columns);
        const int64_t begin = panel % panel_count(columns) * kPanelColumns;
        const int64_t count = std::min(kPanelColumns, columns - begin);
        rows.clear();
        for (int64_t column = begin; column < begin + count; ++column) {
            const int64_t tap = column / problem.columns;
            for (int64_t k = 0; k < problem.channels; ++k) {
                const int64_t row = (group * problem.channels + k) * problem.columns + column % problem.columns;
                rows.push_back(values[static_cast<size_t>(row * taps + tap)]);
            }
        }
        pack(rows.data(), count, problem.channels, 1, packed.as<float>().data() + panel * panel_floats);
    }
    return Constant(packed, src.shape(), Layout::Panels);
}

}  // namespace

Status check_transposed_convolution(const Node& node, const Shape& weight) {
    return read_transposed(node, weight).status();
}

Result<Constant> pack_transposed_convolution(const Runtime& runtime, const Constant& weight, const Node& node) {
    const Shape& shape = weight.shape();
    QUOIN_ASSIGN_OR_RETURN(const Transposed problem, read_transposed(node, shape));
    if (weight.dtype() != DType::F32) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': its weight is not f32");
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor src, weight.load());
    if (problem.makes_blocks()) return pack_blocks(runtime, problem, src, node.name);
    const std::array<int64_t, 3> ones{1, 1, 1};
    const std::vector<Phase> phases = problem.list(ones, ones);
    const Phase& last = phases.back();
    const int64_t total = last.first_panel_float + problem.group * problem.panels() * problem.panel_floats(last);
    QUOIN_ASSIGN_OR_RETURN(Tensor packed, Tensor::allocate(runtime.memory, DType::F32, {total}, node.name));
    const auto pack = kernels(runtime.isa).pack_convolution_f32;
    std::array<int64_t, 3> kernel{1, 1, 1};
    for (size_t axis = 0; axis < problem.window.axes; ++axis) {
        kernel[axis + 3 - problem.window.axes] = problem.window.kernel[axis];
    }
    const int64_t taps = kernel[0] * kernel[1] * kernel[2];
    std::vector<float> rows;  // [columns of a panel][channels][taps of the phase]
    for (const Phase& phase : phases) {
        for (int64_t panel = 0; panel < problem.group * problem.panels(); ++panel) {
            const int64_t group = panel / problem.panels();
            const int64_t column = panel % problem.panels() * kPanelColumns;
            const int64_t columns = std::min(kPanelColumns, problem.columns - column);
            rows.clear();
            for (int64_t c = column; c < column + columns; ++c) {
                for (int64_t k = 0; k < problem.channels; ++k) {
                    const int64_t from = ((group * problem.channels + k) * problem.columns + c) * taps;
                    const auto tap = [&](size_t axis, int64_t j) {
                        return phase.axis[axis].first_tap - j * phase.axis[axis].tap_step;
                    };
                    for (int64_t d = 0; d < phase.axis[0].taps; ++d) {
                        for (int64_t h = 0; h < phase.axis[1].taps; ++h) {
                            for (int64_t w = 0; w < phase.axis[2].taps; ++w) {
                                const int64_t at = (tap(0, d) * kernel[1] + tap(1, h)) * kernel[2] + tap(2, w);
                                rows.push_back(src.as<const float>()[static_cast<size_t>(from + at)]);
                            }
                        }
                    }
                }
            }
            pack(rows.data(), columns, problem.channels, phase.taps(),
                 packed.as<float>().data() + phase.first_panel_float + panel * problem.panel_floats(phase));
        }
    }
    return Constant(packed, shape, Layout::Panels);
}

extern const OpImplementation kChannelsLastConvTransposeOp{infer_transposed, prepare_transposed};

}  // namespace quoin
