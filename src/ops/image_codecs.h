// Pictures in files to pixels: who reads which format, and where the pixels go. A format whose library the build lacks
// is known by name and has no reader.
#pragma once

#include <cstdint>
#include <span>

#include "ops/op_kernel.h"

namespace quoin {

enum class PixelFormat : uint8_t { Rgb, Bgr, Grayscale };

constexpr int64_t channels_of(PixelFormat format) {
    return format == PixelFormat::Grayscale ? 1 : 3;
}

// Where a reader puts its picture: output 0 of the node, u8 [height, width, channels].
class PictureWriter {
public:
    // Of a picture, as many as Pillow reads, whose pixels the operator's definition was tested against. It bounds what
    // some bytes can make us allocate.
    static constexpr int64_t kMostPixels = int64_t{1 << 30} / 6;

    PictureWriter(ComputeContext& context, PixelFormat format) : context_(context), format_(format) {}

    // Once the size is known, before anything of that size is allocated.
    Status begin(int64_t width, int64_t height);
    // Counted memory for the time of reading. Also taken, and left alone, for what a library allocates by itself, so
    // that the budget knows of it.
    Result<Buffer> take(int64_t bytes) const;

    // Row `row` of the picture from pixels that are `step` bytes apart: one byte of grey, or red, green, blue.
    void put_grey(int64_t row, const uint8_t* pixels, size_t step = 1);
    void put_rgb(int64_t row, const uint8_t* pixels, size_t step = 3);

    int64_t width() const { return width_; }
    int64_t height() const { return height_; }

private:
    ComputeContext& context_;
    PixelFormat format_;
    int64_t width_ = 0;
    int64_t height_ = 0;
    uint8_t* pixels_ = nullptr;
};

// InvalidModel says why it is no picture, or one that this reader cannot read; other codes are not the picture's fault.
using PictureReader = Status (*)(std::span<const uint8_t> file, PictureWriter& writer);

struct PictureCodec {
    const char* format;
    const char* library;  // what a build without the reader lacks
    bool (*recognises)(std::span<const uint8_t> file);
    PictureReader read;  // null: the build has no such library
};

// Whose first bytes these are, or null.
const PictureCodec* find_picture_codec(std::span<const uint8_t> file);

// Those that this build reads: "JPEG, PNG, BMP and PNM".
std::string picture_formats();

template <class... Parts>
Status bad_picture(const Parts&... parts) {
    return error(StatusCode::InvalidModel, parts...);
}

// Bytes of a file from `offset`; empty where the file is too short.
inline std::span<const uint8_t> bytes_at(std::span<const uint8_t> file, uint64_t offset, uint64_t count) {
    if (offset > file.size() || count > file.size() - offset) return {};
    return file.subspan(offset, count);
}

Status read_bmp(std::span<const uint8_t> file, PictureWriter& writer);
Status read_pnm(std::span<const uint8_t> file, PictureWriter& writer);
Status read_jpeg(std::span<const uint8_t> file, PictureWriter& writer);
Status read_jpeg2000(std::span<const uint8_t> file, PictureWriter& writer);
Status read_png(std::span<const uint8_t> file, PictureWriter& writer);
Status read_tiff(std::span<const uint8_t> file, PictureWriter& writer);
Status read_webp(std::span<const uint8_t> file, PictureWriter& writer);

}  // namespace quoin
