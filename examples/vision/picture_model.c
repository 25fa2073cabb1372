#include "picture_model.h"

#include <stdio.h>
#include <string.h>

int picture_model_open(const char* path, picture_model* out) {
    quoin_value_info info;
    quoin_status status;
    memset(out, 0, sizeof(*out));
    memset(&info, 0, sizeof(info));
    info.struct_size = sizeof(info);
    status = quoin_model_load_file(NULL, path, QUOIN_STRLEN, NULL, &out->model);
    if (!status) status = quoin_model_input_info(out->model, 0, &info);
    if (!status) status = quoin_session_create(out->model, NULL, &out->session);
    if (status) {
        fprintf(stderr, "%s\n", quoin_last_error());
    } else if (info.dtype != QUOIN_DTYPE_F32 || info.rank != 4 || info.dims[1] != 3 || info.dims[2] < 1 ||
               info.dims[3] < 1) {
        fprintf(stderr, "%s: its input '%s' is no picture, f32 [1, 3, height, width]\n", path, info.name);
        status = QUOIN_ERROR_UNSUPPORTED;
    } else {
        const int64_t dims[4] = {1, 3, info.dims[2], info.dims[3]};
        out->height = (int)dims[2];
        out->width = (int)dims[3];
        status = quoin_tensor_create(QUOIN_DTYPE_F32, 4, dims, &out->input);
        if (!status) status = quoin_session_set_input(out->session, 0, out->input);
        if (status) fprintf(stderr, "%s\n", quoin_last_error());
    }
    if (status) picture_model_close(out);
    return status != QUOIN_OK;
}

const quoin_tensor* picture_model_run(picture_model* model) {
    const quoin_tensor* output = NULL;
    quoin_status status = quoin_session_run(model->session);
    if (!status) status = quoin_session_output(model->session, 0, &output);
    if (status) fprintf(stderr, "%s\n", quoin_last_error());
    if (!status && quoin_tensor_dtype(output) != QUOIN_DTYPE_F32) {
        fprintf(stderr, "the output is one of %s, not of f32\n", quoin_dtype_name(quoin_tensor_dtype(output)));
        return NULL;
    }
    return output;
}

void picture_model_close(picture_model* model) {
    quoin_tensor_destroy(model->input);
    quoin_session_destroy(model->session);
    quoin_model_destroy(model->model);
    memset(model, 0, sizeof(*model));
}
