// Attention over keys and values kept as bf16. Where the instruction set multiplies pairs of bf16, query and
// probabilities are rounded to bf16, too, and so no coarser than what they are multiplied by: twice the speed of f32.

namespace quoin {
namespace {

// A template parameter so that functions of simd.h that only some instruction sets have are looked up where they are
// used. A struct, since GCC warns of template arguments that are vectors.
struct DependentInts {
    using Vector = Ints;
};

// Lanes of two bf16: of one token and two neighbouring channels, or of one channel and two neighbouring tokens.
template <class Dependent>
struct Bf16Pairs {
    using Vector = typename Dependent::Vector;
    static constexpr int kMostVectors = 2;
    static constexpr int64_t kStepTerms = 2;
    static QUOIN_INLINE Vector factor(const std::byte* p) { return broadcast_quad(p); }
    static QUOIN_INLINE Floats multiply_add(Floats sum, Vector a, Vector b) { return bf16_dot(sum, a, b); }
};
template <class Dependent>
struct InterleavedPairs : Bf16Pairs<Dependent> {
    using typename Bf16Pairs<Dependent>::Vector;
    static constexpr int64_t kBytes = 4;
    static constexpr int64_t kStepRows = 1;
    static constexpr bool kPrefetches = false;
    static QUOIN_INLINE Vector vector(const std::byte* p) { return load_ints(p); }
};
// The halves of a pair lie in two rows of a page.
template <class Dependent>
struct PagePairs : Bf16Pairs<Dependent> {
    using typename Bf16Pairs<Dependent>::Vector;
    static constexpr int64_t kBytes = 2;
    static constexpr int64_t kStepRows = 2;
    static constexpr bool kPrefetches = true;
    template <int kVectors>
    static QUOIN_INLINE void rows(const std::byte* p, int64_t row_bytes, Vector* to) {
        static_assert(kVectors == 2);
        const Vector first = load_ints(p);
        const Vector second = load_ints(p + row_bytes);
        to[0] = interleave_words_low(first, second);
        to[1] = interleave_words_high(first, second);
    }
};

template <class Vector>
QUOIN_INLINE void round_to_bf16(std::byte* to, Vector x) {
    store_bf16(to, x);
}

// The second row may be missing: its halves are zeros, like the pairs from `count` to `padded_count`.
template <class Dependent>
QUOIN_INLINE void interleave_rows(const std::byte* first, const std::byte* second, int64_t count, int64_t padded_count,
                                  std::byte* to) {
    int64_t i = 0;
    for (; second != nullptr && i + 2 * kLanes <= count; i += 2 * kLanes) {
        Ints pairs[2];
        PagePairs<Dependent>::template rows<2>(first + i * 2, second - first, pairs);
        store_ints(to + i * 4, pairs[0]);
        store_ints(to + i * 4 + kVectorBytes, pairs[1]);
    }
    for (; i < count; ++i) {
        write<uint16_t>(to + i * 4, read<uint16_t>(first + i * 2));
        write<uint16_t>(to + i * 4 + 2, second == nullptr ? uint16_t{0} : read<uint16_t>(second + i * 2));
    }
    for (; i < padded_count; ++i) write<uint32_t>(to + i * 4, 0);
}

template <class Dependent, bool kInterleave>
struct PairCache {
    static constexpr int64_t kTileQueries = kFloatTileQueries;
    using Form = std::conditional_t<kInterleave, InterleavedPairs<Dependent>, PagePairs<Dependent>>;

    static QUOIN_INLINE void prepare_queries(const AttentionArgs& args, AttentionState& state) {
        const int64_t size = args.head_size;
        state.query_bytes = (size + 1) / 2 * 4;
        const Floats scale = broadcast(args.scale * kLog2E);
        for (int64_t q = 0; q < args.rows * args.heads; ++q) {
            const float* const src = args.query + q / args.heads * args.query_stride + q % args.heads * size;
            std::byte* const query = state.queries + q * state.query_bytes;
            int64_t i = 0;
            for (; i + kLanes <= size; i += kLanes) round_to_bf16(query + i * 2, load(src + i) * scale);
            if (i == size) continue;
            alignas(64) std::byte rest[kVectorBytes / 2];
            round_to_bf16(rest, load_first(src + i, size - i) * scale);
            __builtin_memcpy(query + i * 2, rest, static_cast<size_t>(state.query_bytes - i * 2));
        }
    }

    static QUOIN_INLINE void prepare_block(const AttentionArgs& args, AttentionState& state, Block& block) {
        if constexpr (kInterleave) {
            const int64_t size = args.head_size;
            for (int64_t p = block.pages.first; p < block.pages.last; ++p) {
                std::byte* const keys = state.keys + p * kPageTokens * state.query_bytes;
                for (int64_t channel = 0; channel < size; channel += 2) {
                    const std::byte* const row = block.keys[p] + channel * kPageTokens * 2;
                    interleave_rows<Dependent>(row, channel + 1 < size ? row + kPageTokens * 2 : nullptr, kPageTokens,
                                               kPageTokens, keys + channel / 2 * kPageTokens * 4);
                }
                std::byte* const values = state.values + p * kPagePairs * state.padded_size * 4;
                for (int64_t t = 0; t < kPageTokens; t += 2) {
                    const std::byte* const row = block.values[p] + t * size * 2;
                    interleave_rows<Dependent>(row, row + size * 2, size, state.padded_size,
                                               values + t / 2 * state.padded_size * 4);
                }
                block.keys[p] = keys;
                block.values[p] = values;
            }
        }
    }

    static QUOIN_INLINE void score(const AttentionArgs& /*args*/, const AttentionState& state, const Block& block,
                                   int64_t first_query, int64_t queries, Range pages) {
        score_pages<Form>(state, block, first_query, queries, pages);
    }

    // The outputs are divided by the sum of what the values were multiplied by: that of the rounded probabilities.
    static QUOIN_INLINE void round_probabilities(AttentionState& state, int64_t query, Range pages) {
        const float* const probabilities = state.scores + query * kScoreStride;
        auto* const pairs = reinterpret_cast<std::byte*>(state.probability_pairs) + query * kScoreStride * 2;
        Floats low = zeros();
        Floats high = zeros();
        for (int64_t t = pages.first * kPageTokens; t < pages.last * kPageTokens; t += 2 * kLanes) {
            round_to_bf16(pairs + t * 2, load(probabilities + t));
            round_to_bf16(pairs + (t + kLanes) * 2, load(probabilities + t + kLanes));
            const Ints both = load_ints(pairs + t * 2);
            low = low + low_bf16(both);
            high = high + high_bf16(both);
        }
        state.block_probability_sums[query] = sum_floats(low + high);
    }

    static QUOIN_INLINE void weigh(const AttentionArgs& args, AttentionState& state, const Block& block,
                                   int64_t queries, Range pages, const Range* seen) {
        for (int64_t q = 0; q < queries; ++q) round_probabilities(state, q, pages);
        for (int64_t i = 0; i < queries * state.padded_size; i += kLanes) store(state.block_outputs + i, zeros());
        WeighTile tile = {};
        tile.probabilities = reinterpret_cast<const std::byte*>(state.probability_pairs);
        tile.pages = block.values;
        tile.row_bytes = kInterleave ? state.padded_size * 4 : args.head_size * 2;
        tile.outputs = state.block_outputs;
        tile.output_stride = state.padded_size;
        const int64_t key_pages = block.pages.last - block.pages.first;
        tile.prefetch = block.read_order + key_pages + kPrefetchPages - block.pages.first;
        for_seen(seen, queries, 2, [&](int64_t first_query, int64_t count, Range tokens) QUOIN_LAMBDA_INLINE {
            const Range pairs = {(tokens.first + 1) / 2, tokens.last / 2};
            if (tokens.first % 2 != 0) weigh_single(args, state, tile, block, first_query, count, tokens.first);
            weigh_steps<Form>(state, tile, first_query, count, pairs);
            if (tokens.last % 2 != 0) weigh_single(args, state, tile, block, first_query, count, tokens.last - 1);
        });
    }

    // A token whose partner is not seen: zeros take the place of the partner's values.
    static QUOIN_INLINE void weigh_single(const AttentionArgs& args, AttentionState& state, WeighTile tile,
                                          const Block& block, int64_t first_query, int64_t queries, int64_t token) {
        const int64_t pair = token / 2;
        // Behind the values of the block, which take half of their room.
        std::byte* const row = state.values + state.block_tokens * state.padded_size * 2;
        const std::byte* const page = block.values[token / kPageTokens];
        const int64_t half = token % 2;
        for (int64_t i = 0; i < state.padded_size; ++i) {
            const std::byte* const value = kInterleave
                                               ? page + (pair % kPagePairs * state.padded_size + i) * 4 + half * 2
                                               : page + (token % kPageTokens * args.head_size + i) * 2;
            write<uint32_t>(row + i * 4, uint32_t{read<uint16_t>(value)} << (16 * half));
        }
        const std::byte* const pages[] = {row};
        tile.pages = pages;
        tile.probabilities += pair * 4;
        tile.row_bytes = state.padded_size * 4;
        tile.prefetch = pages;
        weigh_steps<InterleavedPairs<Dependent>>(state, tile, first_query, queries, {0, 1});
    }
};

void attention_bf16(const AttentionArgs& args) {
    if constexpr (kHasBf16Dot) {
        // Values of a token must be whole vectors of pairs to be read where they lie.
        if (args.rows * args.heads > kMostQueriesInPlace || args.head_size % (2 * kLanes) != 0) {
            attention<PairCache<DependentInts, true>>(args);
        } else {
            attention<PairCache<DependentInts, false>>(args);
        }
    } else {
        attention_floats<Bf16Page>(args);
    }
}

}  // namespace
}  // namespace quoin
