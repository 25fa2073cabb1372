// What Linear kernels over f32 rows share: chunks of K of the rows are copied, for rows that lie a power of two apart
// would drive each other out of the few lines of one set of a cache.

namespace quoin {
namespace {

constexpr int64_t kStripColumns = kFloatTileVectors * kLanes;
constexpr int64_t kChunkFloats = kStripColumns >= 32 ? 128 : 256;  // of a strip's weights: 16 KiB at most
// Rows that are asked for before they are copied: each lies in other pages, where the hardware must start anew.
constexpr int64_t kCopiedAhead = 2;
constexpr int64_t kCopyGap = 16;  // floats between rows: an odd number of lines
constexpr int64_t kCopyFloats = kFloatTask.rows * (kChunkFloats + kCopyGap);

// A single tile streams panels from end to end, as far as the copy has room. `unit` values of K stay together; a float
// of the copy holds so many values.
QUOIN_INLINE Pass float_pass(int64_t rows, int64_t unit, int64_t values_per_float) {
    const bool few = rows <= kFloatTileRows;
    const int64_t room = few ? (kCopyFloats / rows - kCopyGap) / kChunkFloats * kChunkFloats : kChunkFloats;
    return {room * values_per_float / unit * unit,
            few ? kFloatTask.rows * kFloatTask.panels / rows : kFloatTask.panels};
}

// The chunk's rows, filled up with zeros to whole units.
QUOIN_INLINE void take_floats(const LinearArgs& args, const std::byte* src, int64_t unit, float* copy,
                              PanelChunk& chunk) {
    const int64_t filled = (chunk.values + unit - 1) / unit * unit;
    const int64_t stride = filled + kCopyGap;
    src += chunk.first * 4;
    float* dst = copy;
    for (int64_t r = 0; r < chunk.rows; ++r, src += args.src_stride, dst += stride) {
        const auto* const from = reinterpret_cast<const float*>(src);
        if (r + kCopiedAhead < chunk.rows) {
            const std::byte* const later = src + kCopiedAhead * args.src_stride;
            for (int64_t byte = 0; byte < chunk.values * 4; byte += 64) __builtin_prefetch(later + byte);
        }
        int64_t k = 0;
        for (; k + kLanes <= chunk.values; k += kLanes) store(dst + k, load(from + k));
        if (k < chunk.values) {
            store(dst + k, load_first(from + k, chunk.values - k));
            k += kLanes;
        }
        for (; k < filled; k += kLanes) store(dst + k, zeros());
    }
    chunk.src = reinterpret_cast<const std::byte*>(copy);
    chunk.src_stride = stride * 4;
}

}  // namespace
}  // namespace quoin
