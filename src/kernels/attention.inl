// Attention over KV pages: what every kind of cache shares. How scores and weighted sums are made of pages is the
// cache's part: attention_float.inl, attention_bf16.inl, attention_integer.inl.
//
// Positions are cut into blocks of attention_block_tokens(). For each block and tile of queries: scores, softmax within
// the block, weighted sum of values; then the block is joined to what was there before. A block's result depends on
// the query and the block alone and blocks are joined in order of position, so a query's bits depend neither on the
// queries beside it nor on who computed which block.

namespace quoin {
namespace {

constexpr float kLog2E = 1.44269504088896341F;
// Queries of a register tile that has two vectors of tokens or values; a tile of more vectors has fewer.
constexpr int kTileQueries = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 4;
static_assert(kTileQueries <= kAttentionTileQueries);
// So many queries at most, those of one token most often, take keys and values as pages hold them and ask memory for
// the next ones on the way; for more, what wants widening is widened once for a block. Vectors of four lanes widen
// slowly.
constexpr int64_t kFewQueries = kLanes == 4 ? kTileQueries : kAttentionTileQueries;
constexpr int64_t kMostBlockPages = kMostBlockTokens / kPageTokens;
// Floats between the scores of two queries: a constant, so that a tile needs one pointer for all its queries.
constexpr int64_t kScoreStride = kMostBlockTokens;
// How many chunks (keys or values of a page) ahead of their use memory is asked for them.
constexpr int64_t kAheadChunks = 2;

struct AttentionState {
    std::byte* query;     // [queries], as the cache wants them, scaled
    int64_t query_bytes;  // of one
    float* sums;          // [queries][padded]: weighted sum of values so far
    float* highest;       // [queries]: largest score so far
    float* total;         // [queries]: sum of probabilities so far
    float* scores;        // [tile][block tokens]: scores, then probabilities
    float* block_sums;    // [tile][padded]: of the block at hand
    float block_highest[kAttentionTileQueries];
    float block_total[kAttentionTileQueries];
    float* products;    // [block tokens]: probabilities times scales of one query
    int32_t* pairs;     // [tile][block tokens / 2]: the same as integers
    std::byte* keys;    // the block at hand, widened
    std::byte* values;  // likewise
    int64_t padded;     // head_size in whole vectors
    int64_t block_tokens;
};

struct Range {
    int64_t first;
    int64_t last;
    bool empty() const { return first >= last; }
};

// A block of positions; its pages are numbered from 0.
struct Block {
    int64_t origin;  // position of its first token
    Range pages;     // those that some row of the call sees
    const std::byte* keys[kMostBlockPages];
    const std::byte* values[kMostBlockPages];
    // Chunks of the cache in the order they will be used, from the first key page of this block on.
    const std::byte* stream[2 * kMostBlockPages + kAheadChunks];
};

// Positions row r sees.
QUOIN_INLINE Range seen_by(const AttentionArgs& args, int64_t r) {
    const int64_t last = int64_t{args.positions[r]} + 1;
    return {args.window > 0 ? larger(last - args.window, int64_t{0}) : 0, last};
}
// The same within a block, counted from its first token.
QUOIN_INLINE Range seen_in_block(const AttentionArgs& args, int64_t r, int64_t origin, int64_t tokens) {
    const Range seen = seen_by(args, r);
    return {larger(seen.first - origin, int64_t{0}), smaller(seen.last - origin, tokens)};
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

// The scores (in powers of two) of tokens `seen` in `row` become probabilities beside the largest of them; tokens of
// `visited`, whole vectors around `seen`, that are not seen get 0.
QUOIN_INLINE void softmax_block(float* row, Range seen, Range visited, float softcap, float* highest, float* total) {
    const Floats lowest = broadcast(-kInfinity);
    const int64_t begin = seen.first / kLanes * kLanes;
    const int64_t end = (seen.last + kLanes - 1) / kLanes * kLanes;
    // The vectors at both ends may hold tokens that are not seen: their scores become -inf, their probabilities 0.
    const auto mask = [&](int64_t i, Floats other) QUOIN_LAMBDA_INLINE {
        store(row + i, keep_range(load(row + i), seen.first - i, seen.last - i, other));
    };
    const bool ragged = seen.first != begin || seen.last != end;
    if (softcap != 0) {
        const Floats cap = broadcast(softcap);
        for (int64_t i = begin; i < end; i += kLanes) store(row + i, cap * tanh_of(load(row + i) / cap));
    }
    if (ragged) {
        mask(begin, lowest);
        mask(end - kLanes, lowest);
    }
    Floats highs[2] = {lowest, lowest};  // two chains, for latency
    int64_t i = begin;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
        highs[0] = maximum(load(row + i), highs[0]);
        highs[1] = maximum(load(row + i + kLanes), highs[1]);
    }
    if (i < end) highs[0] = maximum(load(row + i), highs[0]);
    // Never below the lowest float, or -inf - -inf would make a NaN of a row whose scores are all -inf.
    const float top = larger(largest(maximum(highs[0], highs[1])), -kLargestFloat);
    const Floats tops = broadcast(top);
    Floats sum = zeros();
    for (i = begin; i < end; i += kLanes) {
        const Floats p = exp2_of(load(row + i) - tops);
        store(row + i, p);
        sum = sum + p;  // what is not seen adds 2^-126, too little to change the sum of the rest
    }
    if (ragged) {
        mask(begin, zeros());
        mask(end - kLanes, zeros());
    }
    for (i = visited.first; i < begin; i += kLanes) store(row + i, zeros());
    for (i = end; i < visited.last; i += kLanes) store(row + i, zeros());
    *highest = top;
    *total = sum_floats(sum);
}

// What is known of a query over some positions: weighted sum, sum of probabilities, both relative to 2^highest.
struct Partial {
    float* sums;
    float* highest;
    float* total;
};

// Online softmax (Milakov, Gimelshein 2018; Dao 2022): another block of positions to those before.
QUOIN_INLINE void join_block(const Partial& all, const float* sums, float highest, float total, int64_t padded) {
    const float before = *all.highest;
    const float now = larger(before, highest);
    *all.highest = now;
    const float keep = before == now          ? 1.0F
                       : before == -kInfinity ? 0.0F
                                              : first_lane(exp2_of(broadcast(before - now)));
    const float add = highest == now ? 1.0F : first_lane(exp2_of(broadcast(highest - now)));
    *all.total = first_lane(fma(broadcast(total), broadcast(add), broadcast(*all.total * keep)));
    for (int64_t i = 0; i < padded; i += kLanes) {
        store(all.sums + i, fma(load(sums + i), broadcast(add), load(all.sums + i) * broadcast(keep)));
    }
}

QUOIN_INLINE void divide_by_total(const float* sums, float total, int64_t size, float* dst) {
    const Floats divisor = broadcast(total == 0 ? 1.0F : total);
    for_vectors(size, [=](int64_t i, int64_t n)
                          QUOIN_LAMBDA_INLINE { store_some(dst + i, load_some(sums + i, n) / divisor, n); });
}

// Calls tile(begin, count) for all queries, in tiles of nearly equal height.
template <class Function>
QUOIN_INLINE void for_tiles(int64_t queries, int64_t most, Function function) {
    int64_t begin = 0;
    for (int64_t tiles = (queries + most - 1) / most; tiles > 0; --tiles) {
        const int64_t count = (queries - begin + tiles - 1) / tiles;
        function(begin, count);
        begin += count;
    }
}

// Calls function.template operator()<R>() for R == rows.
template <int R, class Function>
QUOIN_INLINE void with_rows(int64_t rows, const Function& function) {
    if (rows == R) {
        function.template operator()<R>();
    } else if constexpr (R > 1) {
        with_rows<R - 1>(rows, function);
    }
}

QUOIN_INLINE void locate(const AttentionArgs& args, Range all, int64_t tokens, Block& block) {
    const int64_t pages = tokens / kPageTokens;
    const int64_t first = block.origin / kPageTokens;
    const int64_t end = (all.last + kPageTokens - 1) / kPageTokens;
    block.pages = {larger(all.first / kPageTokens - first, int64_t{0}), smaller(end - first, pages)};
    const std::byte** stream = block.stream;
    for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
        *stream++ = block.keys[p] = args.key_base + args.pages[first + p] * args.key_page_stride;
    }
    for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
        *stream++ = block.values[p] = args.value_base + args.pages[first + p] * args.value_page_stride;
    }
    // What comes next, or the last chunk again.
    for (int64_t i = 0; i < kAheadChunks; ++i, ++stream) {
        const int64_t page = first + pages + i;
        *stream = page < end ? args.key_base + args.pages[page] * args.key_page_stride : stream[-1];
    }
}

// Cache::kQueries: queries of a tile, at most kAttentionTileQueries.
template <class Cache>
QUOIN_INLINE void attend_tile(const AttentionArgs& args, AttentionState& state, const Block& block, int64_t begin,
                              int64_t count) {
    Range seen[kAttentionTileQueries];
    Range all = {INT64_MAX, 0};
    for (int64_t i = 0; i < count; ++i) {
        seen[i] = seen_in_block(args, (begin + i) / args.heads, block.origin, state.block_tokens);
        if (!seen[i].empty()) all = {smaller(all.first, seen[i].first), larger(all.last, seen[i].last)};
    }
    const bool nothing = all.empty();
    const Range pages = {all.first / kPageTokens, (all.last + kPageTokens - 1) / kPageTokens};
    const Range visited = {pages.first * kPageTokens, pages.last * kPageTokens};
    if (!nothing) {
        Cache::score(args, state, block, begin, count, pages);
        for (int64_t i = 0; i < count; ++i) {
            float* const row = state.scores + i * kScoreStride;
            if (!seen[i].empty()) {
                softmax_block(row, seen[i], visited, args.softcap * kLog2E, state.block_highest + i,
                              state.block_total + i);
            } else {
                for (int64_t t = visited.first; t < visited.last; t += kLanes) store(row + t, zeros());
            }
        }
        Cache::weigh(args, state, block, count, pages, seen);
    }
    for (int64_t i = 0; i < count; ++i) {
        const int64_t q = begin + i;
        if (args.partials != nullptr) {
            float* const partial = args.partials + (block.origin / state.block_tokens * args.partial_stride) +
                                   q * attention_partial_floats(args.head_size);
            partial[0] = seen[i].empty() ? -kInfinity : state.block_highest[i];
            partial[1] = seen[i].empty() ? 0.0F : state.block_total[i];
            if (seen[i].empty()) continue;
            const float* const sums = state.block_sums + i * state.padded;
            for_vectors(args.head_size, [=](int64_t at, int64_t n) QUOIN_LAMBDA_INLINE {
                store_some(partial + 2 + at, load_some(sums + at, n), n);
            });
        } else if (!seen[i].empty()) {
            join_block({state.sums + q * state.padded, state.highest + q, state.total + q},
                       state.block_sums + i * state.padded, state.block_highest[i], state.block_total[i], state.padded);
        }
    }
}

template <class Cache>
QUOIN_INLINE void attention(const AttentionArgs& args) {
    const int64_t size = args.head_size;
    const int64_t queries = args.rows * args.heads;
    AttentionState state = {};
    state.block_tokens = attention_block_tokens(size);
    state.padded = (size + kLanes - 1) / kLanes * kLanes;
    const int64_t room = (size + 15) / 16 * 16;  // as attention_scratch_floats() counts
    float* scratch = args.scratch;
    const auto take = [&](int64_t floats) QUOIN_LAMBDA_INLINE {
        float* const part = scratch;
        scratch += floats;
        return part;
    };
    state.query = reinterpret_cast<std::byte*>(take(queries * size));
    state.sums = take(queries * room);
    state.highest = take(queries);
    state.total = take(queries);
    state.scores = take(kAttentionTileQueries * kScoreStride);
    state.block_sums = take(kAttentionTileQueries * room);
    state.pairs = reinterpret_cast<int32_t*>(take(kAttentionTileQueries * kScoreStride / 2));
    state.products = take(kScoreStride);
    state.keys = reinterpret_cast<std::byte*>(take(state.block_tokens * size));
    state.values = reinterpret_cast<std::byte*>(take(state.block_tokens * room));

    Range all = {INT64_MAX, 0};
    for (int64_t r = 0; r < args.rows; ++r) {
        const Range seen = seen_by(args, r);
        if (!seen.empty()) all = {smaller(all.first, seen.first), larger(all.last, seen.last)};
    }
    Cache::prepare(args, state);
    if (args.partials == nullptr) {
        for (int64_t i = 0; i < queries * state.padded; i += kLanes) store(state.sums + i, zeros());
        for (int64_t q = 0; q < queries; ++q) {
            state.highest[q] = -kInfinity;
            state.total[q] = 0;
        }
    }
    const int64_t first = larger(all.empty() ? args.last_block : all.first / state.block_tokens, args.first_block);
    const int64_t last = smaller(args.last_block, (all.last + state.block_tokens - 1) / state.block_tokens);
    if (args.partials != nullptr) {
        for (int64_t b = args.first_block; b < args.last_block; ++b) {
            if (b >= first && b < last) continue;
            for (int64_t q = 0; q < queries; ++q) {
                float* const partial =
                    args.partials + b * args.partial_stride + q * attention_partial_floats(args.head_size);
                partial[0] = -kInfinity;
                partial[1] = 0;
            }
        }
    }
    Block block = {};
    for (int64_t b = first; b < last; ++b) {
        block.origin = b * state.block_tokens;
        locate(args, all, state.block_tokens, block);
        Cache::open(args, state, block);
        for_tiles(queries, Cache::kQueries, [&](int64_t begin, int64_t count) QUOIN_LAMBDA_INLINE {
            attend_tile<Cache>(args, state, block, begin, count);
        });
    }
    if (args.partials != nullptr) return;
    for (int64_t r = 0; r < args.rows; ++r) {
        for (int64_t h = 0; h < args.heads; ++h) {
            const int64_t q = r * args.heads + h;
            divide_by_total(state.sums + q * state.padded, state.total[q], size,
                            args.dst + r * args.dst_stride + h * size);
        }
    }
}

void attention_join(const float* partials, int64_t stride, int64_t blocks, int64_t head_size, float* scratch,
                    float* dst) {
    const int64_t padded = (head_size + kLanes - 1) / kLanes * kLanes;
    float highest = -kInfinity;
    float total = 0;
    float* const part = scratch + padded;
    for (int64_t i = 0; i < 2 * padded; i += kLanes) store(scratch + i, zeros());
    for (int64_t b = 0; b < blocks; ++b, partials += stride) {
        if (partials[0] == -kInfinity) continue;
        for_vectors(head_size, [=](int64_t i, int64_t n)
                                   QUOIN_LAMBDA_INLINE { store_some(part + i, load_some(partials + 2 + i, n), n); });
        join_block({scratch, &highest, &total}, part, partials[0], partials[1], padded);
    }
    divide_by_total(scratch, total, head_size, dst);
}

}  // namespace
}  // namespace quoin
