// Attention over KV pages: what every kind of cache shares. The arithmetic is the cache's: FloatCache, PairCache and
// IntegerCache in attention_float.inl, attention_bf16.inl and attention_integer.inl have
//   kTileQueries       queries whose scores are computed before their softmax
//   prepare_queries()  all queries of the call, scaled and in the form that score() wants
//   prepare_block()    keys and values of a block, converted once where several tiles would convert them again
//   score()            a tile of queries times the keys of some pages
//   weigh()            their probabilities times the values of these pages
//
// A query is one head of one row of the call. A channel is one of the head_size numbers of a query, key or value.
//
// Softmax is computed within blocks of attention_block_tokens() positions, and blocks are joined in order of position.
// So a block's result depends on the query and the block alone, and a query's bits depend neither on the queries beside
// it nor on who computed which block.

namespace quoin {
namespace {

constexpr float kLog2E = 1.44269504088896341F;
// A register tile of so many queries leaves room for two vectors of tokens or channels.
constexpr int kFloatTileQueries = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 4;
static_assert(kFloatTileQueries <= kAttentionTileQueries);
// So few queries, mostly those of one token, wait for memory: they prefetch, and multiply keys and values as pages hold
// them. More queries convert a block once for all of them; four lanes convert slowly, so there from the second tile on.
constexpr int64_t kMostQueriesInPlace = kLanes == 4 ? kFloatTileQueries : kAttentionTileQueries;
constexpr int64_t kMostBlockPages = kMostBlockTokens / kPageTokens;
constexpr int64_t kPagePairs = kPageTokens / 2;
// Floats between the scores of two queries: a constant, so that a tile needs one pointer for all its queries.
constexpr int64_t kScoreStride = kMostBlockTokens;
// Pages of keys or values between what is read and what is prefetched.
constexpr int64_t kPrefetchPages = 2;

struct AttentionState {
    // Of all queries. Outputs are divided by the sums of probabilities after the last block.
    std::byte* queries;
    int64_t query_bytes;  // of one
    float* outputs;       // [queries][padded_size]
    float* max_scores;
    float* probability_sums;
    // Of the tile and block at hand.
    float* scores;         // [tile][kScoreStride], after softmax the probabilities
    float* block_outputs;  // [tile][padded_size]
    float block_max_scores[kAttentionTileQueries];
    float block_probability_sums[kAttentionTileQueries];
    float* scaled_probabilities;  // [block_tokens], of one query: times the scales of values
    int32_t* probability_pairs;   // [tile][kScoreStride / 2], rounded to 16 bits
    std::byte* keys;              // of the block, converted
    std::byte* values;
    int64_t padded_size;  // head_size in whole vectors
    int64_t block_tokens;
};

struct Range {
    int64_t first = INT64_MAX;
    int64_t last = 0;
    bool empty() const { return first >= last; }
    // Grows to hold `other`, too, and what lies between.
    void include(Range other) {
        if (!other.empty()) *this = {smaller(first, other.first), larger(last, other.last)};
    }
};

struct Block {
    int64_t first_position;
    Range pages;  // those that some row of the call sees, counted from the block's first
    const std::byte* keys[kMostBlockPages];
    const std::byte* values[kMostBlockPages];
    // Pages in the order in which they are read: this block's keys, its values, the next block's keys. The page that is
    // prefetched stands kPrefetchPages behind the one that is read.
    const std::byte* read_order[2 * kMostBlockPages + kPrefetchPages];
};

QUOIN_INLINE Range positions_seen(const AttentionArgs& args, int64_t row) {
    const int64_t last = int64_t{args.positions[row]} + 1;
    return {args.window > 0 ? larger(last - args.window, int64_t{0}) : 0, last};
}
// Counted from the block's first token.
QUOIN_INLINE Range tokens_seen(const AttentionArgs& args, int64_t row, int64_t first_position, int64_t block_tokens) {
    const Range seen = positions_seen(args, row);
    return {larger(seen.first - first_position, int64_t{0}), smaller(seen.last - first_position, block_tokens)};
}

// 2^x for x <= 0, within 1 ulp; 2^-126 for all that is smaller, NaN for NaN.
QUOIN_INLINE Floats exp2_of(Floats argument) {
    const Floats x = maximum(broadcast(-126.0F), argument);
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const Floats shifted = x + broadcast(12582912.0F);
    const Floats r = x - (shifted - broadcast(12582912.0F));
    Floats p = broadcast(1.534581242594868e-4F);
    p = fma(p, r, broadcast(1.3399930903688073e-3F));
    p = fma(p, r, broadcast(9.618489071726799e-3F));
    p = fma(p, r, broadcast(5.550328642129898e-2F));
    p = fma(p, r, broadcast(0.24022646248340607F));
    p = fma(p, r, broadcast(0.6931471824645996F));
    p = fma(p, r, broadcast(1.0F));
    return as_floats(add_ints(as_ints(p), shift_left<23>(as_ints(shifted))));
}

// Scores, which are logarithms to base 2, become probabilities relative to the largest one. Of `tokens`, those of the
// pages at hand, the ones not in `seen` get 0.
QUOIN_INLINE void softmax_block(float* scores, Range seen, Range tokens, float softcap, float* max_score,
                                float* probability_sum) {
    const Floats lowest = broadcast(-kInfinity);
    const int64_t begin = seen.first / kLanes * kLanes;
    const int64_t end = (seen.last + kLanes - 1) / kLanes * kLanes;
    // Only the vectors at both ends can hold tokens that are not seen.
    const auto mask = [&](int64_t t, Floats other) QUOIN_LAMBDA_INLINE {
        store(scores + t, keep_range(load(scores + t), seen.first - t, seen.last - t, other));
    };
    const bool ragged = seen.first != begin || seen.last != end;
    if (softcap != 0) {
        const Floats cap = broadcast(softcap);
        for (int64_t t = begin; t < end; t += kLanes) store(scores + t, cap * tanh_of(load(scores + t) / cap));
    }
    if (ragged) {
        mask(begin, lowest);
        mask(end - kLanes, lowest);
    }
    Floats highs[2] = {lowest, lowest};  // two chains, for latency
    int64_t t = begin;
    for (; t + 2 * kLanes <= end; t += 2 * kLanes) {
        highs[0] = maximum(load(scores + t), highs[0]);
        highs[1] = maximum(load(scores + t + kLanes), highs[1]);
    }
    if (t < end) highs[0] = maximum(load(scores + t), highs[0]);
    // Never below the lowest float: where all scores are -inf, -inf - -inf would make NaN of them.
    const float max = larger(largest(maximum(highs[0], highs[1])), -kLargestFloat);
    const Floats max_lanes = broadcast(max);
    Floats sum = zeros();
    for (t = begin; t < end; t += kLanes) {
        const Floats p = exp2_of(load(scores + t) - max_lanes);
        store(scores + t, p);
        sum = sum + p;  // what is not seen adds 2^-126, too little to change the sum of the rest
    }
    if (ragged) {
        mask(begin, zeros());
        mask(end - kLanes, zeros());
    }
    for (t = tokens.first; t < begin; t += kLanes) store(scores + t, zeros());
    for (t = end; t < tokens.last; t += kLanes) store(scores + t, zeros());
    *max_score = max;
    *probability_sum = sum_floats(sum);
}

// What is known of one query so far: output and sum of probabilities are relative to 2^max_score.
struct QueryResult {
    float* output;
    float* max_score;
    float* probability_sum;
};

// Online softmax (Milakov, Gimelshein 2018; Dao 2022).
QUOIN_INLINE void join_block(const QueryResult& result, const float* block_output, float block_max_score,
                             float block_probability_sum, int64_t padded_size) {
    const float before = *result.max_score;
    const float now = larger(before, block_max_score);
    *result.max_score = now;
    const float keep = before == now          ? 1.0F
                       : before == -kInfinity ? 0.0F
                                              : first_lane(exp2_of(broadcast(before - now)));
    const float add = block_max_score == now ? 1.0F : first_lane(exp2_of(broadcast(block_max_score - now)));
    *result.probability_sum =
        first_lane(fma(broadcast(block_probability_sum), broadcast(add), broadcast(*result.probability_sum * keep)));
    for (int64_t i = 0; i < padded_size; i += kLanes) {
        store(result.output + i,
              fma(load(block_output + i), broadcast(add), load(result.output + i) * broadcast(keep)));
    }
}

QUOIN_INLINE void write_output(const float* output, float probability_sum, int64_t size, float* dst) {
    const Floats divisor = broadcast(probability_sum == 0 ? 1.0F : probability_sum);
    for_vectors(size, [=](int64_t i, int64_t n)
                          QUOIN_LAMBDA_INLINE { store_some(dst + i, load_some(output + i, n) / divisor, n); });
}

// Calls tile(first_query, queries). Tiles of nearly equal height: a last one of few queries would waste its loads.
template <class Function>
QUOIN_INLINE void for_tiles(int64_t queries, int64_t most, Function tile) {
    int64_t first_query = 0;
    for (int64_t tiles = (queries + most - 1) / most; tiles > 0; --tiles) {
        const int64_t count = (queries - first_query + tiles - 1) / tiles;
        tile(first_query, count);
        first_query += count;
    }
}

// Makes a count of 1..kMost queries a constant: calls function.template operator()<queries>().
template <int kMost, class Function>
QUOIN_INLINE void with_queries(int64_t queries, const Function& function) {
    if (queries == kMost) {
        function.template operator()<kMost>();
    } else if constexpr (kMost > 1) {
        with_queries<kMost - 1>(queries, function);
    }
}

QUOIN_INLINE void find_pages(const AttentionArgs& args, Range seen_by_any, int64_t block_tokens, Block& block) {
    const int64_t pages = block_tokens / kPageTokens;
    const int64_t first = block.first_position / kPageTokens;
    const int64_t end = (seen_by_any.last + kPageTokens - 1) / kPageTokens;
    block.pages = {larger(seen_by_any.first / kPageTokens - first, int64_t{0}), smaller(end - first, pages)};
    const std::byte** next = block.read_order;
    for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
        *next++ = block.keys[p] = args.key_base + args.pages[first + p] * args.key_page_stride;
    }
    for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
        *next++ = block.values[p] = args.value_base + args.pages[first + p] * args.value_page_stride;
    }
    // Behind the last block nothing is left to prefetch, so the last page again.
    for (int64_t i = 0; i < kPrefetchPages; ++i, ++next) {
        const int64_t page = first + pages + i;
        *next = page < end ? args.key_base + args.pages[page] * args.key_page_stride : next[-1];
    }
}

template <class Cache>
QUOIN_INLINE void attend_tile(const AttentionArgs& args, AttentionState& state, const Block& block, int64_t first_query,
                              int64_t queries) {
    Range seen[kAttentionTileQueries];
    Range seen_by_any;
    for (int64_t i = 0; i < queries; ++i) {
        seen[i] = tokens_seen(args, (first_query + i) / args.heads, block.first_position, state.block_tokens);
        seen_by_any.include(seen[i]);
    }
    const bool none_seen = seen_by_any.empty();
    const Range pages = {seen_by_any.first / kPageTokens, (seen_by_any.last + kPageTokens - 1) / kPageTokens};
    const Range tokens = {pages.first * kPageTokens, pages.last * kPageTokens};
    if (!none_seen) {
        Cache::score(args, state, block, first_query, queries, pages);
        for (int64_t i = 0; i < queries; ++i) {
            float* const scores = state.scores + i * kScoreStride;
            if (!seen[i].empty()) {
                softmax_block(scores, seen[i], tokens, args.softcap * kLog2E, state.block_max_scores + i,
                              state.block_probability_sums + i);
            } else {
                for (int64_t t = tokens.first; t < tokens.last; t += kLanes) store(scores + t, zeros());
            }
        }
        Cache::weigh(args, state, block, queries, pages, seen);
    }
    for (int64_t i = 0; i < queries; ++i) {
        const int64_t q = first_query + i;
        if (args.partials != nullptr) {
            float* const partial = args.partials + (block.first_position / state.block_tokens * args.partial_stride) +
                                   q * attention_partial_floats(args.head_size);
            partial[0] = seen[i].empty() ? -kInfinity : state.block_max_scores[i];
            partial[1] = seen[i].empty() ? 0.0F : state.block_probability_sums[i];
            if (seen[i].empty()) continue;
            const float* const output = state.block_outputs + i * state.padded_size;
            for_vectors(args.head_size, [=](int64_t at, int64_t n) QUOIN_LAMBDA_INLINE {
                store_some(partial + 2 + at, load_some(output + at, n), n);
            });
        } else if (!seen[i].empty()) {
            join_block({state.outputs + q * state.padded_size, state.max_scores + q, state.probability_sums + q},
                       state.block_outputs + i * state.padded_size, state.block_max_scores[i],
                       state.block_probability_sums[i], state.padded_size);
        }
    }
}

template <class Cache>
QUOIN_INLINE void attention(const AttentionArgs& args) {
    const int64_t size = args.head_size;
    const int64_t queries = args.rows * args.heads;
    AttentionState state = {};
    state.block_tokens = attention_block_tokens(size);
    state.padded_size = (size + kLanes - 1) / kLanes * kLanes;
    const int64_t most_padded_size = (size + 15) / 16 * 16;  // attention_scratch_floats() knows no instruction set
    float* scratch = args.scratch;
    const auto take = [&](int64_t floats) QUOIN_LAMBDA_INLINE {
        float* const part = scratch;
        scratch += floats;
        return part;
    };
    state.queries = reinterpret_cast<std::byte*>(take(queries * size));
    state.outputs = take(queries * most_padded_size);
    state.max_scores = take(queries);
    state.probability_sums = take(queries);
    state.scores = take(kAttentionTileQueries * kScoreStride);
    state.block_outputs = take(kAttentionTileQueries * most_padded_size);
    state.probability_pairs = reinterpret_cast<int32_t*>(take(kAttentionTileQueries * kScoreStride / 2));
    state.scaled_probabilities = take(kScoreStride);
    state.keys = reinterpret_cast<std::byte*>(take(state.block_tokens * size));
    state.values = reinterpret_cast<std::byte*>(take(state.block_tokens * most_padded_size));

    Range seen_by_any;
    for (int64_t row = 0; row < args.rows; ++row) seen_by_any.include(positions_seen(args, row));
    Cache::prepare_queries(args, state);
    if (args.partials == nullptr) {
        for (int64_t i = 0; i < queries * state.padded_size; i += kLanes) store(state.outputs + i, zeros());
        for (int64_t q = 0; q < queries; ++q) {
            state.max_scores[q] = -kInfinity;
            state.probability_sums[q] = 0;
        }
    }
    const int64_t first_block =
        larger(seen_by_any.empty() ? args.last_block : seen_by_any.first / state.block_tokens, args.first_block);
    const int64_t last_block =
        smaller(args.last_block, (seen_by_any.last + state.block_tokens - 1) / state.block_tokens);
    if (args.partials != nullptr) {
        for (int64_t b = args.first_block; b < args.last_block; ++b) {
            if (b >= first_block && b < last_block) continue;
            for (int64_t q = 0; q < queries; ++q) {
                float* const partial =
                    args.partials + b * args.partial_stride + q * attention_partial_floats(args.head_size);
                partial[0] = -kInfinity;
                partial[1] = 0;
            }
        }
    }
    Block block = {};
    for (int64_t b = first_block; b < last_block; ++b) {
        block.first_position = b * state.block_tokens;
        find_pages(args, seen_by_any, state.block_tokens, block);
        Cache::prepare_block(args, state, block);
        for_tiles(queries, Cache::kTileQueries, [&](int64_t first_query, int64_t count) QUOIN_LAMBDA_INLINE {
            attend_tile<Cache>(args, state, block, first_query, count);
        });
    }
    if (args.partials != nullptr) return;
    for (int64_t row = 0; row < args.rows; ++row) {
        for (int64_t head = 0; head < args.heads; ++head) {
            const int64_t q = row * args.heads + head;
            write_output(state.outputs + q * state.padded_size, state.probability_sums[q], size,
                         args.dst + row * args.dst_stride + head * size);
        }
    }
}

void attention_join(const float* partials, int64_t stride, int64_t blocks, int64_t head_size, float* scratch,
                    float* dst) {
    const int64_t padded_size = (head_size + kLanes - 1) / kLanes * kLanes;
    float max_score = -kInfinity;
    float probability_sum = 0;
    float* const output = scratch;
    float* const block_output = scratch + padded_size;
    for (int64_t i = 0; i < 2 * padded_size; i += kLanes) store(scratch + i, zeros());
    for (int64_t b = 0; b < blocks; ++b, partials += stride) {
        if (partials[0] == -kInfinity) continue;
        for_vectors(head_size, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
            store_some(block_output + i, load_some(partials + 2 + i, n), n);
        });
        join_block({output, &max_score, &probability_sum}, block_output, partials[0], partials[1], padded_size);
    }
    write_output(output, probability_sum, head_size, dst);
}

}  // namespace
}  // namespace quoin
