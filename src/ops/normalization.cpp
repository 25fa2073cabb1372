// RMSNormalization (ONNX 23): y = x / sqrt(mean(x^2) + epsilon) * scale over the axes from `axis` on.
#include <algorithm>

#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

constexpr int64_t kTaskElements = 4096;

class RmsNormalization final : public PreparedNode {
public:
    RmsNormalization(decltype(KernelTable::rms_norm) kernel, int64_t count, float epsilon)
        : kernel_(kernel), count_(count), epsilon_(epsilon) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const int64_t rows = arguments.outputs[0].elements() / count_;
        const int64_t grain = std::max<int64_t>(1, kTaskElements / count_);
        return Work{.tasks = (rows + grain - 1) / grain, .grain = {grain, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t rows = arguments.outputs[0].elements() / count_;
        const int64_t begin = task * arguments.work.grain[0];
        const int64_t end = std::min(begin + arguments.work.grain[0], rows);
        for (int64_t row = begin; row < end; ++row) {
            kernel_(arguments.inputs[0].as<float>() + row * count_, arguments.inputs[1].as<float>(), epsilon_, count_,
                    arguments.outputs[0].as<float>() + row * count_);
        }
        return {};
    }

private:
    decltype(KernelTable::rms_norm) kernel_;
    int64_t count_;
    float epsilon_;
};

// Number of values that are normalized together; nullopt when a dim of them is unknown.
Result<std::optional<int64_t>> normalized_count(const Node& node, const std::vector<Dim>& dims) {
    const auto rank = static_cast<int64_t>(dims.size());
    int64_t axis = node.integer("axis", -1);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) {
        return error(StatusCode::InvalidModel, "node '", node.name, "' (RMSNormalization): axis is out of range");
    }
    int64_t count = 1;
    for (int64_t each = axis; each < rank; ++each) {
        if (!dims[static_cast<size_t>(each)].known()) return std::optional<int64_t>();
        count *= dims[static_cast<size_t>(each)].size;
    }
    return std::optional(count);
}

Status infer_rms_normalization(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32}));
    const auto& dims = context.input(0).dims;
    const auto& scale = context.input(1).dims;
    if (dims && scale) {
        QUOIN_ASSIGN_OR_RETURN(const std::optional<int64_t> count, normalized_count(context.node(), *dims));
        int64_t scales = 1;
        for (const Dim dim : *scale) scales *= dim.size;
        if (count && scales != *count) return context.fail("the scale has ", scales, " values for ", *count);
    }
    return infer_same_as_first(context);
}

Result<std::unique_ptr<PreparedNode>> prepare_rms_normalization(const PrepareContext& context) {
    const Value& x = context.graph.value(context.node.inputs[0]);
    std::optional<int64_t> count;
    if (x.dims) {
        QUOIN_ASSIGN_OR_RETURN(count, normalized_count(context.node, *x.dims));
    }
    if (!count || *count == 0) return context.fail(StatusCode::Unsupported, "the normalized size is not known");
    const auto epsilon = static_cast<float>(context.node.number("epsilon", 1e-5));
    return std::unique_ptr<PreparedNode>(
        std::make_unique<RmsNormalization>(context.kernels().rms_norm, *count, epsilon));
}

}  // namespace

extern const OpImplementation kRMSNormalizationOp{infer_rms_normalization, prepare_rms_normalization};

}  // namespace quoin
