/* Tensors in, tensors out: runs a model as a function, without the text machinery. Here the function is a language
 * model, from token ids to the scores of the tokens that may follow; any other model is run the same way.
 *     tensors [model.gguf [id ...]] */
#include <quoin/quoin.h>
#include <stdio.h>
#include <stdlib.h>

#include "tiny_model.h"

enum { MOST_IDS = 64 };

static void print_value(const char* what, const quoin_value_info* info) {
    int32_t i;
    printf("%s %s: %s [", what, info->name, quoin_dtype_name(info->dtype));
    for (i = 0; i < info->rank; ++i) {
        if (i > 0) printf(", ");
        if (info->dims[i] >= 0) {
            printf("%lld", (long long)info->dims[i]);
        } else {
            printf("%s", info->dim_names[i][0] != '\0' ? info->dim_names[i] : "?");
        }
    }
    printf("]\n");
}

static quoin_status describe(const quoin_model* model) {
    size_t i;
    for (i = 0; i < quoin_model_input_count(model); ++i) {
        quoin_value_info info = {0};
        quoin_status status;
        info.struct_size = sizeof(info);
        status = quoin_model_input_info(model, i, &info);
        if (status) return status;
        print_value("input", &info);
    }
    for (i = 0; i < quoin_model_output_count(model); ++i) {
        quoin_value_info info = {0};
        quoin_status status;
        info.struct_size = sizeof(info);
        status = quoin_model_output_info(model, i, &info);
        if (status) return status;
        print_value("output", &info);
    }
    return QUOIN_OK;
}

static quoin_status run(const quoin_model* model, int32_t* ids, int64_t count) {
    quoin_session* session = NULL;
    quoin_tensor* input = NULL;
    const quoin_tensor* output = NULL;
    size_t input_index = 0;
    size_t output_index = 0;
    quoin_status status = quoin_session_create(model, NULL, &session);
    /* The tensor is a view of our array: nothing is copied, and later runs would see new values in it. */
    if (!status) {
        status = quoin_tensor_wrap(ids, (size_t)count * sizeof(*ids), QUOIN_DTYPE_I32, 1, &count, &input);
    }
    /* Names are looked up once; runs go by index. */
    if (!status) status = quoin_model_input_find(model, "tokens", QUOIN_STRLEN, &input_index);
    if (!status) status = quoin_model_output_find(model, "logits", QUOIN_STRLEN, &output_index);
    if (!status) status = quoin_session_set_input(session, input_index, input);
    if (!status) status = quoin_session_run(session);
    if (!status) status = quoin_session_output(session, output_index, &output);
    if (!status) {
        const int64_t vocabulary = quoin_tensor_dims(output)[1];
        const float* const logits = (const float*)quoin_tensor_data_const(output);
        int64_t row;
        for (row = 0; row < count; ++row) {
            const float* const scores = logits + row * vocabulary;
            int64_t best = 0;
            int64_t id;
            for (id = 1; id < vocabulary; ++id) {
                if (scores[id] > scores[best]) best = id;
            }
            printf("after token %ld most likely: token %ld, score %.3f\n", (long)ids[row], (long)best,
                   (double)scores[best]);
        }
    }
    quoin_tensor_destroy(input);
    quoin_session_destroy(session);
    return status;
}

int main(int argc, char** argv) {
    int32_t ids[MOST_IDS] = {1, 300, 301, 302};
    int64_t count = 4;
    quoin_model* model = NULL;
    quoin_status status =
        argc > 1 ? quoin_model_load_file(NULL, argv[1], QUOIN_STRLEN, NULL, &model)
                 : quoin_model_load_memory(NULL, quoin_tiny_model_data(), quoin_tiny_model_size(), NULL, &model);
    if (argc > 2) {
        for (count = 0; count < argc - 2 && count < MOST_IDS; ++count) ids[count] = (int32_t)atoi(argv[count + 2]);
    }
    if (!status) status = describe(model);
    if (!status) status = run(model, ids, count);
    if (status) fprintf(stderr, "tensors: %s\n", quoin_last_error());
    quoin_model_destroy(model);
    return status != QUOIN_OK;
}
