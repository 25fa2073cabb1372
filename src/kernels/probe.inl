// The machine's peaks: independent multiply-adds that stay in registers. exec/machine_limits.cpp times them.

namespace quoin {
namespace {

// Twelve chains hide the latency of two pipes and fit sixteen registers with their operands.
constexpr int kChains = 12;

template <class Vector, class Step>
QUOIN_INLINE void probe(int64_t rounds, Vector start, Step step) {
    Vector acc[kChains];
    for_constant<kChains>([&](auto i) QUOIN_LAMBDA_INLINE { acc[i] = start; });
    for (int64_t n = 0; n < rounds; ++n) {
        // Constant indices and a register asked for each time: left to itself, GCC 12 stores chains in every round,
        // which held vpdpbusd of 256 bits to half of what it can do.
        for_constant<kChains>([&](auto i) QUOIN_LAMBDA_INLINE {
            acc[i] = step(acc[i]);
            opaque(acc[i]);
        });
    }
}

#if defined(QUOIN_ISA_AMXINT8)
// Four products of 16 rows, 16 columns and 64 values, which hide each other's latency. Weights with a scale for every
// 32 values can reach half of it at most: a product of 32 values takes as long.
int64_t probe_int8(int64_t rounds) {
    TileShapes shapes;
    for (int i = 0; i < 8; ++i) {
        shapes.rows[i] = kMatrixRows;
        shapes.row_bytes[i] = 64;
    }
    tile_configure(shapes);
    for_constant<8>([](auto i) QUOIN_LAMBDA_INLINE { tile_zero<i>(); });
    for (int64_t n = 0; n < rounds; ++n) {
        tile_dot<0, 4, 6>();
        tile_dot<1, 4, 7>();
        tile_dot<2, 5, 6>();
        tile_dot<3, 5, 7>();
    }
    tile_release();
    return rounds * 4 * kMatrixRows * kLanes * 64 * 2;
}
#else
int64_t probe_int8(int64_t rounds) {
    const Ints a = broadcast_int(0x03030303);
    Ints b = broadcast_int(0x05050505);
    // `opaque` keeps the compiler from taking the parts that do not change out of the loop.
    probe(rounds, broadcast_int(0), [&](Ints acc) QUOIN_LAMBDA_INLINE {
        opaque(b);
        return probe_int8_step(acc, a, b);
    });
    return rounds * kChains * kLanes * (kHasPairDot ? 16 : 8);
}
#endif

int64_t probe_f32(int64_t rounds) {
    const Floats a = broadcast(0.5F);
    Floats b = broadcast(1.0001F);
    probe(rounds, zeros(), [&](Floats acc) QUOIN_LAMBDA_INLINE {
        opaque(b);
        return fma(a, b, acc);
    });
    return rounds * kChains * kLanes * 2;
}

// Without a bf16 dot product halves are widened and multiplied in f32: that peak, then.
template <bool kHasDot>
QUOIN_INLINE int64_t probe_bf16_dot(int64_t rounds) {
    if constexpr (!kHasDot) {
        return probe_f32(rounds);
    } else {
        const Ints a = broadcast_int(0x3F803F80);
        probe(rounds, zeros(), [&](auto acc) QUOIN_LAMBDA_INLINE { return bf16_dot(acc, a, a); });
        return rounds * kChains * kLanes * 4;
    }
}
int64_t probe_bf16(int64_t rounds) {
    return probe_bf16_dot<kHasBf16Dot>(rounds);
}

uint64_t probe_read(const std::byte* src, int64_t bytes) {
    // Four places at once: a processor's prefetchers follow each stream only so far ahead. One core of a Zen 3 reads
    // one stream at 21 GB/s and four at 28.
    constexpr int kStreams = 4;
    constexpr int64_t kTurn = 128;
    const int64_t part = bytes / kStreams / kTurn * kTurn;
    Ints sum[kStreams];
    for (int i = 0; i < kStreams; ++i) sum[i] = broadcast_int(0);
    for (int64_t at = 0; at < part; at += kTurn) {
        for_constant<kStreams>([&](auto i) QUOIN_LAMBDA_INLINE {
            for (int64_t byte = at; byte < at + kTurn; byte += kVectorBytes) {
                sum[i] = add_ints(sum[i], load_ints(src + i * part + byte));
            }
        });
    }
    const Ints all = add_ints(add_ints(sum[0], sum[1]), add_ints(sum[2], sum[3]));
    uint64_t checksum = 0;
    alignas(64) std::byte lanes[kVectorBytes];
    store_ints(lanes, all);
    for (int64_t i = 0; i < kVectorBytes; i += 4) checksum += read<uint32_t>(lanes + i);
    return checksum;
}

}  // namespace
}  // namespace quoin
