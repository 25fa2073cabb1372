// CacheUpdate and CachedAttention (quoin): attention over KV pages (kernels/layout.h) that a context owns.
//
// CacheUpdate(cache, data [1, T, kv_heads * D], positions [1, T], token_sequences [T], page_table [S, P],
//             cos, sin [1, T, R / 2]?) {kind = "keys" | "values", kv_num_heads, interleaved, by_reader}
//     -> the same cache with the T tokens, after RotaryEmbedding where cos and sin are given, written to their pages.
// CachedAttention(query [1, T, heads * D], keys, values, positions, token_sequences, page_table, cos, sin?,
//                 new keys, new values [1, T, kv_heads * D]?) {num_heads, kv_num_heads, scale, softcap, window,
//                 interleaved} -> [1, T, heads * D], partial results?
// A token of sequence s at position p lies in page page_table[s][p / 32], slot p % 32, and sees the positions up to its
// own, or the last `window` of them. Where cos and sin are given, queries (and new keys) are rotated first.
//
// How attention is cut: a task is (a block of neighbouring rows of the step, one key/value head), task number = block
// of rows, counted from the last one, * kv heads + kv head, so that neighbours in time read the same pages. A block
// has up to tokens / 8 rows and up to kTaskQueries queries: 16 sequences that decode make 8 blocks of two rows each, a
// prompt makes blocks that widen a page once for all their queries. Within a task the rows of a sequence are one
// kernel call over all blocks of attention_block_tokens() positions.
//
// A step of one token is different, where the node has the new keys and values and room for partial results:
// - A barrier between what stores a token and what looks at it would cost more than either. The update, which is marked
//   `by_reader`, has no tasks, and the task that looks at a head's last position stores that head's keys and values.
// - A key/value head has several tasks, each with some of the blocks of positions. The one that ends last joins their
//   results, with the same bits as one call over all blocks.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "core/rounding.h"
#include "kernels/layout.h"
#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

// Queries (rows x heads of a group) of a task: one read of a page, and one widening, serves them all.
constexpr int64_t kTaskQueries = 256;
// Tasks of one token for each thread, so that who is late keeps the others waiting for a fraction of it.
constexpr int64_t kSharesOfToken = 4;

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
    CacheUpdate(const KernelTable& table, bool keys, int64_t heads, bool interleaved, bool by_reader)
        : table_(table), keys_(keys), heads_(heads), interleaved_(interleaved), by_reader_(by_reader) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const int64_t tokens = arguments.inputs[1].rows();
        const int64_t floats = arguments.inputs.size() > 5 ? arguments.inputs[1].columns() : 0;
        return Work{.tasks = by_reader_ && tokens == 1 ? 0 : tokens, .scratch_bytes = floats * int64_t{sizeof(float)}};
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
    bool by_reader_;
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
    const bool by_reader = context.node.integer("by_reader", 0) != 0;
    return std::unique_ptr<PreparedNode>(
        std::make_unique<CacheUpdate>(context.kernels(), keys, heads, interleaved, by_reader));
}

// ---- CachedAttention ------------------------------------------------------------------------------------------

struct AttentionShape {
    int64_t heads;
    int64_t kv_heads;
    int64_t window;
    float scale;
    float softcap;
    bool interleaved;
};

enum CachedAttentionInput : size_t {
    kPositions = 3,
    kTokenSequences,
    kPageTable,
    kCosines,
    kSines,
    kNewKeys,
    kNewValues
};

bool has_input(const Arguments& arguments, size_t index) {
    return index < arguments.inputs.size() && arguments.inputs[index].dtype != DType::Undefined;
}

// Blocks of positions that a table of pages has room for.
int64_t most_blocks(int64_t pages, int64_t head_size) {
    return divide_up(pages * kPageTokens, attention_block_tokens(head_size));
}

// Of a step of one token: how many tasks of a key/value head have ended. All zero between runs; a run that fails may
// leave it otherwise, and so does not leave its plan.
struct EndedTasks final : PlannedState {
    explicit EndedTasks(int64_t kv_heads) : of_head(static_cast<size_t>(kv_heads)) {}
    struct alignas(64) Count {  // threads are at work on neighbours
        std::atomic<int64_t> tasks{0};
    };
    mutable std::vector<Count> of_head;
};

class CachedAttention final : public PreparedNode {
public:
    CachedAttention(const KernelTable& table, const AttentionShape& shape) : table_(table), shape_(shape) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const int64_t tokens = arguments.inputs[0].rows();
        const int64_t head_size = arguments.inputs[0].columns() / shape_.heads;
        const int64_t group = shape_.heads / shape_.kv_heads;
        const int64_t block = std::clamp<int64_t>(tokens / 8, 1, std::max<int64_t>(1, kTaskQueries / group));
        const int64_t floats = attention_scratch_floats(head_size, block, group) + rotated_floats(block, head_size);
        Work work{.tasks = divide_up(tokens, block) * shape_.kv_heads,
                  .scratch_bytes = floats * int64_t{sizeof(float)},
                  .grain = {block, 1}};
        if (tokens == 1 && has_input(arguments, kNewKeys)) {
            const int64_t slices =
                std::min(divide_up(kSharesOfToken * threads, shape_.kv_heads),
                         std::max<int64_t>(1, most_blocks(arguments.inputs[kPageTable].columns(), head_size)));
            work.tasks *= threads == 1 ? 1 : slices;
            work.state = std::make_shared<const EndedTasks>(shape_.kv_heads);
        }
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        AttentionArgs args = arguments_of(arguments);
        args.scratch = reinterpret_cast<float*>(scratch) +
                       rotated_floats(arguments.work.grain[0], args.head_size);  // a multiple of 16
        if (arguments.work.state != nullptr) {
            run_token(arguments, task, reinterpret_cast<float*>(scratch), args);
            return {};
        }
        const int64_t kv_head = task % shape_.kv_heads;
        // Later queries of a sequence see more keys. Long tasks first, for when the last ones end, threads wait for
        // each other.
        const int64_t rows = arguments.inputs[0].rows();
        const int64_t block = arguments.work.grain[0];
        const int64_t begin = (divide_up(rows, block) - 1 - task / shape_.kv_heads) * block;
        const int64_t end = std::min(begin + block, rows);
        const auto* const sequences = arguments.inputs[kTokenSequences].as<int32_t>();
        choose_head(arguments, kv_head, args);
        for (int64_t row = begin; row < end; row += args.rows) {
            const int32_t sequence = sequences[row];
            args.rows = std::find_if(sequences + row, sequences + end, [&](int32_t s) { return s != sequence; }) -
                        (sequences + row);
            choose_rows(arguments, row, kv_head, reinterpret_cast<float*>(scratch), args);
            kernels_for(table_, arguments.inputs[1].dtype).attention(args);
        }
        return {};
    }

private:
    // Room in front of the kernel's scratch for rotated queries and keys, in whole vectors.
    int64_t rotated_floats(int64_t rows, int64_t head_size) const {
        return align_up((rows * shape_.heads / shape_.kv_heads + 1) * head_size, 16);
    }

    AttentionArgs arguments_of(const Arguments& arguments) const {
        const int64_t columns = arguments.inputs[0].columns();
        AttentionArgs args{};
        args.heads = shape_.heads / shape_.kv_heads;
        args.head_size = columns / shape_.heads;
        args.window = shape_.window;
        args.scale = shape_.scale;
        args.softcap = shape_.softcap;
        args.key_page_stride = args.value_page_stride =
            shape_.kv_heads * page_head_bytes(arguments.inputs[1].dtype, args.head_size);
        args.dst_stride = columns;
        args.last_block = INT64_MAX;
        return args;
    }

    void choose_head(const Arguments& arguments, int64_t kv_head, AttentionArgs& args) const {
        const int64_t head_bytes = page_head_bytes(arguments.inputs[1].dtype, args.head_size);
        args.key_base = arguments.inputs[1].data + kv_head * head_bytes;
        args.value_base = arguments.inputs[2].data + kv_head * head_bytes;
    }

    // args.rows rows of one sequence, from `row` on. `rotated` has room for their queries.
    void choose_rows(const Arguments& arguments, int64_t row, int64_t kv_head, float* rotated,
                     AttentionArgs& args) const {
        const int64_t columns = arguments.inputs[0].columns();
        const int64_t group_columns = args.heads * args.head_size;
        const TensorView& table = arguments.inputs[kPageTable];
        args.positions = arguments.inputs[kPositions].as<int32_t>() + row;
        args.pages = table.as<int32_t>() + arguments.inputs[kTokenSequences].as<int32_t>()[row] * table.columns();
        args.query = arguments.inputs[0].as<float>() + row * columns + kv_head * group_columns;
        args.query_stride = columns;
        args.dst = arguments.outputs[0].as<float>() + row * columns + kv_head * group_columns;
        if (!has_input(arguments, kCosines)) return;
        for (int64_t r = 0; r < args.rows; ++r) {
            rotate(arguments, row + r, args.query + r * columns, args.heads, args.head_size,
                   rotated + r * group_columns);
        }
        args.query = rotated;
        args.query_stride = group_columns;
    }

    void rotate(const Arguments& arguments, int64_t row, const float* src, int64_t heads, int64_t head_size,
                float* dst) const {
        const int64_t half = arguments.inputs[kCosines].columns();
        table_.rotary(src, arguments.inputs[kCosines].as<float>() + row * half,
                      arguments.inputs[kSines].as<float>() + row * half, heads, head_size, 2 * half, shape_.interleaved,
                      dst);
    }

    // One of the tasks of a key/value head, in a step of one token.
    void run_token(const Arguments& arguments, int64_t task, float* rotated, AttentionArgs& args) const {
        const int64_t slices = arguments.work.tasks / shape_.kv_heads;
        const int64_t kv_head = task / slices;
        const int64_t slice = task % slices;
        const int32_t position = arguments.inputs[kPositions].as<int32_t>()[0];
        const int64_t block_tokens = attention_block_tokens(args.head_size);
        const int64_t first = shape_.window > 0 ? std::max<int64_t>(0, position + 1 - shape_.window) / block_tokens : 0;
        const int64_t blocks = position / block_tokens + 1 - first;
        args.first_block = first + blocks * slice / slices;
        args.last_block = first + blocks * (slice + 1) / slices;
        if (args.first_block == args.last_block) return;
        args.rows = 1;
        choose_head(arguments, kv_head, args);
        choose_rows(arguments, 0, kv_head, rotated, args);
        if (slice + 1 == slices) store_token(arguments, kv_head, position, rotated + args.heads * args.head_size, args);
        const int64_t queries = args.heads;
        const int64_t floats = attention_partial_floats(args.head_size);
        const int64_t parts = std::min(slices, blocks);
        if (parts > 1) {
            args.partial_stride = queries * floats;
            args.partials =
                arguments.outputs[1].as<float>() +
                (kv_head * most_blocks(arguments.inputs[kPageTable].columns(), args.head_size)) * args.partial_stride;
        }
        kernels_for(table_, arguments.inputs[1].dtype).attention(args);
        if (parts == 1) return;
        std::atomic<int64_t>& ended =
            static_cast<const EndedTasks&>(*arguments.work.state).of_head[static_cast<size_t>(kv_head)].tasks;
        if (ended.fetch_add(1, std::memory_order_acq_rel) + 1 < parts) return;
        ended.store(0, std::memory_order_relaxed);
        for (int64_t q = 0; q < queries; ++q) {
            table_.attention_join(args.partials + first * args.partial_stride + q * floats, args.partial_stride, blocks,
                                  args.head_size, args.scratch, args.dst + q * args.head_size);
        }
    }

    void store_token(const Arguments& arguments, int64_t kv_head, int64_t position, float* rotated,
                     const AttentionArgs& args) const {
        const float* key = arguments.inputs[kNewKeys].as<float>() + kv_head * args.head_size;
        const float* const value = arguments.inputs[kNewValues].as<float>() + kv_head * args.head_size;
        if (has_input(arguments, kCosines)) {
            rotate(arguments, 0, key, 1, args.head_size, rotated);
            key = rotated;
        }
        const int64_t page = args.pages[position / kPageTokens];
        const int64_t slot = position % kPageTokens;
        const int64_t head_bytes = page_head_bytes(arguments.inputs[1].dtype, args.head_size);
        const CacheKernels use = kernels_for(table_, arguments.inputs[1].dtype);
        const int64_t offset = page * args.key_page_stride + kv_head * head_bytes;
        use.store_keys(key, 1, args.head_size, slot, arguments.inputs[1].data + offset);
        use.store_values(value, 1, args.head_size, slot, arguments.inputs[2].data + offset);
    }

    const KernelTable& table_;
    AttentionShape shape_;
};

Status infer_cached_attention(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(expect_cache(context, 1));
    QUOIN_RETURN_IF_ERROR(expect_cache(context, 2));
    for (size_t index = kPositions; index <= kPageTable; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::I32}));
    }
    for (size_t index = kCosines; index <= kNewValues; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32}));
    }
    if (context.has_input(kCosines) != context.has_input(kSines)) return context.fail("cos and sin come together");
    const bool stores = context.has_input(kNewKeys);
    if (stores != context.has_input(kNewValues) || stores != context.wants_output(1)) {
        return context.fail("new keys, new values and partial results come together");
    }
    if (context.input(1).dtype != context.input(2).dtype) return context.fail("keys and values differ in element type");
    const int64_t heads = context.node().integer("num_heads", 0);
    const int64_t kv_heads = context.node().integer("kv_num_heads", 0);
    const int64_t columns = columns_of(context, 0);
    QUOIN_RETURN_IF_ERROR(expect_pages(context, 1, columns, heads));
    if (stores && columns >= 0 && heads > 0) {
        for (const size_t index : {kNewKeys, kNewValues}) {
            const int64_t found = columns_of(context, index);
            if (found >= 0 && found != columns / heads * kv_heads) {
                return context.fail("a new token has ", found, " keys or values for ", kv_heads, " heads");
            }
        }
        const auto& query = context.input(0).dims;
        const auto& table = context.input(kPageTable).dims;
        std::optional<std::vector<Dim>> partials;
        if (query && query->size() == 3 && (*query)[1].known() && table && table->size() == 2 &&
            table->back().known()) {
            const int64_t room = (*query)[1].size == 1 ? most_blocks(table->back().size, columns / heads) : 0;
            partials = {{.size = room}, {.size = heads}, {.size = attention_partial_floats(columns / heads)}};
        }
        context.set_output(1, DType::F32, std::move(partials));
    }
    return infer_same_as_first(context);
}

Result<std::unique_ptr<PreparedNode>> prepare_cached_attention(const PrepareContext& context) {
    const Node& node = context.node;
    const AttentionShape shape{node.integer("num_heads", 0),
                               node.integer("kv_num_heads", 0),
                               node.integer("window", 0),
                               static_cast<float>(node.number("scale", 0.0)),
                               static_cast<float>(node.number("softcap", 0.0)),
                               node.integer("interleaved", 0) != 0};
    if (shape.heads <= 0 || shape.kv_heads <= 0 || shape.heads % shape.kv_heads != 0 || shape.scale == 0.0F) {
        return context.fail(StatusCode::InvalidModel, "head counts or scale are missing or do not fit each other");
    }
    return std::unique_ptr<PreparedNode>(std::make_unique<CachedAttention>(context.kernels(), shape));
}

}  // namespace

extern const OpImplementation kCacheUpdateOp{infer_cache_update, prepare_cache_update};
extern const OpImplementation kCachedAttentionOp{infer_cached_attention, prepare_cached_attention};

}  // namespace quoin
