// WebP by libwebp: pictures, no animations.
#include <webp/decode.h>

#include "core/foreign_library.h"
#include "ops/image_codecs.h"

namespace quoin {
namespace {

// The functions of libwebp, by their own names.
ForeignLibrary library(QUOIN_WEBP_LIBRARY);
QUOIN_FOREIGN_FUNCTION(WebPGetFeaturesInternal);
QUOIN_FOREIGN_FUNCTION(WebPDecodeRGBInto);

}  // namespace

Status read_webp(std::span<const uint8_t> file, PictureWriter& writer) {
    QUOIN_RETURN_IF_ERROR(library.load());
    WebPBitstreamFeatures features;
    if (WebPGetFeaturesInternal(file.data(), file.size(), &features, WEBP_DECODER_ABI_VERSION) != VP8_STATUS_OK) {
        return bad_picture("its header is malformed");
    }
    if (features.has_animation != 0) return bad_picture("animations are not decoded");
    const int64_t width = features.width;
    const int64_t height = features.height;
    QUOIN_RETURN_IF_ERROR(writer.begin(width, height));
    // Lossless pictures are kept as 32-bit pixels before they are written.
    constexpr int kLossless = 2;
    QUOIN_ASSIGN_OR_RETURN(const Buffer kept, writer.take(features.format == kLossless ? width * height * 4 : 0));
    QUOIN_ASSIGN_OR_RETURN(const Buffer pixels, writer.take(width * height * 3));
    auto* const rgb = reinterpret_cast<uint8_t*>(pixels.data());
    if (WebPDecodeRGBInto(file.data(), file.size(), rgb, pixels.size(), features.width * 3) == nullptr) {
        return bad_picture("its data are malformed or end too early");
    }
    for (int64_t y = 0; y < height; ++y) writer.put_rgb(y, rgb + y * width * 3);
    return {};
}

}  // namespace quoin
