// JPEG by libjpeg. Its errors jump: every function here that calls setjmp has no object with a destructor beside it.
#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>

#include "core/foreign_library.h"
#include "ops/image_codecs.h"

namespace quoin {
namespace {

// The functions of libjpeg, by their own names.
ForeignLibrary library(QUOIN_JPEG_LIBRARY);
QUOIN_FOREIGN_FUNCTION(jpeg_std_error);
QUOIN_FOREIGN_FUNCTION(jpeg_CreateDecompress);
QUOIN_FOREIGN_FUNCTION(jpeg_mem_src);
QUOIN_FOREIGN_FUNCTION(jpeg_read_header);
QUOIN_FOREIGN_FUNCTION(jpeg_has_multiple_scans);
QUOIN_FOREIGN_FUNCTION(jpeg_start_decompress);
QUOIN_FOREIGN_FUNCTION(jpeg_read_scanlines);
QUOIN_FOREIGN_FUNCTION(jpeg_destroy_decompress);

// A progressive picture may repeat its passes without end, each a few bytes long.
constexpr int kMostScans = 500;

class JpegReader {
public:
    JpegReader() {
        info_.err = jpeg_std_error(&manager_);
        info_.client_data = this;
        manager_.error_exit = fail;
        manager_.output_message = [](j_common_ptr) {};
        manager_.emit_message = [](j_common_ptr, int) {};
        progress_.progress_monitor = count_scans;
    }
    JpegReader(const JpegReader&) = delete;
    JpegReader& operator=(const JpegReader&) = delete;
    ~JpegReader() { jpeg_destroy_decompress(&info_); }

    // Each says whether it succeeded; message() has the reason if not.
    bool read_header(const uint8_t* bytes, size_t count) {
        if (setjmp(back_) != 0) return false;
        jpeg_create_decompress(&info_);
        info_.progress = &progress_;
        jpeg_mem_src(&info_, bytes, count);
        info_.src->fill_input_buffer = [](j_decompress_ptr info) -> boolean {
            std::snprintf(of(info).message_, sizeof(message_), "the file ends before its pixels do");
            std::longjmp(of(info).back_, 1);
        };
        return jpeg_read_header(&info_, TRUE) == JPEG_HEADER_OK;
    }
    bool start() {
        if (setjmp(back_) != 0) return false;
        if (info_.num_components == 4) {
            info_.out_color_space = JCS_CMYK;
        } else if (info_.num_components != 1) {
            info_.out_color_space = JCS_RGB;
        }
        return jpeg_start_decompress(&info_) != FALSE;
    }
    bool read_row(uint8_t* row) {
        if (setjmp(back_) != 0) return false;
        return jpeg_read_scanlines(&info_, &row, 1) == 1;
    }

    int64_t width() const { return info_.image_width; }
    int64_t height() const { return info_.image_height; }
    int components() const { return info_.num_components; }
    // Coefficients that the library keeps of a picture of several passes.
    int64_t kept_bytes() {
        return jpeg_has_multiple_scans(&info_) != FALSE ? width() * height() * components() * int64_t{sizeof(JCOEF)}
                                                        : 0;
    }
    const char* message() const { return message_; }

private:
    static JpegReader& of(j_decompress_ptr info) { return *static_cast<JpegReader*>(info->client_data); }
    [[noreturn]] static void fail(j_common_ptr info) {
        auto& self = *static_cast<JpegReader*>(info->client_data);
        info->err->format_message(info, self.message_);
        std::longjmp(self.back_, 1);
    }
    static void count_scans(j_common_ptr info) {
        const auto decompressor = reinterpret_cast<j_decompress_ptr>(info);
        if (decompressor->input_scan_number <= kMostScans) return;
        std::snprintf(of(decompressor).message_, sizeof(message_), "it has more than %d passes", kMostScans);
        std::longjmp(of(decompressor).back_, 1);
    }

    jpeg_decompress_struct info_{};
    jpeg_error_mgr manager_{};
    jpeg_progress_mgr progress_{};
    std::jmp_buf back_{};
    char message_[JMSG_LENGTH_MAX]{};
};

// Adobe's programs store the inverse of the inks, and so do all others since.
void cmyk_to_rgb(const uint8_t* inks, int64_t count, uint8_t* rgb) {
    for (int64_t pixel = 0; pixel < count; ++pixel, inks += 4, rgb += 3) {
        for (int channel = 0; channel < 3; ++channel) {
            const int product = (255 - inks[channel]) * inks[3] + 128;
            rgb[channel] = static_cast<uint8_t>(inks[3] - (((product >> 8) + product) >> 8));
        }
    }
}

}  // namespace

Status read_jpeg(std::span<const uint8_t> file, PictureWriter& writer) {
    QUOIN_RETURN_IF_ERROR(library.load());
    JpegReader reader;
    if (!reader.read_header(file.data(), file.size())) return bad_picture(reader.message());
    QUOIN_RETURN_IF_ERROR(writer.begin(reader.width(), reader.height()));
    QUOIN_ASSIGN_OR_RETURN(const Buffer kept, writer.take(reader.kept_bytes()));
    if (!reader.start()) return bad_picture(reader.message());
    std::vector<uint8_t> row(static_cast<size_t>(reader.width() * reader.components()));
    std::vector<uint8_t> rgb(reader.components() == 4 ? static_cast<size_t>(reader.width() * 3) : 0);
    for (int64_t y = 0; y < reader.height(); ++y) {
        if (!reader.read_row(row.data())) return bad_picture(reader.message());
        if (reader.components() == 1) {
            writer.put_grey(y, row.data());
        } else if (reader.components() == 3) {
            writer.put_rgb(y, row.data());
        } else {
            cmyk_to_rgb(row.data(), reader.width(), rgb.data());
            writer.put_rgb(y, rgb.data());
        }
    }
    return {};
}

}  // namespace quoin
