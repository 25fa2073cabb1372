/* A picture from a file, and as the tensor that a vision model wants. */
#ifndef QUOIN_EXAMPLE_IMAGE_H
#define QUOIN_EXAMPLE_IMAGE_H

typedef struct image {
    int width;
    int height;
    unsigned char* rgb; /* height x width x 3 */
} image;

/* PPM (P6) and BMP of 24 or 32 bits; PNG and JPEG where the program was built with libpng and libjpeg. Gives 0, or 1
 * after a sentence on standard error. */
int image_load(const char* path, image* out);
void image_free(image* picture);

/* Resizes bilinearly to width x height and writes planes, channel first: (value - mean) / deviation, values from 0 to
 * 255. `bgr` not 0: blue first. `out` has room for 3 x height x width. */
void image_to_planes(const image* picture, int width, int height, int bgr, const float mean[3],
                     const float deviation[3], float* out);

#endif
