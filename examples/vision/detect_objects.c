/* Where is what on a picture: boxes of a YOLOX model.
 *     detect_objects yolox.onnx picture.jpg [threshold]
 * prints a line for each object: class, score, and left, top, right, bottom in pixels of the picture. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "image.h"
#include "picture_model.h"

typedef struct box {
    float left, top, right, bottom;
    float score;
    int label;
} box;

static float overlap(const box* a, const box* b) {
    const float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
    const float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    const float common = width > 0 && height > 0 ? width * height : 0;
    const float area = (a->right - a->left) * (a->bottom - a->top) + (b->right - b->left) * (b->bottom - b->top);
    return common / (area - common + 1e-9F);
}

static int by_score(const void* a, const void* b) {
    const float difference = ((const box*)b)->score - ((const box*)a)->score;
    return difference > 0 ? 1 : difference < 0 ? -1 : 0;
}

/* The output has a row for each cell of three grids, of 8, 16 and 32 pixels: centre and size relative to the cell, the
 * sizes as logarithms, then how likely it is an object, then how likely it is each class. */
static size_t read_boxes(const float* rows, int64_t count, int64_t columns, int width, int height, float threshold,
                         box* boxes) {
    static const int strides[3] = {8, 16, 32};
    size_t found = 0;
    int64_t row = 0;
    int grid;
    int x;
    int y;
    for (grid = 0; grid < 3; ++grid) {
        const int stride = strides[grid];
        for (y = 0; y < height / stride; ++y) {
            for (x = 0; x < width / stride && row < count; ++x, ++row) {
                const float* const values = rows + row * columns;
                const float center_x = (values[0] + (float)x) * (float)stride;
                const float center_y = (values[1] + (float)y) * (float)stride;
                const float half_width = expf(values[2]) * (float)stride / 2;
                const float half_height = expf(values[3]) * (float)stride / 2;
                int64_t label = 5;
                int64_t column;
                for (column = 6; column < columns; ++column) {
                    if (values[column] > values[label]) label = column;
                }
                if (values[4] * values[label] < threshold) continue;
                boxes[found].left = center_x - half_width;
                boxes[found].right = center_x + half_width;
                boxes[found].top = center_y - half_height;
                boxes[found].bottom = center_y + half_height;
                boxes[found].score = values[4] * values[label];
                boxes[found].label = (int)(label - 5);
                ++found;
            }
        }
    }
    return found;
}

/* Of boxes of one class that overlap, the best one. */
static void print_boxes(box* boxes, size_t count, float scale_x, float scale_y) {
    size_t i;
    size_t j;
    qsort(boxes, count, sizeof(*boxes), by_score);
    for (i = 0; i < count; ++i) {
        int hidden = 0;
        for (j = 0; j < i && !hidden; ++j) {
            hidden = boxes[j].label == boxes[i].label && boxes[j].score > 0 && overlap(&boxes[j], &boxes[i]) > 0.45F;
        }
        if (hidden) {
            boxes[i].score = 0;
            continue;
        }
        printf("class %d  %.3f  %.0f %.0f %.0f %.0f\n", boxes[i].label, (double)boxes[i].score,
               (double)(boxes[i].left * scale_x), (double)(boxes[i].top * scale_y), (double)(boxes[i].right * scale_x),
               (double)(boxes[i].bottom * scale_y));
    }
}

/* A probability from an argument; -1 after a sentence on stderr. */
static float read_threshold(const char* text) {
    char* end = NULL;
    const double value = strtod(text, &end);
    if (end != text && *end == '\0' && value >= 0 && value <= 1) return (float)value;
    fprintf(stderr, "the threshold '%s' is no number from 0 to 1\n", text);
    return -1;
}

int main(int argc, char** argv) {
    const float mean[3] = {0, 0, 0};
    const float deviation[3] = {1, 1, 1};
    float threshold = 0.3F;
    picture_model model;
    image picture;
    const quoin_tensor* output;
    int failed = 1;
    if (argc < 3) {
        fprintf(stderr, "usage: detect_objects YOLOX.onnx PICTURE [THRESHOLD]\n");
        return 2;
    }
    if (argc > 3) threshold = read_threshold(argv[3]);
    if (threshold < 0) return 2;
    if (image_load(argv[2], &picture)) return 1;
    if (!picture_model_open(argv[1], &model)) {
        image_to_planes(&picture, model.width, model.height, 1, mean, deviation,
                        (float*)quoin_tensor_data(model.input));
        output = picture_model_run(&model);
        if (output != NULL && (quoin_tensor_rank(output) != 3 || quoin_tensor_dims(output)[2] < 6)) {
            fprintf(stderr, "%s: the output is not that of a YOLOX model\n", argv[1]);
        } else if (output != NULL) {
            const int64_t* const dims = quoin_tensor_dims(output);
            box* const boxes = (box*)calloc((size_t)dims[1] + 1, sizeof(box));
            if (boxes != NULL) {
                const size_t count = read_boxes((const float*)quoin_tensor_data_const(output), dims[1], dims[2],
                                                model.width, model.height, threshold, boxes);
                print_boxes(boxes, count, (float)picture.width / (float)model.width,
                            (float)picture.height / (float)model.height);
                failed = 0;
            }
            free(boxes);
        }
        picture_model_close(&model);
    }
    image_free(&picture);
    return failed;
}
