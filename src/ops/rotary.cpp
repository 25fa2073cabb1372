// RotaryEmbedding (ONNX 23) and RotaryCache (quoin).
//
// RotaryCache(positions [B, S], inverse frequencies [R / 2]) {scale} -> cos, sin [B, S, R / 2]: scale * cos(p * f).
// Made once per step and read by every layer, so no table in the length of the longest context is kept.
#include <algorithm>
#include <cmath>

#include "ops/infer_rules.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

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
    for (size_t index = 0; index < 3; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F16, DType::BF16}));
        if (context.input(index).dtype != context.input(0).dtype) {
            return context.fail("the inputs have different element types");
        }
    }
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(3, {DType::I64, DType::I32}));
    const auto& dims = context.input(0).dims;
    const auto& cache = context.input(1).dims;
    const auto& sines = context.input(2).dims;
    if (cache && sines && !std::ranges::equal(*cache, *sines, may_equal)) {
        return context.fail("the caches have different shapes");
    }
    if (!dims || !cache) return infer_same_as_first(context);
    if (dims->size() != 3 && dims->size() != 4)
        return context.fail("the input has rank ", dims->size(), ", not 3 or 4");
    const int64_t heads = context.node().integer("num_heads", 0);
    const Dim last = dims->back();
    if (dims->size() == 3 && (heads <= 0 || (last.known() && last.size % heads != 0))) {
        return context.fail("num_heads = ", heads, " does not divide the last dimension");
    }
    const bool positions = context.has_input(3);
    if (cache->size() != (positions ? 2U : 3U)) return context.fail("the caches have rank ", cache->size());
    const int64_t head_size = dims->size() == 4 ? last.size : last.size / heads;
    if (last.known() && cache->back().known() && 2 * cache->back().size > head_size) {
        return context.fail("the caches are for ", 2 * cache->back().size, " of ", head_size, " values of a head");
    }
    const int64_t rotated = context.node().integer("rotary_embedding_dim", 0);
    if (rotated != 0 && cache->back().known() && 2 * cache->back().size != rotated) {
        return context.fail("the caches are for ", 2 * cache->back().size, " values, rotary_embedding_dim is ",
                            rotated);
    }
    const auto& tokens = positions ? context.input(3).dims : cache;
    const Dim length = (*dims)[dims->size() - 2];
    if (dims->size() == 3 || tokens) {
        const Dim sequence = dims->size() == 3 ? (*dims)[1] : length;
        if (tokens && (tokens->size() < 2 || (positions && tokens->size() != 2) ||
                       !may_equal((*tokens)[0], (*dims)[0]) || !may_equal((*tokens)[1], sequence))) {
            return context.fail(positions ? "the position ids are" : "the caches are", " not those of [batch, tokens]");
        }
    }
    return infer_same_as_first(context);
}

// Halves: the pairs one by one.
Status compute_rotary_embedding(ComputeContext& context) {
    const Tensor& tensor = context.input(0);
    const Shape& shape = tensor.shape();
    const bool head_major = shape.rank() == 4;
    const bool interleaved = context.node().integer("interleaved", 0) != 0;
    const int64_t heads = head_major ? shape[1] : context.node().integer("num_heads", 1);
    const int64_t tokens = head_major ? shape[2] : shape[1];
    const int64_t size = head_major ? shape[3] : shape[2] / heads;
    const Shape& cache = context.input(1).shape();
    const int64_t half = cache.back();
    QUOIN_ASSIGN_OR_RETURN(const Tensor result, context.output(0, tensor.dtype(), shape));
    const ReadAs<float> x(tensor);
    const ReadAs<float> cosines(context.input(1));
    const ReadAs<float> sines(context.input(2));
    const ReadAs<double> ids(context.input(3));
    WriteAs<float> y(result);
    const auto count = static_cast<int64_t>(x.size());
    for (int64_t first = 0; first < count; first += size) {
        const int64_t vector = first / size;
        const int64_t batch = vector / (heads * tokens);
        const int64_t token = batch * tokens + (head_major ? vector % tokens : vector / heads % tokens);
        int64_t row = token;
        if (!ids.empty()) {
            if (!(ids[token] >= 0 && ids[token] < static_cast<double>(cache[0]))) {
                return context.fail("position id ", ids[token], " is outside of the cache of ", cache[0]);
            }
            row = static_cast<int64_t>(ids[token]);
        }
        for (int64_t pair = 0; pair < half; ++pair) {
            const int64_t a = first + (interleaved ? 2 * pair : pair);
            const int64_t b = interleaved ? a + 1 : a + half;
            const float left = x[a];
            const float right = x[b];
            const float cos = cosines[row * half + pair];
            const float sin = sines[row * half + pair];
            y[a] = left * cos - right * sin;
            y[b] = right * cos + left * sin;
        }
        for (int64_t index = first + 2 * half; index < first + size; ++index) y[index] = x[index];
    }
    y.store();
    return {};
}

Result<std::unique_ptr<PreparedNode>> prepare_rotary_embedding(const PrepareContext& context) {
    if (context.graph.value(context.node.inputs[0]).dtype != DType::F32) return std::unique_ptr<PreparedNode>();
    return std::unique_ptr<PreparedNode>(std::make_unique<RotaryEmbedding>(
        context.node.name, context.kernels().rotary, context.node.integer("num_heads", 1),
        context.node.integer("interleaved", 0) != 0));
}

}  // namespace

extern const OpImplementation kRotaryCacheOp{infer_rotary_cache, prepare_rotary_cache};
extern const OpImplementation kRotaryEmbeddingOp{infer_rotary_embedding, prepare_rotary_embedding,
                                                 compute_rotary_embedding};

}  // namespace quoin
