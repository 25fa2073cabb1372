#include "ops/image_codecs.h"

#include <string_view>
#include <vector>

#include "core/message.h"

namespace quoin {
namespace {

using Bytes = std::span<const uint8_t>;

#ifdef QUOIN_WITH_JPEG
constexpr PictureReader kReadJpeg = read_jpeg;
#else
constexpr PictureReader kReadJpeg = nullptr;
#endif
#ifdef QUOIN_WITH_JPEG2000
constexpr PictureReader kReadJpeg2000 = read_jpeg2000;
#else
constexpr PictureReader kReadJpeg2000 = nullptr;
#endif
#ifdef QUOIN_WITH_PNG
constexpr PictureReader kReadPng = read_png;
#else
constexpr PictureReader kReadPng = nullptr;
#endif
#ifdef QUOIN_WITH_TIFF
constexpr PictureReader kReadTiff = read_tiff;
#else
constexpr PictureReader kReadTiff = nullptr;
#endif
#ifdef QUOIN_WITH_WEBP
constexpr PictureReader kReadWebp = read_webp;
#else
constexpr PictureReader kReadWebp = nullptr;
#endif

using namespace std::string_view_literals;

bool has(Bytes file, size_t offset, std::string_view mark) {
    const Bytes found = bytes_at(file, offset, mark.size());
    return std::string_view(reinterpret_cast<const char*>(found.data()), found.size()) == mark;
}

bool begins(Bytes file, std::string_view mark) {
    return has(file, 0, mark);
}

constexpr PictureCodec kCodecs[] = {
    {"JPEG", "libjpeg", [](Bytes file) { return begins(file, "\xff\xd8\xff"); }, kReadJpeg},
    {"PNG", "libpng", [](Bytes file) { return begins(file, "\x89PNG\r\n\x1a\n"); }, kReadPng},
    {"BMP", "", [](Bytes file) { return begins(file, "BM"); }, read_bmp},
    {"PNM", "", [](Bytes file) { return file.size() > 2 && file[0] == 'P' && file[1] >= '1' && file[1] <= '6'; },
     read_pnm},
    {"JPEG 2000", "OpenJPEG",
     [](Bytes file) { return begins(file, "\xff\x4f\xff\x51") || begins(file, "\0\0\0\x0cjP  \r\n\x87\n"sv); },
     kReadJpeg2000},
    {"TIFF", "libtiff",
     [](Bytes file) {
         return begins(file, "II*\0"sv) || begins(file, "MM\0*"sv) || begins(file, "II+\0"sv) ||
                begins(file, "MM\0+"sv);
     },
     kReadTiff},
    {"WebP", "libwebp", [](Bytes file) { return begins(file, "RIFF") && has(file, 8, "WEBP"); }, kReadWebp},
};

}  // namespace

const PictureCodec* find_picture_codec(std::span<const uint8_t> file) {
    for (const PictureCodec& codec : kCodecs) {
        if (codec.recognises(file)) return &codec;
    }
    return nullptr;
}

std::string picture_formats() {
    std::vector<std::string_view> names;
    for (const PictureCodec& codec : kCodecs) {
        if (codec.read != nullptr) names.emplace_back(codec.format);
    }
    return sentence_of(names);
}

Status PictureWriter::begin(int64_t width, int64_t height) {
    if (width <= 0 || height <= 0) return bad_picture("its size is ", width, " x ", height);
    if (width > kMostPixels / height) {
        return error(StatusCode::OutOfMemory, "its size is ", width, " x ", height, ", and no more than ", kMostPixels,
                     " pixels are decoded");
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context_.output(0, DType::U8, {height, width, channels_of(format_)}));
    width_ = width;
    height_ = height;
    pixels_ = output.as<uint8_t>().data();
    return {};
}

Result<Buffer> PictureWriter::take(int64_t bytes) const {
    return Buffer::allocate(context_.runtime().memory, static_cast<size_t>(bytes), "reading a picture");
}

void PictureWriter::put_grey(int64_t row, const uint8_t* pixels, size_t step) {
    const int64_t channels = channels_of(format_);
    uint8_t* to = pixels_ + row * width_ * channels;
    for (int64_t x = 0; x < width_; ++x, pixels += step) {
        for (int64_t channel = 0; channel < channels; ++channel) *to++ = *pixels;
    }
}

void PictureWriter::put_rgb(int64_t row, const uint8_t* pixels, size_t step) {
    uint8_t* to = pixels_ + row * width_ * channels_of(format_);
    for (int64_t x = 0; x < width_; ++x, pixels += step) {
        switch (format_) {
            case PixelFormat::Rgb:
                for (int channel = 0; channel < 3; ++channel) *to++ = pixels[channel];
                break;
            case PixelFormat::Bgr:
                for (int channel = 2; channel >= 0; --channel) *to++ = pixels[channel];
                break;
            case PixelFormat::Grayscale:
                // The luma of ITU-R BT.601 with 16 bits behind the point, rounded.
                *to++ =
                    static_cast<uint8_t>((pixels[0] * 19595U + pixels[1] * 38470U + pixels[2] * 7471U + 0x8000U) >> 16);
                break;
        }
    }
}

}  // namespace quoin
