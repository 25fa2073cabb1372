/* What is on a picture: the five best classes of an ImageNet model.
 *     classify_image model.onnx picture.jpg [labels.txt]       labels: line i names class i */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "picture_model.h"

enum { BEST = 5 };

/* Line `index` of the file, or "class INDEX". */
static void print_label(const char* labels, size_t index) {
    FILE* const file = labels == NULL ? NULL : fopen(labels, "r");
    char line[256];
    size_t at = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (at++ != index) continue;
        line[strcspn(line, "\r\n")] = '\0';
        printf("%s\n", line);
        fclose(file);
        return;
    }
    if (file != NULL) fclose(file);
    printf("class %lu\n", (unsigned long)index);
}

static int print_best(const float* scores, size_t count, const char* labels) {
    double sum = 0;
    size_t i;
    size_t k;
    size_t best[BEST];
    char* const taken = (char*)calloc(count, 1);
    if (taken == NULL) return 1;
    for (k = 0; k < BEST && k < count; ++k) {
        size_t found = count;
        for (i = 0; i < count; ++i) {
            if (!taken[i] && (found == count || scores[i] > scores[found])) found = i;
        }
        taken[found] = 1;
        best[k] = found;
    }
    free(taken);
    /* The scores are logits: softmax makes them probabilities. */
    for (i = 0; i < count; ++i) sum += exp((double)scores[i] - (double)scores[best[0]]);
    for (i = 0; i < k; ++i) {
        printf("%6.2f %%  ", 100 * exp((double)scores[best[i]] - (double)scores[best[0]]) / sum);
        print_label(labels, best[i]);
    }
    return 0;
}

int main(int argc, char** argv) {
    /* How the pictures of ImageNet are scaled for nearly every model. */
    const float mean[3] = {123.675F, 116.28F, 103.53F};
    const float deviation[3] = {58.395F, 57.12F, 57.375F};
    picture_model model;
    image picture;
    const quoin_tensor* output;
    int failed = 1;
    if (argc < 3) {
        fprintf(stderr, "usage: classify_image MODEL.onnx PICTURE [LABELS.txt]\n");
        return 2;
    }
    if (image_load(argv[2], &picture)) return 1;
    if (!picture_model_open(argv[1], &model)) {
        image_to_planes(&picture, model.width, model.height, 0, mean, deviation,
                        (float*)quoin_tensor_data(model.input));
        output = picture_model_run(&model);
        if (output != NULL && quoin_tensor_byte_size(output) >= sizeof(float)) {
            failed = print_best((const float*)quoin_tensor_data_const(output),
                                quoin_tensor_byte_size(output) / sizeof(float), argc > 3 ? argv[3] : NULL);
        }
        picture_model_close(&model);
    }
    image_free(&picture);
    return failed;
}
