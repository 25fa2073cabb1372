#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef QUOIN_EXAMPLE_PNG
#include <png.h>
#endif
#ifdef QUOIN_EXAMPLE_JPEG
#include <setjmp.h>
/* stdio.h must come before it. */
#include <jpeglib.h>
#endif

enum { MOST_SIDE = 1 << 14 };

static int complain(const char* path, const char* what) {
    fprintf(stderr, "%s: %s\n", path, what);
    return 1;
}

/* Room for the pixels, or NULL when the sizes make no sense. */
static unsigned char* make(image* out, long width, long height) {
    if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE) return NULL;
    out->width = (int)width;
    out->height = (int)height;
    out->rgb = (unsigned char*)malloc((size_t)width * (size_t)height * 3);
    return out->rgb;
}

static int load_ppm(const char* path, FILE* file, image* out) {
    long numbers[3] = {0, 0, 0};
    int found = 0;
    while (found < 3) {
        const int c = fgetc(file);
        if (c == '#') {
            int skipped = c;
            while (skipped != '\n' && skipped != EOF) skipped = fgetc(file);
        } else if (c >= '0' && c <= '9') {
            ungetc(c, file);
            if (fscanf(file, "%5ld", &numbers[found++]) != 1) break;
        } else if (c == EOF) {
            break;
        }
    }
    if (found < 3 || numbers[2] != 255 || !make(out, numbers[0], numbers[1]))
        return complain(path, "no plain PPM file");
    fgetc(file); /* the one space before the pixels */
    if (fread(out->rgb, (size_t)out->width * 3, (size_t)out->height, file) != (size_t)out->height) {
        return complain(path, "the file ends too early");
    }
    return 0;
}

static long number_at(const unsigned char* bytes, int count) {
    unsigned long value = 0;
    int i;
    for (i = count; i-- > 0;) value = value << 8 | bytes[i];
    return (long)(int)value;
}

static int load_bmp(const char* path, FILE* file, image* out) {
    unsigned char header[52]; /* after "BM" */
    long offset;
    long rows;
    long y;
    int bytes;
    size_t stride;
    unsigned char* row;
    if (fread(header, 1, sizeof(header), file) != sizeof(header)) return complain(path, "the file ends too early");
    offset = number_at(header + 8, 4);
    rows = number_at(header + 20, 4);
    bytes = (int)number_at(header + 26, 2) / 8;
    if ((bytes != 3 && bytes != 4) || (header[28] != 0 && header[28] != 3)) {
        return complain(path, "only BMP files of 24 or 32 bits without compression can be read");
    }
    if (!make(out, number_at(header + 16, 4), rows < 0 ? -rows : rows)) return complain(path, "no plain BMP file");
    stride = ((size_t)out->width * (size_t)bytes + 3) / 4 * 4;
    row = (unsigned char*)malloc(stride);
    if (row == NULL || fseek(file, offset, SEEK_SET) != 0) {
        free(row);
        return complain(path, "cannot be read");
    }
    for (y = 0; y < out->height; ++y) {
        unsigned char* const to = out->rgb + (size_t)(rows < 0 ? y : out->height - 1 - y) * (size_t)out->width * 3;
        int x;
        if (fread(row, 1, stride, file) != stride) {
            free(row);
            return complain(path, "the file ends too early");
        }
        for (x = 0; x < out->width; ++x) {
            to[3 * x] = row[x * bytes + 2];
            to[3 * x + 1] = row[x * bytes + 1];
            to[3 * x + 2] = row[x * bytes];
        }
    }
    free(row);
    return 0;
}

#ifdef QUOIN_EXAMPLE_PNG
static int load_png(const char* path, image* out) {
    png_image png;
    memset(&png, 0, sizeof(png));
    png.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_file(&png, path)) return complain(path, png.message);
    png.format = PNG_FORMAT_RGB;
    if (!make(out, (long)png.width, (long)png.height) || !png_image_finish_read(&png, NULL, out->rgb, 0, NULL)) {
        png_image_free(&png);
        return complain(path, "the picture cannot be decoded");
    }
    return 0;
}
#endif

#ifdef QUOIN_EXAMPLE_JPEG
/* libjpeg ends the process on an error unless its handler jumps away. */
typedef struct jpeg_failure {
    struct jpeg_error_mgr manager;
    jmp_buf back;
} jpeg_failure;

static void jump_back(j_common_ptr info) {
    longjmp(((jpeg_failure*)info->err)->back, 1);
}

static int load_jpeg(const char* path, FILE* file, image* out) {
    struct jpeg_decompress_struct info;
    jpeg_failure failure;
    info.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = jump_back;
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&info);
        return complain(path, "the picture cannot be decoded");
    }
    jpeg_create_decompress(&info);
    jpeg_stdio_src(&info, file);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    if (!make(out, (long)info.output_width, (long)info.output_height)) {
        jpeg_destroy_decompress(&info);
        return complain(path, "the picture is too large");
    }
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = out->rgb + (size_t)info.output_scanline * (size_t)out->width * 3;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return 0;
}
#endif

int image_load(const char* path, image* out) {
    FILE* const file = fopen(path, "rb");
    unsigned char magic[2] = {0, 0};
    int result;
    memset(out, 0, sizeof(*out));
    if (file == NULL) return complain(path, "cannot be opened");
    if (fread(magic, 1, 2, file) != 2) magic[0] = 0;
    if (magic[0] == 'P' && magic[1] == '6') {
        result = load_ppm(path, file, out);
    } else if (magic[0] == 'B' && magic[1] == 'M') {
        result = load_bmp(path, file, out);
#ifdef QUOIN_EXAMPLE_PNG
    } else if (magic[0] == 0x89 && magic[1] == 'P') {
        result = load_png(path, out);
#endif
#ifdef QUOIN_EXAMPLE_JPEG
    } else if (magic[0] == 0xFF && magic[1] == 0xD8) {
        rewind(file);
        result = load_jpeg(path, file, out);
#endif
    } else {
        result = complain(path, "is no picture that this program was built to read");
    }
    fclose(file);
    if (result) image_free(out);
    return result;
}

void image_free(image* picture) {
    free(picture->rgb);
    memset(picture, 0, sizeof(*picture));
}

static float clamp(float value, float highest) {
    return value < 0 ? 0 : value > highest ? highest : value;
}

void image_to_planes(const image* picture, int width, int height, int bgr, const float mean[3],
                     const float deviation[3], float* out) {
    const size_t stride = (size_t)picture->width * 3;
    int x;
    int y;
    int channel;
    for (y = 0; y < height; ++y) {
        /* Centres of pixels fall on centres. */
        const float v =
            clamp(((float)y + 0.5F) * (float)picture->height / (float)height - 0.5F, (float)(picture->height - 1));
        const int top = (int)v;
        const int bottom = top + 1 < picture->height ? top + 1 : top;
        const float down = v - (float)top;
        for (x = 0; x < width; ++x) {
            const float u =
                clamp(((float)x + 0.5F) * (float)picture->width / (float)width - 0.5F, (float)(picture->width - 1));
            const int left = (int)u;
            const int right = left + 1 < picture->width ? left + 1 : left;
            const float across = u - (float)left;
            for (channel = 0; channel < 3; ++channel) {
                const int source = bgr ? 2 - channel : channel;
                const unsigned char* const upper = picture->rgb + (size_t)top * stride + source;
                const unsigned char* const lower = picture->rgb + (size_t)bottom * stride + source;
                const float a = (float)upper[left * 3] * (1 - across) + (float)upper[right * 3] * across;
                const float b = (float)lower[left * 3] * (1 - across) + (float)lower[right * 3] * across;
                out[((size_t)channel * (size_t)height + (size_t)y) * (size_t)width + (size_t)x] =
                    (a * (1 - down) + b * down - mean[channel]) / deviation[channel];
            }
        }
    }
}
