// TIFF by libtiff, through its own reader of any picture to 32-bit pixels.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include <tiffio.h>

#include "core/foreign_library.h"
#include "ops/image_codecs.h"

namespace quoin {
namespace {

// The functions of libtiff, by their own names.
ForeignLibrary library(QUOIN_TIFF_LIBRARY);
QUOIN_FOREIGN_FUNCTION(TIFFOpenOptionsAlloc);
QUOIN_FOREIGN_FUNCTION(TIFFOpenOptionsFree);
QUOIN_FOREIGN_FUNCTION(TIFFOpenOptionsSetMaxSingleMemAlloc);
QUOIN_FOREIGN_FUNCTION(TIFFOpenOptionsSetErrorHandlerExtR);
QUOIN_FOREIGN_FUNCTION(TIFFOpenOptionsSetWarningHandlerExtR);
QUOIN_FOREIGN_FUNCTION(TIFFClientOpenExt);
QUOIN_FOREIGN_FUNCTION(TIFFClose);
QUOIN_FOREIGN_FUNCTION(TIFFGetField);
QUOIN_FOREIGN_FUNCTION(TIFFGetFieldDefaulted);
QUOIN_FOREIGN_FUNCTION(TIFFSetField);
QUOIN_FOREIGN_FUNCTION(TIFFIsTiled);
QUOIN_FOREIGN_FUNCTION(TIFFTileSize64);
QUOIN_FOREIGN_FUNCTION(TIFFStripSize64);
QUOIN_FOREIGN_FUNCTION(TIFFRGBAImageBegin);
QUOIN_FOREIGN_FUNCTION(TIFFRGBAImageGet);
QUOIN_FOREIGN_FUNCTION(TIFFRGBAImageEnd);

struct TiffFile {
    std::span<const uint8_t> bytes;
    uint64_t at = 0;
    // The library goes on after some errors with what it has.
    bool failed = false;
    char message[1024] = "it is malformed";
};

tmsize_t read_bytes(thandle_t handle, void* to, tmsize_t count) {
    auto& file = *static_cast<TiffFile*>(handle);
    if (file.at >= file.bytes.size() || count <= 0) return 0;
    const uint64_t given = std::min<uint64_t>(static_cast<uint64_t>(count), file.bytes.size() - file.at);
    std::memcpy(to, file.bytes.data() + file.at, given);
    file.at += given;
    return static_cast<tmsize_t>(given);
}

toff_t seek(thandle_t handle, toff_t offset, int from) {
    auto& file = *static_cast<TiffFile*>(handle);
    file.at = (from == SEEK_SET ? 0 : from == SEEK_CUR ? file.at : file.bytes.size()) + offset;
    return file.at;
}

int keep_error(TIFF* /*tiff*/, void* handle, const char* /*module*/, const char* format, va_list arguments) {
    auto& file = *static_cast<TiffFile*>(handle);
    file.failed = true;
    std::vsnprintf(file.message, sizeof(file.message), format, arguments);
    return 1;
}

// Dropped, but for the one about a palette that cannot be read: its indices would be taken for grey.
int look_at_warning(TIFF* tiff, void* handle, const char* module, const char* format, va_list arguments) {
    char text[256];
    va_list copy;
    va_copy(copy, arguments);
    std::vsnprintf(text, sizeof(text), format, copy);
    va_end(copy);
    return std::strstr(text, "ColorMap") != nullptr ? keep_error(tiff, handle, module, format, arguments) : 1;
}

struct Closing {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
    void operator()(TIFFOpenOptions* options) const { TIFFOpenOptionsFree(options); }
};
using OpenTiff = std::unique_ptr<TIFF, Closing>;

OpenTiff open_tiff(TiffFile& file) {
    const std::unique_ptr<TIFFOpenOptions, Closing> options(TIFFOpenOptionsAlloc());
    if (options == nullptr) return nullptr;
    // The least that holds a strip which is a whole picture of four 16-bit channels.
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), PictureWriter::kMostPixels * 8);
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_error, &file);
    TIFFOpenOptionsSetWarningHandlerExtR(options.get(), look_at_warning, &file);
    const TIFFReadWriteProc write = [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; };
    const TIFFCloseProc close = [](thandle_t) { return 0; };
    const TIFFSizeProc size = [](thandle_t handle) -> toff_t { return static_cast<TiffFile*>(handle)->bytes.size(); };
    return OpenTiff(TIFFClientOpenExt("picture", "rm", &file, read_bytes, write, seek, close, size, nullptr, nullptr,
                                      options.get()));
}

// TIFFRGBAImageBegin and -End as an object.
class TiffImage {
public:
    TiffImage(TIFF* tiff, char* message) : begun_(TIFFRGBAImageBegin(&image_, tiff, 1, message) != 0) {}
    TiffImage(const TiffImage&) = delete;
    TiffImage& operator=(const TiffImage&) = delete;
    ~TiffImage() {
        if (begun_) TIFFRGBAImageEnd(&image_);
    }
    bool begun() const { return begun_; }

    // The pixels in the order of the file.
    bool read(uint32_t* pixels) {
        image_.req_orientation = image_.orientation;
        // Of 16 bits the upper ones, as in every other format.
        if (image_.Bitdepth16To8 != nullptr) {
            for (int value = 0; value < 65536; ++value) image_.Bitdepth16To8[value] = static_cast<uint8_t>(value >> 8);
        }
        return TIFFRGBAImageGet(&image_, pixels, image_.width, image_.height) != 0;
    }

private:
    TIFFRGBAImage image_{};
    bool begun_;
};

// Colours must not be mixed with what is transparent, so nothing is said to be.
void forget_transparency(TIFF* tiff) {
    uint16_t count = 0;
    const uint16_t* kinds = nullptr;
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) == 0 || count == 0) return;
    const std::vector<uint16_t> unspecified(count, EXTRASAMPLE_UNSPECIFIED);
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, count, unspecified.data());
}

// What the library takes for a strip or a tile before it knows whether the file holds as much.
int64_t piece_bytes(TIFF* tiff) {
    const uint64_t bytes = TIFFIsTiled(tiff) != 0 ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
    uint16_t planes = PLANARCONFIG_CONTIG;
    uint16_t samples = 1;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planes);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    const uint64_t pieces = planes == PLANARCONFIG_SEPARATE ? samples : 1;
    constexpr uint64_t kMost = uint64_t{PictureWriter::kMostPixels} * 8;
    return bytes > kMost / pieces ? -1 : static_cast<int64_t>(bytes * pieces);
}

}  // namespace

Status read_tiff(std::span<const uint8_t> bytes, PictureWriter& writer) {
    QUOIN_RETURN_IF_ERROR(library.load());
    TiffFile file{bytes};
    const OpenTiff tiff = open_tiff(file);
    if (tiff == nullptr || file.failed) return bad_picture(file.message);
    uint32_t stored_width = 0;
    uint32_t stored_height = 0;
    uint16_t orientation = ORIENTATION_TOPLEFT;
    TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &stored_width);
    TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &stored_height);
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_ORIENTATION, &orientation);
    const bool turned = orientation >= ORIENTATION_LEFTTOP && orientation <= ORIENTATION_LEFTBOT;
    const int64_t width = turned ? stored_height : stored_width;
    const int64_t height = turned ? stored_width : stored_height;
    QUOIN_RETURN_IF_ERROR(writer.begin(width, height));
    const int64_t piece = piece_bytes(tiff.get());
    if (piece < 0) return error(StatusCode::OutOfMemory, "one of its strips or tiles is larger than any picture");
    QUOIN_ASSIGN_OR_RETURN(const Buffer kept, writer.take(piece));
    QUOIN_ASSIGN_OR_RETURN(const Buffer raster, writer.take(width * height * 4));
    auto* const pixels = reinterpret_cast<uint32_t*>(raster.data());
    forget_transparency(tiff.get());
    TiffImage image(tiff.get(), file.message);
    if (!image.begun() || !image.read(pixels) || file.failed) return bad_picture(file.message);

    const bool from_right = orientation == ORIENTATION_TOPRIGHT || orientation == ORIENTATION_BOTRIGHT ||
                            orientation == ORIENTATION_RIGHTTOP || orientation == ORIENTATION_RIGHTBOT;
    const bool from_bottom = orientation == ORIENTATION_BOTRIGHT || orientation == ORIENTATION_BOTLEFT ||
                             orientation == ORIENTATION_RIGHTBOT || orientation == ORIENTATION_LEFTBOT;
    std::vector<uint8_t> row(static_cast<size_t>(width) * 3);
    for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x) {
            const int64_t across = from_right ? width - 1 - x : x;
            const int64_t down = from_bottom ? height - 1 - y : y;
            const uint32_t pixel = pixels[turned ? across * height + down : down * width + across];
            row[static_cast<size_t>(x) * 3] = static_cast<uint8_t>(TIFFGetR(pixel));
            row[static_cast<size_t>(x) * 3 + 1] = static_cast<uint8_t>(TIFFGetG(pixel));
            row[static_cast<size_t>(x) * 3 + 2] = static_cast<uint8_t>(TIFFGetB(pixel));
        }
        writer.put_rgb(y, row.data());
    }
    return {};
}

}  // namespace quoin
