// Places in a panel of block formats.

namespace quoin {
namespace {

// Where the parts of one block of a panel lie. A kernel reads a block from one end to the other: what it needs with a
// run of 32 values stands beside their codes. Scales at the end of a block of 256 were read 6 KiB ahead of the codes;
// that threw the processor's prefetchers off, which cost one-row steps over q6_k half of the bandwidth.
template <DType kType>
struct PanelBlock {
    static constexpr BlockFormat kFormat = *find_block_format(kType);
    static constexpr ScaleLayout kScales = scale_layout(kFormat.scales);
    static constexpr int64_t kValues = block_values(kFormat.scales);
    static constexpr int64_t kParts = kValues / 32;
    static constexpr int64_t kCodeBytes = code_bytes(kFormat) * kPanelColumns;  // for 32 values
    static constexpr int64_t kBytes = block_bytes(kFormat) * kPanelColumns;
    // Rows of byte-sized scales, and those of them that are no minima.
    static constexpr int64_t kByteRows = kScales.bytes;
    static constexpr int64_t kScaleRows = kFormat.scales == Scales::Sub32AndMinimum ? kByteRows / 2 : kByteRows;

    // Codes of so many parts follow each other, then their scales: two where one part's would fill half a cache line.
    static constexpr int64_t kRowsOfPart = kByteRows / kParts;
    static constexpr int64_t kTogether = kParts > 1 && kRowsOfPart == 1 ? 2 : 1;
    static constexpr int64_t kHalfBytes = 2 * kScales.halves * kPanelColumns;
    static constexpr int64_t kHalvesAt = kParts > 1 ? 0 : kBytes - kHalfBytes;
    static constexpr int64_t kCodesAt = kParts > 1 ? kHalfBytes : 0;
    static constexpr int64_t kPartsBytes = kTogether * (kCodeBytes + kRowsOfPart * kPanelColumns);
    static_assert(kByteRows % kParts == 0 && kParts / kTogether * kPartsBytes + kHalfBytes == kBytes);

    static constexpr int64_t codes_at(int64_t part) {
        return kCodesAt + part / kTogether * kPartsBytes + part % kTogether * kCodeBytes;
    }
    // Row `row` of the scales, those that are no minima first.
    static constexpr int64_t scales_at(int64_t row) {
        constexpr int64_t kScalesOfPart = kScaleRows / kParts;
        const bool minimum = row >= kScaleRows;
        const int64_t index = minimum ? row - kScaleRows : row;
        const int64_t of_part = minimum ? kRowsOfPart - kScalesOfPart : kScalesOfPart;
        const int64_t part = index / of_part;
        const int64_t in_part = index % of_part + (minimum ? kScalesOfPart : 0);
        return kCodesAt + part / kTogether * kPartsBytes + kTogether * kCodeBytes +
               (part % kTogether * kRowsOfPart + in_part) * kPanelColumns;
    }
};

}  // namespace
}  // namespace quoin
