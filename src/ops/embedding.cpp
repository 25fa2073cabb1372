// Gather (ONNX) along one axis; Embedding (quoin): rows of a table of any dtype as f32.
//
// Embedding(table [V, K], ids [...]) -> [..., K]. The table may be plain or packed: a model whose output head shares
// the table keeps one copy, the packed one.
#include <algorithm>
#include <cstring>

#include "kernels/layout.h"
#include "ops/op_kernel.h"
#include "ops/weight_kernels.h"

namespace quoin {
namespace {

// Indices are i32 or i64; negative ones count from the end where the op allows it.
int64_t index_at(const TensorView& indices, int64_t position) {
    return indices.dtype == DType::I64 ? indices.as<int64_t>()[position] : indices.as<int32_t>()[position];
}

Status out_of_range(std::string_view node, int64_t index, int64_t limit) {
    return error(StatusCode::InvalidArgument, "node '", node, "': index ", index, " is not below ", limit);
}

class Embedding final : public PreparedNode {
public:
    Embedding(std::string name, DType dtype, Layout layout, const Shape& table, WeightKernels kernels)
        : name_(std::move(name)), dtype_(dtype), layout_(layout), table_(table), kernels_(kernels) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = arguments.outputs[0].rows()};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t id = index_at(arguments.inputs[1], task);
        if (id < 0 || id >= table_[0]) return out_of_range(name_, id, table_[0]);
        const std::byte* const table = arguments.inputs[0].data;
        const int64_t inner = table_[1];
        float* const dst = arguments.outputs[0].as<float>() + task * inner;
        if (layout_ == Layout::Panels) {
            kernels_.unpack_column(table + id / kPanelColumns * panel_bytes(dtype_, inner), id % kPanelColumns, inner,
                                   dst);
        } else {
            kernels_.dequantize(table + id * static_cast<int64_t>(byte_size(dtype_, inner).value_or(0)), inner, dst);
        }
        return {};
    }

private:
    std::string name_;
    DType dtype_;
    Layout layout_;
    Shape table_;
    WeightKernels kernels_;
};

Status infer_embedding(InferContext& context) {
    const auto& table = context.input(0).dims;
    if (!table || table->size() != 2) return context.fail("the table is no matrix");
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    if (!context.input(1).dims) {
        context.set_output(0, DType::F32, std::nullopt);
        return {};
    }
    std::vector<Dim> dims = *context.input(1).dims;
    dims.push_back(table->back());
    context.set_output(0, DType::F32, std::move(dims));
    return {};
}

Result<std::unique_ptr<PreparedNode>> prepare_embedding(const PrepareContext& context) {
    const Constant* const table = context.constant(0);
    if (table == nullptr) return context.fail(StatusCode::Unsupported, "the table is no constant");
    const WeightKernels kernels = weight_kernels(context.kernels(), table->dtype());
    if (kernels.dequantize == nullptr) {
        return context.fail(StatusCode::Unsupported, "no kernel reads rows of ", dtype_name(table->dtype()));
    }
    return std::unique_ptr<PreparedNode>(
        std::make_unique<Embedding>(context.node.name, table->dtype(), table->layout(), table->shape(), kernels));
}

// ---- Gather ---------------------------------------------------------------------------------------------------

Result<size_t> gather_axis(const Node& node, size_t rank) {
    int64_t axis = node.integer("axis", 0);
    if (axis < 0) axis += static_cast<int64_t>(rank);
    if (axis < 0 || axis >= static_cast<int64_t>(rank)) {
        return error(StatusCode::InvalidModel, "node '", node.name, "' (Gather): axis ", node.integer("axis", 0),
                     " is out of range for rank ", rank);
    }
    return static_cast<size_t>(axis);
}

class Gather final : public PreparedNode {
public:
    Gather(std::string name, size_t axis) : name_(std::move(name)), axis_(axis) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        int64_t outer = 1;
        for (size_t axis = 0; axis < axis_; ++axis) outer *= arguments.inputs[0].shape[axis];
        return Work{.tasks = outer * arguments.inputs[1].elements()};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& data = arguments.inputs[0];
        const int64_t count = arguments.inputs[1].elements();
        const int64_t limit = data.shape[axis_];
        int64_t inner = 1;
        for (size_t axis = axis_ + 1; axis < data.shape.rank(); ++axis) inner *= data.shape[axis];
        const auto bytes = static_cast<int64_t>(byte_size(data.dtype, inner).value_or(0));
        int64_t index = index_at(arguments.inputs[1], task % count);
        if (index < -limit || index >= limit) return out_of_range(name_, index, limit);
        if (index < 0) index += limit;
        std::memcpy(arguments.outputs[0].data + task * bytes, data.data + (task / count * limit + index) * bytes,
                    static_cast<size_t>(bytes));
        return {};
    }

private:
    std::string name_;
    size_t axis_;
};

Status infer_gather(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I32, DType::I64}));
    const auto& data = context.input(0).dims;
    const auto& indices = context.input(1).dims;
    if (!data || !indices) {
        context.set_output(0, context.input(0).dtype, std::nullopt);
        return {};
    }
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, gather_axis(context.node(), data->size()));
    std::vector<Dim> dims(data->begin(), data->begin() + static_cast<std::ptrdiff_t>(axis));
    dims.insert(dims.end(), indices->begin(), indices->end());
    dims.insert(dims.end(), data->begin() + static_cast<std::ptrdiff_t>(axis) + 1, data->end());
    if (dims.size() > Shape::kMaxRank) return context.fail("the result has ", dims.size(), " dimensions");
    context.set_output(0, context.input(0).dtype, std::move(dims));
    return {};
}

Result<std::unique_ptr<PreparedNode>> prepare_gather(const PrepareContext& context) {
    const Value& data = context.graph.value(context.node.inputs[0]);
    if (!data.dims) return context.fail(StatusCode::Unsupported, "the rank of the data is unknown");
    if (data.dtype == DType::String || dtype_info(data.dtype).block_elements != 1) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ", dtype_name(data.dtype));
    }
    QUOIN_ASSIGN_OR_RETURN(const size_t axis, gather_axis(context.node, data.dims->size()));
    return std::unique_ptr<PreparedNode>(std::make_unique<Gather>(context.node.name, axis));
}

}  // namespace

extern const OpImplementation kEmbeddingOp{infer_embedding, prepare_embedding};
extern const OpImplementation kGatherOp{infer_gather, prepare_gather};

}  // namespace quoin
