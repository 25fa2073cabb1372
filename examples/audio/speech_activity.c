/* When somebody speaks: the Silero model over a WAV file, 16 kHz, 16 bits, one channel.
 *     speech_activity silero_vad.onnx speech.wav [threshold]
 * prints a line for each stretch of speech, in seconds. The model carries a state from chunk to chunk: two tensors take
 * turns as its input and output, so that nothing is copied. */
#include <quoin/quoin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000, CHUNK = 512, CONTEXT = 64 };

static unsigned long number(const unsigned char* bytes, int count) {
    unsigned long value = 0;
    while (count-- > 0) value = value << 8 | bytes[count];
    return value;
}

/* The samples from -1 to 1, to be freed; NULL after a sentence. */
static float* read_wav(const char* path, size_t* out_count) {
    FILE* const file = fopen(path, "rb");
    unsigned char head[12];
    unsigned char format[16] = {0};
    float* samples = NULL;
    if (file != NULL && fread(head, 1, 12, file) == 12 && memcmp(head, "RIFF", 4) == 0) {
        while (samples == NULL && fread(head, 1, 8, file) == 8) {
            const unsigned long size = number(head + 4, 4);
            if (memcmp(head, "fmt ", 4) == 0 && size >= sizeof(format)) {
                if (fread(format, 1, sizeof(format), file) != sizeof(format)) break;
                if (fseek(file, (long)(size - sizeof(format) + size % 2), SEEK_CUR) != 0) break;
            } else if (memcmp(head, "data", 4) == 0) {
                unsigned char pair[2];
                if (number(format, 2) != 1 || number(format + 2, 2) != 1 || number(format + 4, 4) != RATE ||
                    number(format + 14, 2) != 16) {
                    break;
                }
                samples = (float*)malloc((size / 2 + 1) * sizeof(float));
                for (*out_count = 0; samples != NULL && *out_count < size / 2 && fread(pair, 1, 2, file) == 2;) {
                    samples[(*out_count)++] = (float)(int16_t)number(pair, 2) / 32768.0F;
                }
            } else if (fseek(file, (long)(size + size % 2), SEEK_CUR) != 0) {
                break;
            }
        }
    }
    if (file != NULL) fclose(file);
    if (samples == NULL) fprintf(stderr, "%s is no WAV file of 16 kHz, 16 bits and one channel\n", path);
    return samples;
}

static quoin_status zeros(int32_t rank, const int64_t* dims, quoin_tensor** out) {
    return quoin_tensor_create(QUOIN_DTYPE_F32, rank, dims, out);
}

/* Prints the stretches and gives the status. */
static quoin_status listen(const quoin_model* model, const float* samples, size_t count, float threshold) {
    const int64_t chunk_dims[2] = {1, CONTEXT + CHUNK};
    const int64_t state_dims[3] = {2, 1, 128};
    int64_t rate = RATE;
    quoin_session* session = NULL;
    quoin_tensor* chunk = NULL;
    quoin_tensor* states[2] = {NULL, NULL};
    quoin_tensor* rate_tensor = NULL;
    size_t input = 0;
    size_t state_in = 0;
    size_t state_out = 0;
    size_t output = 0;
    size_t rate_in = 0;
    size_t step = 0;
    size_t speaking = 0;
    size_t began = 0;
    size_t at;
    quoin_value_info info;
    quoin_status status = quoin_model_input_find(model, "input", QUOIN_STRLEN, &input);
    memset(&info, 0, sizeof(info));
    info.struct_size = sizeof(info);
    if (!status) status = quoin_model_input_find(model, "state", QUOIN_STRLEN, &state_in);
    if (!status) status = quoin_model_output_find(model, "output", QUOIN_STRLEN, &output);
    if (!status) status = quoin_model_output_find(model, "stateN", QUOIN_STRLEN, &state_out);
    if (!status) status = quoin_model_output_info(model, output, &info);
    if (!status && info.dtype != QUOIN_DTYPE_F32) {
        fprintf(stderr, "the output '%s' is one of %s, not of f32\n", info.name, quoin_dtype_name(info.dtype));
        return QUOIN_ERROR_UNSUPPORTED;
    }
    if (!status) status = quoin_session_create(model, NULL, &session);
    if (!status) status = zeros(2, chunk_dims, &chunk);
    if (!status) status = zeros(3, state_dims, &states[0]);
    if (!status) status = zeros(3, state_dims, &states[1]);
    if (!status) status = quoin_session_set_input(session, input, chunk);
    /* Exports for one rate do not ask for it. */
    if (!status && !quoin_model_input_find(model, "sr", QUOIN_STRLEN, &rate_in)) {
        status = quoin_tensor_wrap(&rate, sizeof(rate), QUOIN_DTYPE_I64, 0, NULL, &rate_tensor);
        if (!status) status = quoin_session_set_input(session, rate_in, rate_tensor);
    }
    for (at = 0; !status && at < count; at += CHUNK, ++step) {
        float* const values = (float*)quoin_tensor_data(chunk);
        const size_t fresh = count - at < CHUNK ? count - at : CHUNK;
        const quoin_tensor* probability = NULL;
        memmove(values, values + CHUNK, CONTEXT * sizeof(float)); /* the end of the chunk before */
        memset(values + CONTEXT, 0, CHUNK * sizeof(float));
        memcpy(values + CONTEXT, samples + at, fresh * sizeof(float));
        status = quoin_session_set_input(session, state_in, states[step % 2]);
        if (!status) status = quoin_session_bind_output(session, state_out, states[1 - step % 2]);
        if (!status) status = quoin_session_run(session);
        if (!status) status = quoin_session_output(session, output, &probability);
        if (!status && quoin_tensor_byte_size(probability) >= sizeof(float) &&
            *(const float*)quoin_tensor_data_const(probability) > threshold) {
            if (!speaking) began = step;
            speaking = 1;
        } else if (!status && speaking) {
            printf("%.2f - %.2f\n", (double)began * CHUNK / RATE, (double)step * CHUNK / RATE);
            speaking = 0;
        }
    }
    if (!status && speaking) printf("%.2f - %.2f\n", (double)began * CHUNK / RATE, (double)count / RATE);
    if (status) fprintf(stderr, "%s\n", quoin_last_error());
    quoin_tensor_destroy(rate_tensor);
    quoin_tensor_destroy(chunk);
    quoin_tensor_destroy(states[0]);
    quoin_tensor_destroy(states[1]);
    quoin_session_destroy(session);
    return status;
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
    /* The model is too small to share its work. */
    quoin_runtime_options options;
    quoin_runtime* runtime = NULL;
    quoin_model* model = NULL;
    float* samples;
    size_t count = 0;
    float threshold = 0.5F;
    quoin_status status;
    if (argc < 3) {
        fprintf(stderr, "usage: speech_activity SILERO.onnx SPEECH.wav [THRESHOLD]\n");
        return 2;
    }
    if (argc > 3) threshold = read_threshold(argv[3]);
    if (threshold < 0) return 2;
    samples = read_wav(argv[2], &count);
    if (samples == NULL) return 1;
    memset(&options, 0, sizeof(options));
    options.struct_size = sizeof(options);
    options.threads = 1;
    status = quoin_runtime_create(&options, &runtime);
    if (!status) status = quoin_model_load_file(runtime, argv[1], QUOIN_STRLEN, NULL, &model);
    if (status) {
        fprintf(stderr, "%s\n", quoin_last_error());
    } else {
        status = listen(model, samples, count, threshold);
    }
    free(samples);
    quoin_model_destroy(model);
    quoin_runtime_destroy(runtime);
    return status != QUOIN_OK;
}
