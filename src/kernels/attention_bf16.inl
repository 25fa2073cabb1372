// Attention over keys and values kept as bf16. Where the instruction set multiplies pairs of bf16, query and
// probabilities are rounded to bf16, too, and so no coarser than what they are multiplied by: twice the speed of f32.

namespace quoin {
namespace {

// A template parameter that puts off the look-up of words that only some instruction sets have.
struct WithBf16Dot {
    using Lanes = Ints;
};

// Lanes of two bf16: of one token and two neighbouring values of a head, or of one column and two neighbouring tokens.
template <class Words>
struct Pairs {
    using Lanes = typename Words::Lanes;
    using Vector = Lanes;
    static constexpr int kVectors = 2;
    static constexpr int64_t kTogether = 2;
    static QUOIN_INLINE Lanes factor(const std::byte* p) { return broadcast_quad(p); }
    static QUOIN_INLINE Floats multiply_add(Floats sum, Lanes a, Lanes b) { return bf16_dot(sum, a, b); }
};
template <class Words>
struct NearPairs : Pairs<Words> {
    using typename Pairs<Words>::Lanes;
    static constexpr int64_t kBytes = 4;
    static constexpr int64_t kRows = 1;
    static constexpr bool kAhead = false;
    static QUOIN_INLINE Lanes vector(const std::byte* p) { return load_ints(p); }
};
// As pages hold them: the halves of a pair in two rows.
template <class Words>
struct CachedPairs : Pairs<Words> {
    using typename Pairs<Words>::Lanes;
    static constexpr int64_t kBytes = 2;
    static constexpr int64_t kRows = 2;
    static constexpr bool kAhead = true;
    template <int V>
    static QUOIN_INLINE void rows(const std::byte* p, int64_t row_bytes, Lanes* to) {
        static_assert(V == 2);
        const Lanes first = load_ints(p);
        const Lanes second = load_ints(p + row_bytes);
        to[0] = interleave_words_low(first, second);
        to[1] = interleave_words_high(first, second);
    }
};

template <class Vector>
QUOIN_INLINE void round_to_bf16(std::byte* to, Vector x) {
    store_bf16(to, x);
}

// Two rows of `count` bf16 as pairs, `room` of them; the second row may be missing.
template <class Words>
QUOIN_INLINE void pair_rows(const std::byte* first, const std::byte* second, int64_t count, int64_t room,
                            std::byte* to) {
    int64_t i = 0;
    for (; second != nullptr && i + 2 * kLanes <= count; i += 2 * kLanes) {
        Ints pairs[2];
        CachedPairs<Words>::template rows<2>(first + i * 2, second - first, pairs);
        store_ints(to + i * 4, pairs[0]);
        store_ints(to + i * 4 + kVectorBytes, pairs[1]);
    }
    for (; i < count; ++i) {
        write<uint16_t>(to + i * 4, read<uint16_t>(first + i * 2));
        write<uint16_t>(to + i * 4 + 2, second == nullptr ? uint16_t{0} : read<uint16_t>(second + i * 2));
    }
    for (; i < room; ++i) write<uint32_t>(to + i * 4, 0);
}

template <class Words, bool kWiden>
struct PairCache {
    static constexpr int64_t kQueries = kTileQueries;
    using Form = std::conditional_t<kWiden, NearPairs<Words>, CachedPairs<Words>>;
    static constexpr int64_t kPagePairs = kPageTokens / 2;

    static QUOIN_INLINE void prepare(const AttentionArgs& args, AttentionState& state) {
        const int64_t size = args.head_size;
        state.query_bytes = (size + 1) / 2 * 4;
        const Floats scale = broadcast(args.scale * kLog2E);
        for (int64_t q = 0; q < args.rows * args.heads; ++q) {
            const float* const src = args.query + q / args.heads * args.query_stride + q % args.heads * size;
            std::byte* const query = state.query + q * state.query_bytes;
            int64_t i = 0;
            for (; i + kLanes <= size; i += kLanes) round_to_bf16(query + i * 2, load(src + i) * scale);
            if (i == size) continue;
            alignas(64) std::byte rest[kVectorBytes / 2];
            round_to_bf16(rest, load_first(src + i, size - i) * scale);
            __builtin_memcpy(query + i * 2, rest, static_cast<size_t>(state.query_bytes - i * 2));
        }
    }

    static QUOIN_INLINE void open(const AttentionArgs& args, AttentionState& state, Block& block) {
        if constexpr (kWiden) {
            const int64_t size = args.head_size;
            for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
                std::byte* const keys = state.keys + p * kPageTokens * state.query_bytes;
                for (int64_t k = 0; k < size; k += 2) {
                    const std::byte* const row = block.keys[p] + k * kPageTokens * 2;
                    pair_rows<Words>(row, k + 1 < size ? row + kPageTokens * 2 : nullptr, kPageTokens, kPageTokens,
                                     keys + k / 2 * kPageTokens * 4);
                }
                std::byte* const values = state.values + p * kPagePairs * state.padded * 4;
                for (int64_t t = 0; t < kPageTokens; t += 2) {
                    const std::byte* const row = block.values[p] + t * size * 2;
                    pair_rows<Words>(row, row + size * 2, size, state.padded, values + t / 2 * state.padded * 4);
                }
                block.keys[p] = keys;
                block.values[p] = values;
            }
        }
    }

    static QUOIN_INLINE void score(const AttentionArgs& /*args*/, const AttentionState& state, const Block& block,
                                   int64_t begin, int64_t count, Range pages) {
        score_pages<Form>(state, block, begin, count, pages);
    }

    // Probabilities of query i of the tile in pairs; the sum is that of the rounded ones.
    static QUOIN_INLINE void round_probabilities(AttentionState& state, int64_t i, Range pages) {
        const float* const row = state.scores + i * kScoreStride;
        auto* const pairs = reinterpret_cast<std::byte*>(state.pairs) + i * kScoreStride * 2;
        Floats low = zeros();
        Floats high = zeros();
        for (int64_t t = pages.first * kPageTokens; t < pages.last * kPageTokens; t += 2 * kLanes) {
            round_to_bf16(pairs + t * 2, load(row + t));
            round_to_bf16(pairs + (t + kLanes) * 2, load(row + t + kLanes));
            const Ints both = load_ints(pairs + t * 2);
            low = low + low_bf16(both);
            high = high + high_bf16(both);
        }
        state.block_total[i] = sum_floats(low + high);
    }

    static QUOIN_INLINE void weigh(const AttentionArgs& args, AttentionState& state, const Block& block, int64_t count,
                                   Range pages, const Range* seen) {
        for (int64_t i = 0; i < count; ++i) round_probabilities(state, i, pages);
        for (int64_t i = 0; i < count * state.padded; i += kLanes) store(state.block_sums + i, zeros());
        WeighTile tile = {};
        tile.weights = reinterpret_cast<const std::byte*>(state.pairs);
        tile.pages = block.values;
        tile.row_bytes = kWiden ? state.padded * 4 : args.head_size * 2;
        tile.sums = state.block_sums;
        tile.sum_stride = state.padded;
        const int64_t chunks = block.pages.last - block.pages.first;
        tile.ahead = block.stream + chunks + kAheadChunks - block.pages.first;
        for_seen(seen, count, 2, [&](int64_t query, int64_t queries, Range tokens) QUOIN_LAMBDA_INLINE {
            const Range whole = {(tokens.first + 1) / 2, tokens.last / 2};
            if (tokens.first % 2 != 0) weigh_half(args, state, tile, block, query, queries, tokens.first);
            weigh_steps<Form>(state, tile, query, queries, whole);
            if (tokens.last % 2 != 0) weigh_half(args, state, tile, block, query, queries, tokens.last - 1);
        });
    }

    // A token whose partner is not seen: the partner's values count as zeros.
    static QUOIN_INLINE void weigh_half(const AttentionArgs& args, AttentionState& state, WeighTile tile,
                                        const Block& block, int64_t query, int64_t queries, int64_t token) {
        const int64_t step = token / 2;
        // Behind the values of the block, which take half of their room.
        std::byte* const row = state.values + state.block_tokens * state.padded * 2;
        const std::byte* const page = block.values[token / kPageTokens];
        const int64_t half = token % 2;
        for (int64_t i = 0; i < state.padded; ++i) {
            const std::byte* const value = kWiden ? page + (step % kPagePairs * state.padded + i) * 4 + half * 2
                                                  : page + (token % kPageTokens * args.head_size + i) * 2;
            write<uint32_t>(row + i * 4, uint32_t{read<uint16_t>(value)} << (16 * half));
        }
        const std::byte* const pages[] = {row};
        tile.pages = pages;
        tile.weights += step * 4;
        tile.row_bytes = state.padded * 4;
        tile.ahead = pages;
        weigh_steps<NearPairs<Words>>(state, tile, query, queries, {0, 1});
    }
};

void attention_bf16(const AttentionArgs& args) {
    if constexpr (kHasBf16Dot) {
        // A row of values must be whole vectors of pairs to be read where it lies.
        if (args.rows * args.heads > kFewQueries || args.head_size % (2 * kLanes) != 0) {
            attention<PairCache<WithBf16Dot, true>>(args);
        } else {
            attention<PairCache<WithBf16Dot, false>>(args);
        }
    } else {
        attention_floats<Bf16Cached>(args);
    }
}

}  // namespace
}  // namespace quoin
