// CacheUpdate and CachedAttention (quoin): attention over KV pages (kernels/layout.h) that a context owns.
//
// CacheUpdate(cache, data [1, T, kv_heads * D], positions [1, T], token_sequences [T], page_table [S, P],
//             cos, sin [1, T, R / 2]?) {kind = "keys" | "values", kv_num_heads, interleaved}
//     -> the same cache with the T tokens, after RotaryEmbedding where cos and sin are given, written to their pages.
// CachedAttention(query [1, T, heads * D], keys, values, positions, token_sequences, page_table)
//     {num_heads, kv_num_heads, scale, softcap, window} -> [1, T, heads * D].
// A token of sequence s at position p lies in page page_table[s][p / 32], slot p % 32, and sees the positions up to its
// own, or the last `window` of them.
//
// How attention is cut: a task is (a block of neighbouring rows of the step, one key/value head), task number = block
// of rows * kv heads + kv head, so that a single token has a task for each key/value head and neighbours in time read
// the same pages. A block has up to tokens / 8 rows and up to kTaskQueries queries: 16 sequences that decode make 8
// blocks of two rows each, a prompt makes blocks that widen a page once for all their queries. Within a task the rows
// of a sequence are one kernel call over all blocks of attention_block_tokens() positions. A call can also be limited
// to some of these blocks (AttentionArgs::partials) and its results joined later (attention_join) with the same bits:
// the third dimension of a task, (rows, kv head, blocks of positions), for a graph that has a step to join them.
#include <algorithm>
#include <cmath>

#include "kernels/layout.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

// Queries (rows x heads of a group) of a task: one read of a page, and one widening, serves them all.
constexpr int64_t kTaskQueries = 256;

// Keys and values of one layer are stored and read by the kernels of their element type.
struct CacheKernels {
    decltype(KernelTable::store_keys_f32) store_keys;
    decltype(KernelTable::store_values_f32) store_values;
    decltype(KernelTable::attention_f32) attention;
};

CacheKernels kernels_for(const KernelTable& table, DType dtype) {
    switch (dtype) {
        case DType::F16: return {table.store_keys_f16, table.store_values_f16, table.attention_f16};
        case DType::BF16: return {table.store_keys_bf16, table.store_values_bf16, table.attention_bf16};
        case DType::Q8_0: return {table.store_keys_q8_0, table.store_values_q8_0, table.attention_q8_0};
        case DType::Q4_0: return {table.store_keys_q4_0, table.store_values_q4_0, table.attention_q4_0};
        default: return {table.store_keys_f32, table.store_values_f32, table.attention_f32};
    }
}

Status expect_cache(const InferContext& context, size_t index) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0}));
    const auto& dims = context.input(index).dims;
    if (dims && dims->size() != 4) return context.fail("the cache has rank ", dims->size(), ", not 4");
    return {};
}

// The head size must be one that pages of this element type can hold.
Status expect_pages(const InferContext& context, size_t cache, int64_t columns, int64_t heads) {
    const DType dtype = context.input(cache).dtype;
    if (dtype == DType::Undefined || columns < 0 || heads <= 0 || columns % heads != 0) return {};
    if (columns / heads > kMaxHeadSize || page_head_bytes(dtype, columns / heads) == 0) {
        return context.fail("no ", dtype_name(dtype), " page holds heads of ", columns / heads, " values");
    }
    return {};
}

int64_t columns_of(const InferContext& context, size_t index) {
    const auto& dims = context.input(index).dims;
    return dims && !dims->empty() ? dims->back().size : -1;
}

// ---- CacheUpdate ----------------------------------------------------------------------------------------------

class CacheUpdate final : public PreparedNode {
public:
    CacheUpdate(const KernelTable& table, bool keys, int64_t heads, bool interleaved)
        : table_(table), keys_(keys), heads_(heads), interleaved_(interleaved) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const int64_t floats = arguments.inputs.size() > 5 ? arguments.inputs[1].columns() : 0;
        return Work{.tasks = arguments.inputs[1].rows(), .scratch_bytes = floats * int64_t{sizeof(float)}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& cache = arguments.outputs[0];
        const int64_t columns = arguments.inputs[1].columns();
        const int32_t position = arguments.inputs[2].as<int32_t>()[task];
        const int32_t sequence = arguments.inputs[3].as<int32_t>()[task];
        const TensorView& table = arguments.inputs[4];
        const int32_t page = table.as<int32_t>()[sequence * table.columns() + position / kPageTokens];
        const int64_t page_bytes = heads_ * page_head_bytes(cache.dtype, columns / heads_);
        const float* row = arguments.inputs[1].as<float>() + task * columns;
        if (arguments.inputs.size() > 5) {
            const int64_t half = arguments.inputs[5].columns();
            auto* const rotated = reinterpret_cast<float*>(scratch);
            table_.rotary(row, arguments.inputs[5].as<float>() + task * half,
                          arguments.inputs[6].as<float>() + task * half, heads_, columns / heads_, 2 * half,
                          interleaved_, rotated);
            row = rotated;
        }
        const CacheKernels use = kernels_for(table_, cache.dtype);
        (keys_ ? use.store_keys : use.store_values)(row, heads_, columns / heads_, position % kPageTokens,
                                                    cache.data + page * page_bytes);
        return {};
    }

private:
    const KernelTable& table_;
    bool keys_;
    int64_t heads_;
    bool interleaved_;
};

Status infer_cache_update(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_cache(context, 0));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::F32}));
    for (size_t index = 2; index < 5; ++index) QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::I32}));
    if (context.has_input(5) != context.has_input(6)) return context.fail("cos and sin come together");
    for (size_t index = 5; index < 7; ++index) QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(expect_pages(context, 0, columns_of(context, 1), context.node().integer("kv_num_heads", 0)));
    return infer_same_as_first(context);
}

Result<std::unique_ptr<PreparedNode>> prepare_cache_update(const PrepareContext& context) {
    const int64_t heads = context.node.integer("kv_num_heads", 0);
    if (heads <= 0) return context.fail(StatusCode::InvalidModel, "kv_num_heads is missing");
    const bool keys = context.node.string("kind", "") == "keys";
    const bool interleaved = context.node.integer("interleaved", 0) != 0;
    return std::unique_ptr<PreparedNode>(std::make_unique<CacheUpdate>(context.kernels(), keys, heads, interleaved));
}

// ---- CachedAttention ------------------------------------------------------------------------------------------

struct AttentionShape {
    int64_t heads;
    int64_t kv_heads;
    int64_t window;
    float scale;
    float softcap;
};

class CachedAttention final : public PreparedNode {
public:
    CachedAttention(const KernelTable& table, const AttentionShape& shape) : table_(table), shape_(shape) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        // A task is one key/value head and a block of rows; with few tokens every row is a task.
        const int64_t tokens = arguments.inputs[0].rows();
        const int64_t head_size = arguments.inputs[0].columns() / shape_.heads;
        const int64_t group = shape_.heads / shape_.kv_heads;
        const int64_t block = std::clamp<int64_t>(tokens / 8, 1, std::max<int64_t>(1, kTaskQueries / group));
        const int64_t floats = attention_scratch_floats(head_size, block, group);
        return Work{.tasks = (tokens + block - 1) / block * shape_.kv_heads,
                    .scratch_bytes = floats * int64_t{sizeof(float)},
                    .grain = {block, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const TensorView& query = arguments.inputs[0];
        const TensorView& keys = arguments.inputs[1];
        const TensorView& values = arguments.inputs[2];
        const auto* const positions = arguments.inputs[3].as<int32_t>();
        const auto* const sequences = arguments.inputs[4].as<int32_t>();
        const TensorView& table = arguments.inputs[5];

        const int64_t tokens = query.rows();
        const int64_t columns = query.columns();
        const int64_t head_size = columns / shape_.heads;
        const int64_t group = shape_.heads / shape_.kv_heads;
        const int64_t kv_head = task % shape_.kv_heads;
        const int64_t head_bytes = page_head_bytes(keys.dtype, head_size);
        const CacheKernels use = kernels_for(table_, keys.dtype);

        AttentionArgs args{};
        args.query_stride = columns;
        args.heads = group;
        args.head_size = head_size;
        args.window = shape_.window;
        args.scale = shape_.scale;
        args.softcap = shape_.softcap;
        args.key_base = keys.data + kv_head * head_bytes;
        args.value_base = values.data + kv_head * head_bytes;
        args.key_page_stride = args.value_page_stride = shape_.kv_heads * head_bytes;
        args.scratch = reinterpret_cast<float*>(scratch);
        args.dst_stride = columns;
        args.last_block = INT64_MAX;

        const int64_t begin = task / shape_.kv_heads * arguments.work.grain[0];
        const int64_t end = std::min(begin + arguments.work.grain[0], tokens);
        for (int64_t row = begin; row < end; row += args.rows) {
            const int32_t sequence = sequences[row];
            args.rows = std::find_if(sequences + row, sequences + end, [&](int32_t s) { return s != sequence; }) -
                        (sequences + row);
            args.positions = positions + row;
            args.pages = table.as<int32_t>() + sequence * table.columns();
            args.query = query.as<float>() + row * columns + kv_head * group * head_size;
            args.dst = arguments.outputs[0].as<float>() + row * columns + kv_head * group * head_size;
            use.attention(args);
        }
        return {};
    }

private:
    const KernelTable& table_;
    AttentionShape shape_;
};

Status infer_cached_attention(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(expect_cache(context, 1));
    QUOIN_RETURN_IF_ERROR(expect_cache(context, 2));
    for (size_t index = 3; index < 6; ++index) QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::I32}));
    if (context.input(1).dtype != context.input(2).dtype) return context.fail("keys and values differ in element type");
    QUOIN_RETURN_IF_ERROR(expect_pages(context, 1, columns_of(context, 0), context.node().integer("num_heads", 0)));
    return infer_same_as_first(context);
}

Result<std::unique_ptr<PreparedNode>> prepare_cached_attention(const PrepareContext& context) {
    const Node& node = context.node;
    const AttentionShape shape{node.integer("num_heads", 0), node.integer("kv_num_heads", 0), node.integer("window", 0),
                               static_cast<float>(node.number("scale", 0.0)),
                               static_cast<float>(node.number("softcap", 0.0))};
    if (shape.heads <= 0 || shape.kv_heads <= 0 || shape.heads % shape.kv_heads != 0 || shape.scale == 0.0F) {
        return context.fail(StatusCode::InvalidModel, "head counts or scale are missing or do not fit each other");
    }
    return std::unique_ptr<PreparedNode>(std::make_unique<CachedAttention>(context.kernels(), shape));
}

}  // namespace

extern const OpImplementation kCacheUpdateOp{infer_cache_update, prepare_cache_update};
extern const OpImplementation kCachedAttentionOp{infer_cached_attention, prepare_cached_attention};

}  // namespace quoin
