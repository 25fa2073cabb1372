// PNG by libpng. Its errors jump: every function here that calls setjmp has no object with a destructor beside it.
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <png.h>

#include "core/foreign_library.h"
#include "ops/image_codecs.h"

namespace quoin {
namespace {

// The functions of libpng, by their own names.
ForeignLibrary library(QUOIN_PNG_LIBRARY);
QUOIN_FOREIGN_FUNCTION(png_create_read_struct);
QUOIN_FOREIGN_FUNCTION(png_create_info_struct);
QUOIN_FOREIGN_FUNCTION(png_destroy_read_struct);
QUOIN_FOREIGN_FUNCTION(png_set_longjmp_fn);
QUOIN_FOREIGN_FUNCTION(png_error);
QUOIN_FOREIGN_FUNCTION(png_get_error_ptr);
QUOIN_FOREIGN_FUNCTION(png_get_io_ptr);
QUOIN_FOREIGN_FUNCTION(png_set_read_fn);
QUOIN_FOREIGN_FUNCTION(png_set_user_limits);
QUOIN_FOREIGN_FUNCTION(png_set_keep_unknown_chunks);
QUOIN_FOREIGN_FUNCTION(png_read_info);
QUOIN_FOREIGN_FUNCTION(png_get_color_type);
QUOIN_FOREIGN_FUNCTION(png_set_strip_16);
QUOIN_FOREIGN_FUNCTION(png_set_strip_alpha);
QUOIN_FOREIGN_FUNCTION(png_set_palette_to_rgb);
QUOIN_FOREIGN_FUNCTION(png_set_expand_gray_1_2_4_to_8);
QUOIN_FOREIGN_FUNCTION(png_set_interlace_handling);
QUOIN_FOREIGN_FUNCTION(png_read_update_info);
QUOIN_FOREIGN_FUNCTION(png_read_row);
QUOIN_FOREIGN_FUNCTION(png_get_image_width);
QUOIN_FOREIGN_FUNCTION(png_get_image_height);
QUOIN_FOREIGN_FUNCTION(png_get_rowbytes);
QUOIN_FOREIGN_FUNCTION(png_get_channels);

class PngReader {
public:
    explicit PngReader(std::span<const uint8_t> file) : left_(file) {
        png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, fail, [](png_structp, png_const_charp) {});
        if (png_ != nullptr) info_ = png_create_info_struct(png_);
    }
    PngReader(const PngReader&) = delete;
    PngReader& operator=(const PngReader&) = delete;
    ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

    bool made() const { return info_ != nullptr; }
    // Each says whether it succeeded; message() has the reason if not.
    bool read_header() {
        if (setjmp(png_jmpbuf(png_)) != 0) return false;
        png_set_read_fn(png_, this, copy);
        png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
        // What stands beside the pixels is text and profiles, which nobody reads here.
        png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
        png_read_info(png_, info_);
        png_set_strip_16(png_);
        png_set_strip_alpha(png_);
        const int type = png_get_color_type(png_, info_);
        if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
        if ((type & PNG_COLOR_MASK_COLOR) == 0) png_set_expand_gray_1_2_4_to_8(png_);
        return true;
    }
    bool start() {
        if (setjmp(png_jmpbuf(png_)) != 0) return false;
        passes_ = png_set_interlace_handling(png_);
        png_read_update_info(png_, info_);
        return true;
    }
    bool read_row(uint8_t* row) {
        if (setjmp(png_jmpbuf(png_)) != 0) return false;
        png_read_row(png_, row, nullptr);
        return true;
    }

    int64_t width() const { return png_get_image_width(png_, info_); }
    int64_t height() const { return png_get_image_height(png_, info_); }
    // After start().
    int passes() const { return passes_; }
    int64_t row_bytes() const { return static_cast<int64_t>(png_get_rowbytes(png_, info_)); }
    int channels() const { return png_get_channels(png_, info_); }
    const char* message() const { return message_; }

private:
    [[noreturn]] static void fail(png_structp png, png_const_charp message) {
        std::snprintf(static_cast<PngReader*>(png_get_error_ptr(png))->message_, sizeof(message_), "%s", message);
        std::longjmp(png_jmpbuf(png), 1);
    }
    static void copy(png_structp png, png_bytep to, size_t count) {
        auto& left = static_cast<PngReader*>(png_get_io_ptr(png))->left_;
        if (count > left.size()) png_error(png, "the file ends before its pixels do");
        std::memcpy(to, left.data(), count);
        left = left.subspan(count);
    }

    png_structp png_ = nullptr;
    png_infop info_ = nullptr;
    int passes_ = 1;
    std::span<const uint8_t> left_;
    char message_[200]{};
};

}  // namespace

Status read_png(std::span<const uint8_t> file, PictureWriter& writer) {
    QUOIN_RETURN_IF_ERROR(library.load());
    PngReader reader(file);
    if (!reader.made()) return error(StatusCode::OutOfMemory, "libpng could not begin");
    if (!reader.read_header()) return bad_picture(reader.message());
    QUOIN_RETURN_IF_ERROR(writer.begin(reader.width(), reader.height()));
    if (!reader.start()) return bad_picture(reader.message());
    // Each pass of an interlaced picture adds pixels to the rows of the one before.
    const int64_t kept_rows = reader.passes() > 1 ? reader.height() : 1;
    QUOIN_ASSIGN_OR_RETURN(const Buffer rows, writer.take(kept_rows * reader.row_bytes()));
    for (int pass = 0; pass < reader.passes(); ++pass) {
        for (int64_t y = 0; y < reader.height(); ++y) {
            auto* const row = reinterpret_cast<uint8_t*>(rows.data()) + (kept_rows == 1 ? 0 : y * reader.row_bytes());
            if (!reader.read_row(row)) return bad_picture(reader.message());
            if (pass + 1 < reader.passes()) continue;
            if (reader.channels() == 1) {
                writer.put_grey(y, row);
            } else {
                writer.put_rgb(y, row);
            }
        }
    }
    return {};
}

}  // namespace quoin
