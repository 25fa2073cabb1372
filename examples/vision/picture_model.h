/* A model that takes one picture: f32 [1, 3, height, width]. */
#ifndef QUOIN_EXAMPLE_PICTURE_MODEL_H
#define QUOIN_EXAMPLE_PICTURE_MODEL_H

#include <quoin/quoin.h>

typedef struct picture_model {
    quoin_model* model;
    quoin_session* session;
    quoin_tensor* input;
    int width;
    int height;
} picture_model;

/* Loads it and makes the input. Gives 0, or 1 after a sentence on standard error. */
int picture_model_open(const char* path, picture_model* out);
/* Runs on the input's planes and gives output 0, borrowed until the next run; NULL after a sentence. */
const quoin_tensor* picture_model_run(picture_model* model);
void picture_model_close(picture_model* model);

#endif
