// RotaryEmbedding (ONNX 23) and RotaryCache (quoin).
//
// RotaryCache(positions [B, S], inverse frequencies [R / 2]) {scale} -> cos, sin [B, S, R / 2]: scale * cos(p * f).
// Made once per step and read by every layer, so no table in the length of the longest context is kept.
#include <algorithm>
#include <cmath>

#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

class RotaryCache final : public PreparedNode {
public:
    explicit RotaryCache(double scale) : scale_(scale) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = arguments.inputs[0].elements()};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t count = arguments.inputs[1].elements();
        const auto position = static_cast<double>(arguments.inputs[0].as<int32_t>()[task]);
        const float* const frequency = arguments.inputs[1].as<float>();
        float* const cos = arguments.outputs[0].as<float>() + task * count;
        float* const sin = arguments.outputs[1].as<float>() + task * count;
        for (int64_t index = 0; index < count; ++index) {
            // In double: at position 100,000 a float angle has lost two decimal digits.
            const double angle = position * static_cast<double>(frequency[index]);
            cos[index] = static_cast<float>(scale_ * std::cos(angle));
            sin[index] = static_cast<float>(scale_ * std::sin(angle));
        }
        return {};
    }

private:
    double scale_;
};

Status infer_rotary_cache(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::I32}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32}));
    const auto& positions = context.input(0).dims;
    const auto& frequencies = context.input(1).dims;
    if (!frequencies || frequencies->size() != 1) return context.fail("the inverse frequencies are no vector");
    std::optional<std::vector<Dim>> dims = positions;
    if (dims) dims->push_back(frequencies->front());
    context.set_output(0, DType::F32, dims);
    context.set_output(1, DType::F32, std::move(dims));
    return {};
}

Result<std::unique_ptr<PreparedNode>> prepare_rotary_cache(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<RotaryCache>(context.node.number("scale", 1.0)));
}

// ---- RotaryEmbedding ------------------------------------------------------------------------------------------

// X is [B, S, heads * size] with num_heads given, or [B, heads, S, size]. The caches are [B, S, R / 2], or, with
// position ids [B, S], tables [positions, R / 2].
class RotaryEmbedding final : public PreparedNode {
public:
    RotaryEmbedding(std::string name, decltype(KernelTable::rotary) kernel, int64_t heads, bool interleaved)
        : name_(std::move(name)), kernel_(kernel), heads_(heads), interleaved_(interleaved) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const TensorView& x = arguments.inputs[0];
        return Work{.tasks = x.shape.rank() == 4 ? x.rows() : x.shape[0] * x.shape[1]};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& x = arguments.inputs[0];
        const bool head_major = x.shape.rank() == 4;
        // Index of the token among [B, S].
        int64_t token = task;
        if (head_major) token = task / (x.shape[1] * x.shape[2]) * x.shape[2] + task % x.shape[2];
        const int64_t half = arguments.inputs[1].columns();
        int64_t row = token;
        if (arguments.inputs.size() > 3 && arguments.inputs[3].data != nullptr) {
            const TensorView& ids = arguments.inputs[3];
            row = ids.dtype == DType::I64 ? ids.as<int64_t>()[token] : ids.as<int32_t>()[token];
            if (row < 0 || row >= arguments.inputs[1].shape[0]) {
                return error(StatusCode::InvalidArgument, "node '", name_, "': position id ", row,
                             " is outside of the cache of ", arguments.inputs[1].shape[0]);
            }
        }
        const int64_t heads = head_major ? 1 : heads_;
        const int64_t columns = x.columns();
        kernel_(x.as<float>() + task * columns, arguments.inputs[1].as<float>() + row * half,
                arguments.inputs[2].as<float>() + row * half, heads, columns / heads, 2 * half, interleaved_,
                arguments.outputs[0].as<float>() + task * columns);
        return {};
    }

private:
    std::string name_;
    decltype(KernelTable::rotary) kernel_;
    int64_t heads_;
    bool interleaved_;
};

Status infer_rotary_embedding(InferContext& context) {
    for (size_t index = 0; index < 3; ++index) QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32}));
    const auto& dims = context.input(0).dims;
    const auto& cache = context.input(1).dims;
    if (!dims || !cache) return infer_same_as_first(context);
    if (dims->size() != 3 && dims->size() != 4)
        return context.fail("the input has rank ", dims->size(), ", not 3 or 4");
    const int64_t heads = context.node().integer("num_heads", 0);
    const Dim last = dims->back();
    if (dims->size() == 3 && (heads <= 0 || (last.known() && last.size % heads != 0))) {
        return context.fail("num_heads = ", heads, " does not divide the last dimension");
    }
    const int64_t head_size = dims->size() == 4 ? last.size : last.size / heads;
    if (last.known() && cache->back().known() && 2 * cache->back().size > head_size) {
        return context.fail("the caches are for ", 2 * cache->back().size, " of ", head_size, " values of a head");
    }
    return infer_same_as_first(context);
}

Result<std::unique_ptr<PreparedNode>> prepare_rotary_embedding(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<RotaryEmbedding>(
        context.node.name, context.kernels().rotary, context.node.integer("num_heads", 1),
        context.node.integer("interleaved", 0) != 0));
}

}  // namespace

extern const OpImplementation kRotaryCacheOp{infer_rotary_cache, prepare_rotary_cache};
extern const OpImplementation kRotaryEmbeddingOp{infer_rotary_embedding, prepare_rotary_embedding};

}  // namespace quoin
