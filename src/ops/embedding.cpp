// Embedding (quoin): rows of a table of any dtype as f32.
//
// Embedding(table [V, K], ids [...]) -> [..., K]. The table may be plain or packed: a model whose output head shares
// the table keeps one copy, the packed one.
#include <algorithm>

#include "kernels/layout.h"
#include "ops/axes.h"
#include "ops/op_kernel.h"
#include "ops/weight_kernels.h"

namespace quoin {
namespace {

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
        const int64_t id = integer_at(arguments.inputs[1], task);
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

}  // namespace

extern const OpImplementation kEmbeddingOp{infer_embedding, prepare_embedding};

}  // namespace quoin
