// ImageDecoder (ONNX): the file of a picture, u8 [bytes], to u8 [height, width, channels].
//
// What the definition leaves open is as in Pillow, which ONNX's tests were made with: the first picture of several,
// without what is transparent, of 16-bit channels the upper byte, the orientation of TIFF files respected and that of
// EXIF data not. Grey is the luma of the colours, and grey pictures in colour have three equal channels.
#include "core/log.h"
#include "ops/image_codecs.h"

namespace quoin {
namespace {

std::optional<PixelFormat> pixel_format_of(const Node& node) {
    const std::string_view name = node.string("pixel_format", "RGB");
    if (name == "RGB") return PixelFormat::Rgb;
    if (name == "BGR") return PixelFormat::Bgr;
    if (name == "Grayscale") return PixelFormat::Grayscale;
    return std::nullopt;
}

Status infer_image_decoder(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::U8}));
    const auto& dims = context.input(0).dims;
    if (dims && dims->size() != 1) return context.fail("the encoded picture is no vector");
    const std::optional<PixelFormat> format = pixel_format_of(context.node());
    if (!format) return context.fail("'pixel_format' is none of RGB, BGR and Grayscale");
    context.set_output(0, DType::U8, std::vector<Dim>{{}, {}, {.size = channels_of(*format)}});
    return {};
}

Status compute_image_decoder(ComputeContext& context) {
    const PixelFormat format = pixel_format_of(context.node()).value_or(PixelFormat::Rgb);
    const auto file = context.input(0).as<const uint8_t>();
    const PictureCodec* const codec = find_picture_codec(file);
    Status status = bad_picture("the bytes are of no known format");
    if (codec != nullptr) {
        if (codec->read == nullptr) {
            return context.fail(StatusCode::Unsupported, "the picture is a ", codec->format,
                                " file, and this library was built without ", codec->library,
                                " (the CMake option QUOIN_IMAGE_CODECS)");
        }
        PictureWriter writer(context, format);
        status = codec->read(file, writer);
    }
    if (status.ok()) return {};
    const char* const name = codec != nullptr ? codec->format : "picture";
    if (status.code() != StatusCode::InvalidModel) return context.fail(status.code(), name, ": ", status.message());
    // By definition what cannot be decoded is an empty matrix.
    log(LogLevel::Warning, "node '", context.node().name, "' (ImageDecoder) gives an empty result: ", name, ": ",
        status.message());
    return context.output(0, DType::U8, {0, 0, channels_of(format)}).status();
}

}  // namespace

extern const OpImplementation kImageDecoderOp{infer_image_decoder, nullptr, compute_image_decoder};

}  // namespace quoin
