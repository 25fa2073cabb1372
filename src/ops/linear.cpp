// Linear, GatedLinear, QuantizeActivation (quoin).
//
// Linear(x [..., K], weight [N, K], bias [N]?, residual [..., N]?) {activation...} -> [..., N]:
// activation(x * weight^T + bias + residual) in f32.
// GatedLinear(x, gate weight, up weight) {to = f32 | q8_row} -> silu(x * gate^T) * (x * up^T).
// QuantizeActivation(x [..., K], scale [K]?) {epsilon} -> Q8Row; with a scale, of RMSNormalization over the last axis.
// x is f32, or Q8Row (made by QuantizeActivation) for weights whose kernels multiply integers.
#include "ops/linear.h"

#include <algorithm>
#include <atomic>

#include "core/rounding.h"
#include "kernels/layout.h"
#include "ops/activation.h"
#include "ops/code_weights.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"
#include "ops/weight_kernels.h"

namespace quoin {
namespace {

// Bytes of a source that a thread packs before it gives their pages back: to unmap less at a time costs more calls and
// interrupts of the other threads.
constexpr int64_t kPackedTogether = int64_t{1} << 20;

// Steps of fewer rows wait for weights, not for arithmetic.
constexpr int64_t kFewRows = 32;
// Rows times panels of the largest tasks of such steps, whose scratch stays in the second-level cache.
constexpr int64_t kMostPanelRows = 1024;
// Weights of the smallest tasks, if a panel is not more: reading them takes a microsecond.
constexpr int64_t kLeastTaskBytes = 20 << 10;

struct Tile {
    int64_t row;
    int64_t rows;
    int64_t panel;
    int64_t panels;
};

// How a step is cut into tasks, each some panels for a block of rows. A thread has neighbouring panels, which its tasks
// halve, as far as `most` go together: long tasks stream best and share most, and each costs a sixth of a microsecond
// to begin; others help with the last ones, so that no thread waits long for another. Cuts never decide what an output
// is.
class Cut {
public:
    // Panels of a unit are never parted. With fewer units than threads some threads have none of their own.
    Cut(int64_t rows, int64_t row_block, int64_t panels, int64_t unit, int64_t most, int64_t threads)
        : rows_(rows),
          row_block_(row_block),
          panels_(panels),
          unit_(unit),
          most_(std::max<int64_t>(1, most / unit)),
          units_of_block_(std::max<int64_t>(1, divide_up(panels, unit))),
          units_(rows == 0 || panels == 0 ? 0 : divide_up(rows, row_block) * units_of_block_),
          threads_(std::clamp<int64_t>(units_, 1, threads)) {}

    // The last ones of a thread may be empty.
    int64_t tasks() const {
        int64_t most = 0;
        for (int64_t thread = 0; thread < threads_; ++thread) most = std::max(most, place(thread, INT64_MAX).before);
        return most * threads_;
    }
    // Of the largest task.
    int64_t rows() const { return row_block_; }
    int64_t panels() const {
        const int64_t units_of_thread = divide_up(units_, threads_);
        return std::min({divide_up(units_of_thread, 2), most_, units_of_block_}) * unit_;
    }
    Tile tile(int64_t task, int64_t tasks) const {
        const int64_t tasks_of_thread = tasks / threads_;
        const int64_t thread = task / tasks_of_thread;
        const int64_t at = place(thread, task % tasks_of_thread).unit;
        const int64_t row = at / units_of_block_ * row_block_;
        const int64_t panel = at % units_of_block_ * unit_;
        const int64_t units = length(at, end_of(thread));
        return {row, std::min(row_block_, rows_ - row), panel, std::min(units * unit_, panels_ - panel)};
    }

private:
    struct Place {
        int64_t unit;    // counted through all blocks of rows
        int64_t before;  // tasks of the thread
    };
    int64_t end_of(int64_t thread) const { return units_ * (thread + 1) / threads_; }
    int64_t length(int64_t unit, int64_t end) const {
        return std::min({divide_up(end - unit, 2), most_, units_of_block_ - unit % units_of_block_});
    }
    // Where the task of a thread begins that so many others come before: the thread's end if there are not so many.
    Place place(int64_t thread, int64_t before) const {
        const int64_t end = end_of(thread);
        const int64_t tasks_of_block = divide_up(units_of_block_, most_);
        Place at = {units_ * thread / threads_, 0};
        while (at.before < before && at.unit < end) {
            // What lies so far from the end is cut evenly, and passed in a few steps, however many rows there are.
            const int64_t even = std::max<int64_t>(0, end - at.unit - 2 * most_);
            const int64_t in_block = at.unit % units_of_block_;
            const int64_t left = before - at.before;
            const int64_t blocks = in_block == 0 ? std::min(even / units_of_block_, left / tasks_of_block) : 0;
            const int64_t most = std::min(std::min(even, units_of_block_ - in_block) / most_, left);
            if (blocks > 0) {
                at.unit += blocks * units_of_block_;
                at.before += blocks * tasks_of_block;
            } else if (most > 0) {
                at.unit += most * most_;
                at.before += most;
            } else {
                at.unit += length(at.unit, end);
                ++at.before;
            }
        }
        return at;
    }

    int64_t rows_;
    int64_t row_block_;
    int64_t panels_;
    int64_t unit_;
    int64_t most_;  // units
    int64_t units_of_block_;
    int64_t units_;
    int64_t threads_;
};

// One weight with its kernels: fills what of LinearArgs does not depend on the step's bytes.
class WeightReader {
public:
    WeightReader(const Constant& weight, const WeightKernels& kernels, Provider provider)
        : dtype_(weight.dtype()),
          codes_(weight.codes() == nullptr ? CodeBlocks() : *weight.codes()),
          columns_(weight.shape()[0]),
          inner_(weight.shape()[1]),
          kernels_(kernels),
          provider_(provider) {}

    int64_t columns() const { return columns_; }
    int64_t panels() const { return panel_count(columns_); }
    LinearTask most() const { return linear_task(dtype_); }
    int64_t bytes_of_panel() const {
        return codes_.block == 0 ? panel_bytes(dtype_, inner_) : code_panel(dtype_, codes_, inner_).bytes;
    }
    int64_t scratch_bytes(int64_t rows, int64_t panels) const {
        return provider_ == Provider::Reference ? (inner_ + kPanelColumns) * int64_t{sizeof(float)}
                                                : linear_scratch_bytes(dtype_, rows, panels);
    }

    int64_t row_bytes(DType src) const {
        return src == DType::Q8Row ? activation_row_bytes(inner_) : inner_ * int64_t{sizeof(float)};
    }

    LinearArgs arguments(const TensorView& src, const TensorView& weight, const Tile& part, std::byte* scratch) const {
        const int64_t src_stride = row_bytes(src.dtype);
        LinearArgs args{};
        args.panel_stride = bytes_of_panel();
        args.weights = weight.data + part.panel * args.panel_stride;
        args.src = src.data + part.row * src_stride;
        args.src_stride = src_stride;
        args.rows = part.rows;
        args.inner = inner_;
        args.panels = part.panels;
        args.columns = std::min(part.panels * kPanelColumns, columns_ - part.panel * kPanelColumns);
        args.processor = processor_traits();
        args.codes = codes_;
        args.scratch = scratch;
        return args;
    }
    void run(const LinearArgs& args) const {
        if (provider_ == Provider::Reference) {
            run_reference(args, reinterpret_cast<float*>(args.scratch));
        } else {
            kernels_.linear(args);
        }
    }
    std::string label(Isa isa) const {
        if (provider_ == Provider::Reference) return "reference_linear_" + std::string(dtype_name(dtype_));
        const std::string_view version = isa_name(kernel_isa(kernels_.name, isa));
        return std::string(kernel_name(kernels_.name)) + " [" + std::string(version) + "]";
    }

private:
    void run_reference(const LinearArgs& args, float* column) const {
        for (int64_t n = 0; n < args.columns; ++n) {
            const std::byte* const panel = args.weights + n / kPanelColumns * args.panel_stride;
            if (codes_.block != 0) {
                unpack_code_column(dtype_, codes_, panel, n % kPanelColumns, inner_, column);
            } else {
                kernels_.unpack_column(panel, n % kPanelColumns, inner_, column);
            }
            for (int64_t m = 0; m < args.rows; ++m) {
                const auto* const row = reinterpret_cast<const float*>(args.src + m * args.src_stride);
                double sum = args.bias == nullptr ? 0.0 : double{args.bias[n]};
                if (args.residual != nullptr) sum += double{args.residual[m * args.residual_stride + n]};
                for (int64_t k = 0; k < inner_; ++k) sum += double{row[k]} * double{column[k]};
                args.dst[m * args.dst_stride + n] = static_cast<float>(sum);
            }
        }
    }

    DType dtype_;
    CodeBlocks codes_;
    int64_t columns_;
    int64_t inner_;
    WeightKernels kernels_;
    Provider provider_;
};

// Groups of so many `whole` panels are never parted.
Cut cut_of(const WeightReader& weight, int64_t rows, int64_t whole, int64_t threads) {
    const int64_t panels = weight.panels();
    if (rows < kFewRows) {
        const int64_t panel_bytes = std::max<int64_t>(1, weight.bytes_of_panel());
        const int64_t unit = std::max<int64_t>(1, std::min(kLeastTaskBytes / panel_bytes, panels));
        const int64_t most = kMostPanelRows / std::max<int64_t>(1, rows);
        return {rows, rows, panels, align_up(unit, whole), most, threads};
    }
    // Blocks of nearly equal height, or threads that meet after this step would wait for the tallest.
    const LinearTask task = weight.most();
    const int64_t blocks = divide_up(rows, task.rows);
    const int64_t row_block = blocks == 1 ? rows : align_up(divide_up(rows, blocks), 6);
    const int64_t unit = std::clamp<int64_t>(panels * blocks / threads, 1, task.least_panels);
    return {rows, row_block, panels, align_up(unit, whole), task.panels, threads};
}

Work work_of(const Cut& cut, int64_t threads, int64_t scratch_bytes) {
    return {.tasks = cut.tasks(), .scratch_bytes = scratch_bytes, .grain = {threads}};
}

class Linear final : public PreparedNode {
public:
    Linear(const WeightReader& weight, const Activation& activation, Isa isa)
        : weight_(weight), activation_(activation), isa_(isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const Cut cut = cut_of(weight_, arguments.outputs[0].rows(), 1, threads);
        return work_of(cut, threads, weight_.scratch_bytes(cut.rows(), cut.panels()));
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& dst = arguments.outputs[0];
        const Cut cut = cut_of(weight_, dst.rows(), 1, arguments.work.grain[0]);
        const Tile part = cut.tile(task, arguments.work.tasks);
        if (part.panels == 0) return {};
        const int64_t column = part.panel * kPanelColumns;
        LinearArgs args = weight_.arguments(arguments.inputs[0], arguments.inputs[1], part, scratch);
        if (arguments.inputs.size() > 2 && arguments.inputs[2].data != nullptr) {
            args.bias = arguments.inputs[2].as<float>() + column;
        }
        if (arguments.inputs.size() > 3 && arguments.inputs[3].data != nullptr) {
            args.residual = arguments.inputs[3].as<float>() + part.row * weight_.columns() + column;
            args.residual_stride = weight_.columns();
        }
        args.dst = dst.as<float>() + part.row * weight_.columns() + column;
        args.dst_stride = weight_.columns();
        args.activation = activation_;
        weight_.run(args);
        return {};
    }

    std::string label() const override { return weight_.label(isa_); }

private:
    WeightReader weight_;
    Activation activation_;
    Isa isa_;
};

class GatedLinear final : public PreparedNode {
public:
    GatedLinear(const WeightReader& gate, const WeightReader& up, const KernelTable& kernels, bool quantized, Isa isa)
        : gate_(gate),
          up_(up),
          combine_(kernels.silu_multiply),
          quantize_(quantized ? kernels.quantize_q8_row : nullptr),
          isa_(isa) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const Cut cut = cut_of(gate_, arguments.outputs[0].rows(), whole_panels(), threads);
        const int64_t rows = cut.rows();
        const int64_t panels = cut.panels();
        return work_of(cut, threads,
                       2 * rows * panels * kPanelColumns * int64_t{sizeof(float)} +
                           std::max(gate_.scratch_bytes(rows, panels), up_.scratch_bytes(rows, panels)));
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& dst = arguments.outputs[0];
        const Cut cut = cut_of(gate_, dst.rows(), whole_panels(), arguments.work.grain[0]);
        const Tile part = cut.tile(task, arguments.work.tasks);
        if (part.panels == 0) return {};
        const int64_t stride = part.panels * kPanelColumns;
        auto* const gate = reinterpret_cast<float*>(scratch);
        float* const up = gate + part.rows * stride;
        auto* const rest = reinterpret_cast<std::byte*>(up + part.rows * stride);
        LinearArgs args = gate_.arguments(arguments.inputs[0], arguments.inputs[1], part, rest);
        args.dst = gate;
        args.dst_stride = stride;
        gate_.run(args);
        args = up_.arguments(arguments.inputs[0], arguments.inputs[2], part, rest);
        args.dst = up;
        args.dst_stride = stride;
        up_.run(args);
        const int64_t column = part.panel * kPanelColumns;
        for (int64_t row = 0; row < part.rows; ++row) {
            float* const left = gate + row * stride;
            float* const product =
                quantize_ != nullptr ? left : dst.as<float>() + (part.row + row) * gate_.columns() + column;
            combine_(left, up + row * stride, args.columns, product);
            if (quantize_ == nullptr) continue;
            quantize_(
                product, args.columns,
                dst.data + (part.row + row) * activation_row_bytes(gate_.columns()) + activation_row_bytes(column));
        }
        return {};
    }

    std::string label() const override {
        const std::string gate = gate_.label(isa_);
        const std::string up = up_.label(isa_);
        return gate == up ? gate : gate + ", " + up;
    }

private:
    // A group of activations has one scale, so a task makes whole groups.
    int64_t whole_panels() const { return quantize_ != nullptr ? kActivationBlock / kPanelColumns : 1; }

    WeightReader gate_;
    WeightReader up_;
    decltype(KernelTable::silu_multiply) combine_;
    decltype(KernelTable::quantize_q8_row) quantize_;  // null: the result is f32
    Isa isa_;
};

// ---- infer ----------------------------------------------------------------------------------------------------

// Output 0 holds `floats` as Q8Row.
Status quantize_output(InferContext& context, const ValueType& floats) {
    std::optional<std::vector<Dim>> dims = floats.dims;
    if (dims) {
        if (dims->empty() || (dims->back().known() && dims->back().size % 32 != 0)) {
            return context.fail("the last dimension is no multiple of 32");
        }
        if (dims->back().known()) dims->back().size = activation_row_values(dims->back().size);
    }
    context.set_output(0, DType::Q8Row, std::move(dims));
    return {};
}

Status infer_projection(InferContext& context, std::span<const size_t> weights) {
    const ValueType& x = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::Q8Row}));
    std::optional<int64_t> columns;
    for (const size_t index : weights) {
        const ValueType& weight = context.input(index);
        if (!weight.dims || weight.dims->size() != 2) return context.fail("the weight is no matrix");
        Dim inner = (*weight.dims)[1];
        if (x.dtype == DType::Q8Row && inner.known()) inner.size = activation_row_values(inner.size);
        if (x.dims && (x.dims->empty() || !may_equal(x.dims->back(), inner))) {
            return context.fail("the input's last dimension is not the weight's ", inner.size);
        }
        if (columns && *columns != (*weight.dims)[0].size) return context.fail("the weights have different row counts");
        columns = (*weight.dims)[0].size;
    }
    if (!x.dims) {
        context.set_output(0, DType::F32, std::nullopt);
        return {};
    }
    std::vector<Dim> dims = *x.dims;
    dims.back() = {.size = *columns};
    context.set_output(0, DType::F32, std::move(dims));
    return {};
}

Status infer_linear(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(3, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(infer_projection(context, std::to_array<size_t>({1})));
    QUOIN_ASSIGN_OR_RETURN(const Activation activation, read_activation(context.node()));
    if (activation.kind == ActivationKind::PRelu) return context.fail("it has no slopes for PRelu");
    // The kernels read as many values as the result has, so what does not fit must not get there.
    const Dim columns = context.input(1).dims->front();
    if (context.has_input(2) && context.input(2).dims) {
        const auto& bias = *context.input(2).dims;
        if (bias.size() != 1 || !may_equal(bias[0], columns)) return context.fail("the bias does not fit the weight");
    }
    if (context.has_input(3) && context.input(3).dims && context.input(0).dims) {
        std::vector<Dim> result = *context.input(0).dims;
        result.back() = columns;
        if (!std::ranges::equal(*context.input(3).dims, result, may_equal)) {
            return context.fail("the residual has not the shape of the result");
        }
    }
    return {};
}

bool is_quantized(const Node& node) {
    return node.integer("to", static_cast<int64_t>(DType::F32)) == static_cast<int64_t>(DType::Q8Row);
}

Status infer_gated_linear(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(infer_projection(context, std::to_array<size_t>({1, 2})));
    return is_quantized(context.node()) ? quantize_output(context, context.output(0)) : Status();
}

// ---- prepare --------------------------------------------------------------------------------------------------

Result<WeightReader> prepare_weight(const PrepareContext& context, size_t index) {
    const Constant* const weight = context.constant(index);
    if (weight == nullptr) return context.fail(StatusCode::Unsupported, "the weight is no constant");
    if (weight->layout() != Layout::Panels) return context.fail(StatusCode::Internal, "the weight was not packed");
    const DType wanted = weight->codes() != nullptr ? DType::F32 : linear_activation(weight->dtype(), context.provider);
    const DType found = context.graph.value(context.node.inputs[0]).dtype;
    if (found != wanted) {
        return context.fail(StatusCode::Internal, "the kernel for ", dtype_name(weight->dtype()), " reads ",
                            dtype_name(wanted), " rows, not ", dtype_name(found));
    }
    return WeightReader(*weight, weight_kernels(context.kernels(), weight->dtype()), context.provider);
}

Result<std::unique_ptr<PreparedNode>> prepare_linear(const PrepareContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const WeightReader weight, prepare_weight(context, 1));
    QUOIN_ASSIGN_OR_RETURN(const Activation activation, read_activation(context.node));
    if (activation.kind != ActivationKind::None && context.provider == Provider::Reference) {
        return context.fail(StatusCode::Unsupported, "the reference provider computes no activation");
    }
    return std::unique_ptr<PreparedNode>(std::make_unique<Linear>(weight, activation, context.runtime.isa));
}

Result<std::unique_ptr<PreparedNode>> prepare_gated_linear(const PrepareContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const WeightReader gate, prepare_weight(context, 1));
    QUOIN_ASSIGN_OR_RETURN(const WeightReader up, prepare_weight(context, 2));
    return std::unique_ptr<PreparedNode>(
        std::make_unique<GatedLinear>(gate, up, context.kernels(), is_quantized(context.node), context.runtime.isa));
}

// ---- QuantizeActivation ---------------------------------------------------------------------------------------

// About a microsecond; a barrier costs half of one and brings the row from another core's cache besides.
constexpr int64_t kReplicatedValues = 8192;

class QuantizeActivation final : public PreparedNode {
public:
    QuantizeActivation(const KernelTable& kernels, bool normalizes, float epsilon)
        : quantize_(kernels.quantize_q8_row), normalize_(normalizes ? kernels.rms_norm : nullptr), epsilon_(epsilon) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const int64_t floats = normalize_ == nullptr ? 0 : arguments.inputs[0].columns();
        const int64_t rows = arguments.outputs[0].rows();
        return Work{.tasks = rows,
                    .scratch_bytes = floats * int64_t{sizeof(float)},
                    .replicated = rows * arguments.inputs[0].columns() <= kReplicatedValues};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const int64_t columns = arguments.inputs[0].columns();
        const float* row = arguments.inputs[0].as<float>() + task * columns;
        if (normalize_ != nullptr) {
            auto* const normalized = reinterpret_cast<float*>(scratch);
            normalize_(row, arguments.inputs[1].as<float>(), epsilon_, columns, normalized);
            row = normalized;
        }
        quantize_(row, columns, arguments.outputs[0].data + task * activation_row_bytes(columns));
        return {};
    }

private:
    decltype(KernelTable::quantize_q8_row) quantize_;
    decltype(KernelTable::rms_norm) normalize_;
    float epsilon_;
};

Status infer_quantize(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32}));
    const auto& dims = context.input(0).dims;
    if (context.has_input(1) && context.input(1).dims && dims && !dims->empty()) {
        const auto& scale = *context.input(1).dims;
        if (scale.size() != 1 || !may_equal(scale[0], dims->back())) {
            return context.fail("the scale does not fit the last dimension");
        }
    }
    return quantize_output(context, context.input(0));
}

Result<std::unique_ptr<PreparedNode>> prepare_quantize(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(
        std::make_unique<QuantizeActivation>(context.kernels(), context.node.input(1) != kNoValue,
                                             static_cast<float>(context.node.number("epsilon", 1e-5))));
}

}  // namespace

DType linear_activation(DType weight, Provider provider) {
    if (panel_bytes(weight, 256) == 0) return DType::Undefined;
    return provider == Provider::Reference ? DType::F32 : activation_dtype(weight);
}

Result<size_t> packed_bytes(const Constant& weight, std::string_view name) {
    const int64_t bytes = panel_bytes(weight.dtype(), weight.shape()[1]);
    if (bytes == 0) {
        return error(StatusCode::Unsupported, "tensor '", name, "': no matrix kernel for the type ",
                     dtype_name(weight.dtype()));
    }
    return static_cast<size_t>(panel_count(weight.shape()[0]) * bytes);
}

namespace {

// Some panels of an f32 weight that lies as [inner][columns]: runs of its rows, a few rows of all panels at a time.
void pack_transposed(const float* src, int64_t columns, int64_t inner, int64_t first, int64_t end, float* panels) {
    constexpr int64_t kRows = 64;
    for (int64_t row = 0; row < inner; row += kRows) {
        const int64_t rows = std::min(kRows, inner - row);
        for (int64_t panel = first; panel < end; ++panel) {
            const int64_t column = panel * kPanelColumns;
            const int64_t count = std::min(kPanelColumns, columns - column);
            float* dst = panels + (panel * inner + row) * kPanelColumns;
            for (int64_t each = row; each < row + rows; ++each) {
                std::copy_n(src + each * columns + column, count, dst);
                std::fill_n(dst + count, kPanelColumns - count, 0.0F);
                dst += kPanelColumns;
            }
        }
    }
}

}  // namespace

Result<Constant> pack_weight(const Runtime& runtime, const Constant& weight, std::shared_ptr<std::byte> place) {
    const auto pack = weight_kernels(kernels(runtime.isa), weight.dtype()).pack;
    const int64_t columns = weight.shape()[0];
    const int64_t inner = weight.shape()[1];
    const int64_t panels = panel_count(columns);
    const int64_t bytes = panel_bytes(weight.dtype(), inner);
    QUOIN_ASSIGN_OR_RETURN(const Tensor src, weight.load());
    const auto row_bytes = static_cast<int64_t>(byte_size(weight.dtype(), inner).value_or(0));
    const int64_t run = std::clamp<int64_t>(kPackedTogether / (kPanelColumns * row_bytes), 1, panels);
    std::atomic<int64_t> next{0};
    runtime.team->run([&](int /*thread*/) {
        for (int64_t first = next.fetch_add(run); first < panels; first = next.fetch_add(run)) {
            const int64_t end = std::min(first + run, panels);
            if (weight.layout() == Layout::Transposed) {
                pack_transposed(reinterpret_cast<const float*>(src.data()), columns, inner, first, end,
                                reinterpret_cast<float*>(place.get()));
                continue;
            }
            for (int64_t panel = first; panel < end; ++panel) {
                const int64_t column = panel * kPanelColumns;
                pack(src.data() + column * row_bytes, row_bytes, std::min(kPanelColumns, columns - column), inner,
                     place.get() + panel * bytes);
            }
            const int64_t rows = std::min(end * kPanelColumns, columns) - first * kPanelColumns;
            weight.release_source(static_cast<uint64_t>(first * kPanelColumns * row_bytes),
                                  static_cast<uint64_t>(rows * row_bytes));
        }
    });
    weight.release_source(0, weight.byte_size());  // pages across two runs
    const auto size = static_cast<size_t>(panels * bytes);
    const Tensor packed(weight.dtype(), Shape{panels, bytes}, place.get(), size, place);
    return Constant(packed, weight.shape(), Layout::Panels);
}

extern const OpImplementation kLinearOp{infer_linear, prepare_linear};
extern const OpImplementation kGatedLinearOp{infer_gated_linear, prepare_gated_linear};
extern const OpImplementation kQuantizeActivationOp{infer_quantize, prepare_quantize};

}  // namespace quoin
