// BMP and the portable any map (PBM, PGM, PPM), which need no library.
#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "ops/image_codecs.h"

namespace quoin {
namespace {

using Bytes = std::span<const uint8_t>;

// ---- BMP ----------------------------------------------------------------------------------------------------------

uint32_t little16(Bytes bytes, size_t at) {
    return bytes[at] | uint32_t{bytes[at + 1]} << 8;
}
uint32_t little32(Bytes bytes, size_t at) {
    return little16(bytes, at) | little16(bytes, at + 2) << 16;
}

struct Colour {
    uint8_t red = 0;
    uint8_t green = 0;
    uint8_t blue = 0;
};

// Where a colour lies in a pixel of 16 or 32 bits.
struct Mask {
    uint32_t bits = 0;
    uint8_t of(uint32_t pixel) const {
        if (bits == 0) return 0;
        const uint64_t most = bits >> std::countr_zero(bits);
        return static_cast<uint8_t>(uint64_t{(pixel & bits) >> std::countr_zero(bits)} * 255 / most);
    }
};

struct Bmp {
    enum Compression : uint32_t { kNone = 0, kRuns8 = 1, kRuns4 = 2, kBitFields = 3 };

    int64_t width = 0;
    int64_t height = 0;
    bool top_down = false;
    uint32_t bits = 0;
    uint32_t compression = kNone;
    uint64_t pixels = 0;  // where they begin in the file
    Mask red, green, blue;
    std::vector<Colour> palette = std::vector<Colour>(256);  // indices without a colour are black

    int64_t row_of(int64_t stored) const { return top_down ? stored : height - 1 - stored; }
};

Result<Bmp> bmp_header(Bytes file) {
    constexpr uint64_t kFileHeader = 14;
    const Bytes begin = bytes_at(file, 0, kFileHeader + 4);
    if (begin.empty()) return bad_picture("the file ends in its header");
    const uint32_t size = little32(begin, kFileHeader);
    const Bytes header = bytes_at(file, kFileHeader, size);
    if ((size != 12 && (size < 40 || size > 124)) || header.empty()) return bad_picture("its header is malformed");
    Bmp bmp;
    uint64_t colours = 0;
    if (size == 12) {
        bmp.width = little16(header, 4);
        bmp.height = little16(header, 6);
        bmp.bits = little16(header, 10);
    } else {
        bmp.width = static_cast<int32_t>(little32(header, 4));
        bmp.height = static_cast<int32_t>(little32(header, 8));
        bmp.bits = little16(header, 14);
        bmp.compression = little32(header, 16);
        colours = little32(header, 32);
        bmp.top_down = bmp.height < 0;
        bmp.height = std::abs(bmp.height);
    }
    uint64_t after = kFileHeader + size;
    constexpr uint32_t kDepths[] = {1, 4, 8, 16, 24, 32};
    if (std::ranges::find(kDepths, bmp.bits) == std::end(kDepths)) {
        return bad_picture("pixels of ", bmp.bits, " bits are not known");
    }
    const bool runs =
        (bmp.compression == Bmp::kRuns8 && bmp.bits == 8) || (bmp.compression == Bmp::kRuns4 && bmp.bits == 4);
    const bool fields = bmp.compression == Bmp::kBitFields && bmp.bits >= 16;
    if (bmp.compression != Bmp::kNone && !runs && !fields) {
        return bad_picture("compression ", bmp.compression, " is not known for pixels of ", bmp.bits, " bits");
    }
    bmp.red = {bmp.bits == 16 ? 0x7C00U : 0xFF0000U};
    bmp.green = {bmp.bits == 16 ? 0x3E0U : 0xFF00U};
    bmp.blue = {bmp.bits == 16 ? 0x1FU : 0xFFU};
    if (fields) {
        // Longer headers hold the masks, the shortest has them behind it.
        const Bytes masks = bytes_at(file, kFileHeader + 40, 12);
        if (masks.empty()) return bad_picture("the file ends in its header");
        if (size == 40) after += 12;
        const Mask red{little32(masks, 0)};
        const Mask green{little32(masks, 4)};
        const Mask blue{little32(masks, 8)};
        if ((red.bits | green.bits | blue.bits) != 0) {
            bmp.red = red;
            bmp.green = green;
            bmp.blue = blue;
        }
    }
    if (bmp.bits <= 8) {
        if (colours == 0 || colours > 256) colours = uint64_t{1} << bmp.bits;
        const uint64_t step = size == 12 ? 3 : 4;
        for (uint64_t index = 0; index < colours; ++index) {
            const Bytes colour = bytes_at(file, after + index * step, 3);
            if (colour.empty()) break;
            bmp.palette[index] = {colour[2], colour[1], colour[0]};
        }
        after += colours * step;
    }
    bmp.pixels = little32(begin, 10);
    if (bmp.pixels == 0) bmp.pixels = after;
    return bmp;
}

Colour bmp_pixel(const Bmp& bmp, Bytes row, size_t x) {
    switch (bmp.bits) {
        case 1: return bmp.palette[row[x / 8] >> (7 - x % 8) & 1];
        case 4: return bmp.palette[row[x / 2] >> (4 - x % 2 * 4) & 15];
        case 8: return bmp.palette[row[x]];
        case 24: return {row[x * 3 + 2], row[x * 3 + 1], row[x * 3]};
        default: {
            const uint32_t pixel = bmp.bits == 16 ? little16(row, x * 2) : little32(row, x * 4);
            return {bmp.red.of(pixel), bmp.green.of(pixel), bmp.blue.of(pixel)};
        }
    }
}

// The indices of all pixels, in the order of the file. Runs of pixels and of copies; 0 0 ends a row, 0 1 the picture,
// 0 2 x y moves on. What is beside the picture is left out.
void read_bmp_runs(const Bmp& bmp, Bytes data, std::span<uint8_t> indices) {
    const auto width = static_cast<uint64_t>(bmp.width);
    const auto height = static_cast<uint64_t>(bmp.height);
    const bool four = bmp.compression == Bmp::kRuns4;
    uint64_t x = 0;
    uint64_t y = 0;
    const auto put = [&](uint8_t index) {
        if (x < width && y < height) indices[y * width + x] = index;
        ++x;
    };
    const auto half = [](uint8_t byte, uint64_t place) -> uint8_t { return place % 2 == 0 ? byte >> 4 : byte & 15; };
    size_t at = 0;
    while (at + 2 <= data.size() && y < height) {
        const uint8_t count = data[at];
        const uint8_t value = data[at + 1];
        at += 2;
        if (count != 0) {
            for (uint64_t each = 0; each < count; ++each) put(four ? half(value, each) : value);
        } else if (value == 0) {
            x = 0;
            ++y;
        } else if (value == 1) {
            return;
        } else if (value == 2) {
            if (at + 2 > data.size()) return;
            x += data[at];
            y += data[at + 1];
            at += 2;
        } else {
            const size_t bytes = four ? (value + 1U) / 2 : value;
            if (bytes > data.size() - at) return;
            for (uint64_t each = 0; each < value; ++each) {
                put(four ? half(data[at + each / 2], each) : data[at + each]);
            }
            at += bytes + bytes % 2;
        }
    }
}

// ---- PNM ----------------------------------------------------------------------------------------------------------

// Numbers of a header, and of the pixels where they are text. Comments go from # to the end of the line.
class PnmReader {
public:
    PnmReader(Bytes file, size_t at) : file_(file), at_(at) {}

    size_t position() const { return at_; }

    void skip_space() {
        for (; at_ < file_.size(); ++at_) {
            if (file_[at_] == '#') {
                while (at_ < file_.size() && file_[at_] != '\n' && file_[at_] != '\r') ++at_;
                if (at_ == file_.size()) return;
            } else if (!is_space(file_[at_])) {
                return;
            }
        }
    }
    // nullopt: none, or larger than any picture.
    std::optional<int64_t> number() {
        skip_space();
        std::optional<int64_t> value;
        for (; at_ < file_.size() && file_[at_] >= '0' && file_[at_] <= '9'; ++at_) {
            value = value.value_or(0) * 10 + (file_[at_] - '0');
            if (*value > std::numeric_limits<int32_t>::max()) return std::nullopt;
        }
        return value;
    }
    // One digit, 0 or 1: in plain bitmaps nothing need stand between them.
    std::optional<int64_t> bit() {
        skip_space();
        if (at_ == file_.size() || (file_[at_] != '0' && file_[at_] != '1')) return std::nullopt;
        return file_[at_++] - '0';
    }
    // Exactly one space stands before bytes.
    bool step_to_bytes() {
        if (at_ == file_.size() || !is_space(file_[at_])) return false;
        ++at_;
        return true;
    }

private:
    static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

    Bytes file_;
    size_t at_;
};

}  // namespace

Status read_bmp(std::span<const uint8_t> file, PictureWriter& writer) {
    QUOIN_ASSIGN_OR_RETURN(const Bmp bmp, bmp_header(file));
    if (bmp.width <= 0 || bmp.height <= 0) return bad_picture("its size is ", bmp.width, " x ", bmp.height);
    const bool runs = bmp.compression == Bmp::kRuns8 || bmp.compression == Bmp::kRuns4;
    const uint64_t stride =
        runs ? static_cast<uint64_t>(bmp.width) : (static_cast<uint64_t>(bmp.width) * bmp.bits + 31) / 32 * 4;
    // A small file cannot ask for much where its pixels must lie in it.
    const uint64_t needed = stride * static_cast<uint64_t>(bmp.height);
    if (bmp.pixels > file.size() || (!runs && needed > file.size() - bmp.pixels)) {
        return bad_picture("the file ends before its pixels do");
    }
    QUOIN_RETURN_IF_ERROR(writer.begin(bmp.width, bmp.height));
    Buffer indices;
    Bytes data = file.subspan(bmp.pixels);
    Bmp stored = bmp;
    if (runs) {
        QUOIN_ASSIGN_OR_RETURN(indices, writer.take(static_cast<int64_t>(needed)));
        const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(indices.data()), needed);
        std::ranges::fill(bytes, uint8_t{0});
        read_bmp_runs(bmp, data, bytes);
        data = bytes;
        stored.bits = 8;
    }
    std::vector<uint8_t> row(static_cast<size_t>(bmp.width) * 3);
    for (int64_t y = 0; y < bmp.height; ++y) {
        const Bytes from = data.subspan(static_cast<uint64_t>(y) * stride, stride);
        for (size_t x = 0; x < static_cast<size_t>(bmp.width); ++x) {
            const Colour colour = bmp_pixel(stored, from, x);
            row[x * 3] = colour.red;
            row[x * 3 + 1] = colour.green;
            row[x * 3 + 2] = colour.blue;
        }
        writer.put_rgb(bmp.row_of(y), row.data());
    }
    return {};
}

Status read_pnm(std::span<const uint8_t> file, PictureWriter& writer) {
    const bool text = file[1] <= '3';
    const int kind = (file[1] - '1') % 3;  // bits, grey, colours
    PnmReader reader(file, 2);
    const auto width = reader.number();
    const auto height = reader.number();
    const auto most = kind == 0 ? std::optional<int64_t>(1) : reader.number();
    if (!width || !height || !most || *most < 1 || *most > 65535) return bad_picture("its header is malformed");
    if (*width == 0 || *height == 0) return bad_picture("its size is ", *width, " x ", *height);
    if (!text && !reader.step_to_bytes()) return bad_picture("its header is malformed");
    const int64_t channels = kind == 2 ? 3 : 1;
    const int64_t width_bytes = kind == 0 ? (*width + 7) / 8 : *width * channels * (*most > 255 ? 2 : 1);
    // Text has at least a digit for each number, and a space between two of them unless they are bits.
    const auto left = static_cast<int64_t>(file.size() - reader.position());
    if (text ? *height > left / std::max<int64_t>(1, *width * channels * (kind == 0 ? 1 : 2) - 1)
             : *height > left / width_bytes) {
        return bad_picture("the file ends before its pixels do");
    }
    QUOIN_RETURN_IF_ERROR(writer.begin(*width, *height));

    std::vector<uint8_t> scaled(static_cast<size_t>(*most) + 1);
    for (size_t value = 0; value < scaled.size(); ++value) {
        const double part = static_cast<double>(value) / static_cast<double>(*most);
        scaled[value] = static_cast<uint8_t>(std::nearbyint((kind == 0 ? 1 - part : part) * 255));
    }
    std::vector<uint8_t> row(static_cast<size_t>(*width * channels));
    for (int64_t y = 0; y < *height; ++y) {
        const Bytes bytes = text ? Bytes{} : file.subspan(reader.position() + static_cast<size_t>(y * width_bytes));
        for (size_t at = 0; at < row.size(); ++at) {
            std::optional<int64_t> value;
            if (text) {
                value = kind == 0 ? reader.bit() : reader.number();
            } else if (kind == 0) {
                value = bytes[at / 8] >> (7 - at % 8) & 1;
            } else {
                value = *most > 255 ? bytes[at * 2] << 8 | bytes[at * 2 + 1] : bytes[at];
                *value = std::min(*value, *most);
            }
            if (!value || *value > *most) return bad_picture("row ", y, " has no number where one should be");
            row[at] = scaled[static_cast<size_t>(*value)];
        }
        if (kind == 2) {
            writer.put_rgb(y, row.data());
        } else {
            writer.put_grey(y, row.data());
        }
    }
    return {};
}

}  // namespace quoin
