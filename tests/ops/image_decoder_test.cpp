// Pictures of every format, against what Pillow reads from them (tests/data/pictures/make.py), and files that are
// broken.
#include <filesystem>

#include "core/log.h"
#include "ops/image_codecs.h"
#include "ops/op_test.h"
#include "support/shared_models.h"

namespace quoin::test {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes bytes_of(const std::string& text) {
    return {text.begin(), text.end()};
}

Bytes read_picture(const std::string& name) {
    return bytes_of(read_text(source_file("tests/data/pictures/" + name)));
}

bool has_reader(const Bytes& file) {
    const PictureCodec* const codec = find_picture_codec(file);
    REQUIRE(codec != nullptr);
    return codec->read != nullptr;
}

Result<std::vector<Tensor>> decode(const Bytes& file, const std::string& format, const RunOptions& options = {}) {
    const Tensor picture = tensor_of(DType::U8, {static_cast<int64_t>(file.size())}, file);
    return run_op(Op::ImageDecoder, {given(picture)}, {{"pixel_format", format}}, options);
}

// How far the pixels are from the wanted ones; -1: the shapes differ.
int difference(const Tensor& got, const Bytes& wanted, int64_t channels) {
    const int64_t width = wanted[0] | wanted[1] << 8;
    const int64_t height = wanted[2] | wanted[3] << 8;
    if (!(got.shape() == Shape{height, width, channels})) return -1;
    const auto pixels = got.as<const uint8_t>();
    int largest = 0;
    for (size_t at = 0; at < pixels.size(); ++at) largest = std::max(largest, std::abs(pixels[at] - wanted[at + 4]));
    return largest;
}

bool is_empty(const Result<std::vector<Tensor>>& outputs, int64_t channels = 3) {
    return outputs.ok() && outputs->at(0).shape() == Shape{0, 0, channels};
}

TEST_CASE("pictures of every format have the pixels that Pillow reads", "[pictures]") {
    // Lossy JPEG 2000 is computed in floats, and the inks of TIFF files are mixed in another order.
    const std::map<std::string, int> tolerated = {{"grey-lossy.jp2", 1}, {"cmyk.tif", 1}};
    int seen = 0;
    for (const auto& entry : std::filesystem::directory_iterator(source_file("tests/data/pictures"))) {
        const std::string name = entry.path().filename().string();
        if (!name.ends_with(".rgb")) continue;
        const std::string picture = name.substr(0, name.size() - 4);
        const Bytes file = read_picture(picture);
        if (!has_reader(file)) continue;
        ++seen;
        const auto found = tolerated.find(picture);
        const int most = found == tolerated.end() ? 0 : found->second;
        CAPTURE(picture);
        const auto rgb = decode(file, "RGB");
        INFO(rgb.status().message());
        REQUIRE(rgb.ok());
        const Bytes wanted = read_picture(name);
        const int far = difference(rgb->at(0), wanted, 3);
        CHECK(far >= 0);
        CHECK(far <= most);

        const auto bgr = decode(file, "BGR");
        REQUIRE(bgr.ok());
        auto pixels = rgb->at(0).as<uint8_t>();
        for (size_t at = 0; at < pixels.size(); at += 3) std::swap(pixels[at], pixels[at + 2]);
        CHECK(std::ranges::equal(pixels, bgr->at(0).as<uint8_t>()));

        if (std::filesystem::exists(entry.path().parent_path() / (picture + ".grey"))) {
            const auto grey = decode(file, "Grayscale");
            REQUIRE(grey.ok());
            CHECK(difference(grey->at(0), read_picture(picture + ".grey"), 1) == 0);
        }
    }
    CHECK(seen >= 15);
}

TEST_CASE("what is no picture gives an empty matrix and a warning", "[pictures]") {
    std::string warning;
    set_log(LogLevel::Warning, [&](LogLevel, std::string_view text) { warning = text; });
    CHECK(is_empty(decode(bytes_of("no picture at all"), "RGB")));
    CHECK(warning.find("node") != std::string::npos);
    set_log(LogLevel::Warning, {});
    CHECK(is_empty(decode({}, "Grayscale"), 1));
    CHECK(is_empty(decode(bytes_of("P6 0 5 255\n"), "BGR")));
    CHECK(is_empty(decode(bytes_of("P5 4 4 255\n123"), "RGB")));
    CHECK(is_empty(decode(bytes_of("P2 2 2 255\n1 2 3 256 "), "RGB")));
}

TEST_CASE("a TIFF file whose palette is cut off is no picture", "[pictures]") {
    const Bytes whole = read_picture("palette.tif");
    if (!has_reader(whole)) return;
    CHECK(is_empty(decode({whole.begin(), whole.end() - 100}, "RGB")));
}

TEST_CASE("a picture that is cut or damaged anywhere does no harm", "[pictures]") {
    Random random(11);
    for (const char* const name :
         {"rgb.jpg", "rgb-444-progressive.jpg", "interlaced.png", "palette.png", "rgb.jp2", "alpha.webp", "lossy.webp",
          "rgba-lzw.tif", "orientation-6.tif", "ycbcr-jpeg.tif", "runs8.bmp", "runs4.bmp", "text.ppm", "palette.bmp"}) {
        const Bytes whole = read_picture(name);
        if (!has_reader(whole)) continue;
        CAPTURE(name);
        for (size_t length = 12; length < whole.size(); length += 1 + whole.size() / 60) {
            CHECK(decode({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}, "RGB").ok());
        }
        RunOptions options;
        auto runtime = std::make_shared<Runtime>(
            Runtime{std::make_shared<Memory>(size_t{64} << 20), std::make_unique<Team>(1), effective_isa({})});
        options.runtime = runtime;
        for (int turn = 0; turn < 100; ++turn) {
            Bytes damaged = whole;
            for (int place = 0; place < 3; ++place) {
                damaged[12 + static_cast<size_t>(random.integer(0, static_cast<int>(damaged.size()) - 13))] =
                    static_cast<uint8_t>(random.integer(0, 255));
            }
            const auto outputs = decode(damaged, "RGB", options);
            // Sizes may have become enormous.
            if (!outputs.ok()) CHECK(outputs.status().code() == StatusCode::OutOfMemory);
        }
        CHECK(runtime->memory->used_bytes() == 0);
    }
}

TEST_CASE("the size of a picture is limited before memory is taken", "[pictures]") {
    Bytes bmp = read_picture("runs8.bmp");
    for (const size_t at : {18, 22}) {
        const uint8_t huge[] = {0xff, 0xff, 0xff, 0x3f};
        std::ranges::copy(huge, bmp.begin() + static_cast<std::ptrdiff_t>(at));
    }
    const auto outputs = decode(bmp, "RGB");
    CHECK(outputs.status().code() == StatusCode::OutOfMemory);
    CHECK_THAT(outputs.status().message(), contains("node"));
    CHECK_THAT(outputs.status().message(), contains("1073741823"));

    RunOptions options;
    options.runtime = std::make_shared<Runtime>(
        Runtime{std::make_shared<Memory>(size_t{1} << 20), std::make_unique<Team>(1), effective_isa({})});
    CHECK(decode(bytes_of("P1 2000 1000 " + std::string(2000 * 1000, '0')), "RGB", options).status().code() ==
          StatusCode::OutOfMemory);
}

TEST_CASE("without its library a picture is refused by name", "[pictures]") {
    for (const char* const name : {"rgb.jpg", "rgb.png", "rgb.jp2", "rgb.tif", "lossy.webp"}) {
        const Bytes file = read_picture(name);
        if (has_reader(file)) continue;
        const auto outputs = decode(file, "RGB");
        CHECK(outputs.status().code() == StatusCode::Unsupported);
        CHECK_THAT(outputs.status().message(), contains("node"));
        CHECK_THAT(outputs.status().message(), contains("QUOIN_IMAGE_CODECS"));
    }
}

TEST_CASE("another pixel format or element type than those of the definition is refused", "[pictures]") {
    CHECK(decode(read_picture("rgb.ppm"), "RGBA").status().code() == StatusCode::InvalidModel);
    CHECK(run_op(Op::ImageDecoder, {given(floats({1}, {1}))}).status().code() == StatusCode::InvalidModel);
}

}  // namespace
}  // namespace quoin::test
