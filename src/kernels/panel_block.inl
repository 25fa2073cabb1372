// Places in a panel of block formats.

namespace quoin {
namespace {

// Where the parts of one block of a panel lie.
template <DType kType>
struct PanelBlock {
    static constexpr BlockFormat kFormat = *find_block_format(kType);
    static constexpr ScaleLayout kScales = scale_layout(kFormat.scales);
    static constexpr int64_t kValues = block_values(kFormat.scales);
    static constexpr int64_t kCodeBytes = code_bytes(kFormat) * kPanelColumns;  // for 32 values
    static constexpr int64_t kScalesAt = kValues / 32 * kCodeBytes;
    static constexpr int64_t kHalvesAt = kScalesAt + kScales.bytes * kPanelColumns;
    static constexpr int64_t kBytes = kHalvesAt + 2 * kScales.halves * kPanelColumns;
    static_assert(kBytes == block_bytes(kFormat) * kPanelColumns);
    // Bytes of scales that are no minima.
    static constexpr int64_t kScaleRows = kFormat.scales == Scales::Sub32AndMinimum ? kScales.bytes / 2 : kScales.bytes;
};

}  // namespace
}  // namespace quoin
