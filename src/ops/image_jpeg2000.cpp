// JPEG 2000 by OpenJPEG.
#include <algorithm>
#include <cstring>

#include <openjpeg.h>

#include "core/foreign_library.h"
#include "ops/image_codecs.h"

namespace quoin {
namespace {

// The functions of OpenJPEG, by their own names.
ForeignLibrary library(QUOIN_JPEG2000_LIBRARY);
QUOIN_FOREIGN_FUNCTION(opj_stream_default_create);
QUOIN_FOREIGN_FUNCTION(opj_stream_destroy);
QUOIN_FOREIGN_FUNCTION(opj_stream_set_user_data);
QUOIN_FOREIGN_FUNCTION(opj_stream_set_user_data_length);
QUOIN_FOREIGN_FUNCTION(opj_stream_set_read_function);
QUOIN_FOREIGN_FUNCTION(opj_stream_set_skip_function);
QUOIN_FOREIGN_FUNCTION(opj_stream_set_seek_function);
QUOIN_FOREIGN_FUNCTION(opj_create_decompress);
QUOIN_FOREIGN_FUNCTION(opj_destroy_codec);
QUOIN_FOREIGN_FUNCTION(opj_set_default_decoder_parameters);
QUOIN_FOREIGN_FUNCTION(opj_setup_decoder);
QUOIN_FOREIGN_FUNCTION(opj_set_error_handler);
QUOIN_FOREIGN_FUNCTION(opj_read_header);
QUOIN_FOREIGN_FUNCTION(opj_decode);
QUOIN_FOREIGN_FUNCTION(opj_end_decompress);
QUOIN_FOREIGN_FUNCTION(opj_image_destroy);

struct Input {
    std::span<const uint8_t> file;
    size_t at = 0;
};

// What the library allocates by is read here first, as it has no limits of its own.
struct CodestreamSize {
    int64_t width = 0;
    int64_t height = 0;
    int64_t tiles = 0;
    int64_t components = 0;
};

uint64_t big_endian(std::span<const uint8_t> bytes) {
    uint64_t value = 0;
    for (const uint8_t byte : bytes) value = value << 8 | byte;
    return value;
}

// The codestream of a file of boxes, or the file itself; empty where there is none.
std::span<const uint8_t> codestream_of(std::span<const uint8_t> file) {
    if (file[0] == 0xff) return file;
    while (file.size() >= 16) {
        uint64_t length = big_endian(file.first(4));
        const uint64_t header = length == 1 ? 16 : 8;
        if (length == 1) length = big_endian(file.subspan(8, 8));
        if (length == 0) length = file.size();
        if (big_endian(file.subspan(4, 4)) == 0x6a703263) return file.subspan(header);  // "jp2c"
        if (length < header || length > file.size()) return {};
        file = file.subspan(length);
    }
    return {};
}

std::optional<CodestreamSize> size_of(std::span<const uint8_t> codestream) {
    constexpr size_t kSizes = 8;  // behind two markers, a length and the capabilities
    const std::span<const uint8_t> sizes = bytes_at(codestream, kSizes, 34);
    if (sizes.empty() || big_endian(codestream.first(4)) != 0xff4fff51) return std::nullopt;
    const auto number = [&](size_t index) { return static_cast<int64_t>(big_endian(sizes.subspan(index * 4, 4))); };
    CodestreamSize size;
    size.width = number(0) - number(2);
    size.height = number(1) - number(3);
    const auto tiles = [&](int64_t end, int64_t step, int64_t begin) {
        return step == 0 ? 0 : (end - begin + step - 1) / step;
    };
    const int64_t across = tiles(number(0), number(4), number(6));
    const int64_t down = tiles(number(1), number(5), number(7));
    constexpr int64_t kMostTiles = 65535;
    if (across <= 0 || down <= 0 || across > kMostTiles / down) return std::nullopt;
    size.tiles = across * down;
    size.components = static_cast<int64_t>(big_endian(sizes.last(2)));
    return size;
}

OPJ_SIZE_T read_bytes(void* to, OPJ_SIZE_T count, void* data) {
    auto& input = *static_cast<Input*>(data);
    const size_t given = std::min<size_t>(count, input.file.size() - input.at);
    if (given == 0) return static_cast<OPJ_SIZE_T>(-1);
    std::memcpy(to, input.file.data() + input.at, given);
    input.at += given;
    return given;
}

OPJ_OFF_T skip(OPJ_OFF_T count, void* data) {
    auto& input = *static_cast<Input*>(data);
    if (count < 0) return -1;
    const size_t given = std::min<size_t>(static_cast<size_t>(count), input.file.size() - input.at);
    input.at += given;
    return given == 0 && count > 0 ? -1 : static_cast<OPJ_OFF_T>(given);
}

OPJ_BOOL seek(OPJ_OFF_T position, void* data) {
    auto& input = *static_cast<Input*>(data);
    if (position < 0 || static_cast<size_t>(position) > input.file.size()) return OPJ_FALSE;
    input.at = static_cast<size_t>(position);
    return OPJ_TRUE;
}

void keep_message(const char* message, void* data) {
    auto& text = *static_cast<std::string*>(data);
    text = message;
    while (!text.empty() && (text.back() == '\n' || text.back() == '.')) text.pop_back();
}

struct DestroyStream {
    void operator()(opj_stream_t* stream) const { opj_stream_destroy(stream); }
};
struct DestroyCodec {
    void operator()(opj_codec_t* codec) const { opj_destroy_codec(codec); }
};
struct DestroyImage {
    void operator()(opj_image_t* image) const { opj_image_destroy(image); }
};
using Stream = std::unique_ptr<opj_stream_t, DestroyStream>;
using Codec = std::unique_ptr<opj_codec_t, DestroyCodec>;
using Image = std::unique_ptr<opj_image_t, DestroyImage>;

Stream open_stream(Input& input) {
    Stream stream(opj_stream_default_create(OPJ_TRUE));
    if (stream == nullptr) return stream;
    opj_stream_set_user_data(stream.get(), &input, nullptr);
    opj_stream_set_user_data_length(stream.get(), input.file.size());
    opj_stream_set_read_function(stream.get(), read_bytes);
    opj_stream_set_skip_function(stream.get(), skip);
    opj_stream_set_seek_function(stream.get(), seek);
    return stream;
}

// A sample of any width and sign as a byte.
uint8_t to_byte(const opj_image_comp_t& component, int32_t sample) {
    int64_t value = sample;
    const int width = static_cast<int>(component.prec);
    if (component.sgnd != 0) value += int64_t{1} << (width - 1);
    value = width >= 8 ? value >> (width - 8) : value << (8 - width);
    return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255));
}

// The components of the picture, which may have fewer samples than it has pixels.
class Samples {
public:
    Samples(const opj_image_t& image, size_t colours) : image_(image), colours_(colours) {}

    void row(int64_t y, std::span<uint8_t> to) const {
        for (size_t colour = 0; colour < colours_; ++colour) {
            const opj_image_comp_t& component = image_.comps[colour];
            const OPJ_INT32* const samples =
                component.data + std::min<int64_t>(y / component.dy, component.h - 1) * component.w;
            for (size_t x = 0; x < to.size() / colours_; ++x) {
                const size_t at = std::min<size_t>(x / component.dx, component.w - 1);
                to[x * colours_ + colour] = to_byte(component, samples[at]);
            }
        }
    }

private:
    const opj_image_t& image_;
    size_t colours_;
};

// Luma and two differences, each in 0..255, to red, green and blue, as in JPEG files.
void ycc_to_rgb(std::span<uint8_t> row) {
    for (size_t at = 0; at + 3 <= row.size(); at += 3) {
        const double luma = row[at];
        const double blue = row[at + 1] - 128.0;
        const double red = row[at + 2] - 128.0;
        const auto byte = [](double value) { return static_cast<uint8_t>(std::clamp(value + 0.5, 0.0, 255.0)); };
        row[at] = byte(luma + 1.402 * red);
        row[at + 1] = byte(luma - 0.344136 * blue - 0.714136 * red);
        row[at + 2] = byte(luma + 1.772 * blue);
    }
}

// Cyan, magenta, yellow and black in place.
void inks_to_rgb(std::span<uint8_t> row) {
    for (size_t at = 0; at + 4 <= row.size(); at += 4) {
        const int light = 255 - row[at + 3];
        for (size_t ink = 0; ink < 3; ++ink) {
            const int product = row[at + ink] * light + 128;
            row[at + ink] = static_cast<uint8_t>(light - (((product >> 8) + product) >> 8));
        }
    }
}

}  // namespace

Status read_jpeg2000(std::span<const uint8_t> file, PictureWriter& writer) {
    QUOIN_RETURN_IF_ERROR(library.load());
    const std::optional<CodestreamSize> size = size_of(codestream_of(file));
    if (!size) return bad_picture("its header is malformed");
    if (size->components < 1 || size->components > 4) {
        return bad_picture("pictures of ", size->components, " components are not decoded");
    }
    QUOIN_RETURN_IF_ERROR(writer.begin(size->width, size->height));
    // The library keeps every sample as an int32, of the tiles and of the picture, and parameters of every tile.
    constexpr int64_t kTileBytes = 8192;
    const int64_t samples_bytes = size->width * size->height * size->components * 2 * int64_t{4};
    QUOIN_ASSIGN_OR_RETURN(const Buffer kept, writer.take(samples_bytes + size->tiles * kTileBytes));

    std::string message = "it is malformed";
    Input input{file};
    const Stream stream = open_stream(input);
    const Codec codec(opj_create_decompress(file[0] == 0xff ? OPJ_CODEC_J2K : OPJ_CODEC_JP2));
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    if (stream == nullptr || codec == nullptr || opj_setup_decoder(codec.get(), &parameters) == OPJ_FALSE) {
        return error(StatusCode::OutOfMemory, "OpenJPEG could not begin");
    }
    opj_set_error_handler(codec.get(), keep_message, &message);
    opj_image_t* header = nullptr;
    const bool known = opj_read_header(stream.get(), codec.get(), &header) != OPJ_FALSE;
    const Image image(header);
    if (!known || image == nullptr) return bad_picture(message);
    const bool agrees = int64_t{image->x1} - image->x0 == size->width &&
                        int64_t{image->y1} - image->y0 == size->height && image->numcomps == size->components;
    if (!agrees) return bad_picture("its headers contradict each other");
    if (opj_decode(codec.get(), stream.get(), image.get()) == OPJ_FALSE ||
        opj_end_decompress(codec.get(), stream.get()) == OPJ_FALSE) {
        return bad_picture(message);
    }
    const bool inks = image->color_space == OPJ_CLRSPC_CMYK && image->numcomps == 4;
    // A palette may have made three components of one.
    const size_t colours = inks ? 4 : image->numcomps >= 3 ? 3 : 1;
    for (size_t colour = 0; colour < colours; ++colour) {
        const opj_image_comp_t& component = image->comps[colour];
        if (component.data == nullptr || component.w == 0 || component.h == 0 || component.dx == 0 ||
            component.dy == 0 || component.prec == 0 || component.prec > 31) {
            return bad_picture("one of its components is malformed");
        }
    }
    const Samples samples(*image, colours);
    std::vector<uint8_t> row(static_cast<size_t>(size->width) * colours);
    for (int64_t y = 0; y < size->height; ++y) {
        samples.row(y, row);
        if (colours == 1) {
            writer.put_grey(y, row.data());
            continue;
        }
        if (image->color_space == OPJ_CLRSPC_SYCC) ycc_to_rgb(row);
        if (inks) inks_to_rgb(row);
        writer.put_rgb(y, row.data(), colours);
    }
    return {};
}

}  // namespace quoin
