/* consumer MODEL: lets a model continue a text. */
#include <quoin/quoin.h>
#include <stdio.h>

static int32_t print(const quoin_piece* piece, void* user_data) {
    (void)user_data;
    fwrite(piece->text, 1, piece->text_length, stdout);
    return 0;
}

int main(int argc, char** argv) {
    quoin_model* model = NULL;
    quoin_context* context = NULL;
    quoin_sequence* sequence = NULL;
    quoin_generate_options options = {.struct_size = sizeof(options), .max_tokens = 16};
    quoin_result result = {.struct_size = sizeof(result)};
    quoin_status status;
    if (argc != 2) return 2;
    if (quoin_version() != QUOIN_VERSION) {
        fprintf(stderr, "the library is %s, its header is another\n", quoin_version_string());
        return 1;
    }
    /* A failure comes back as a status and a sentence. */
    status = quoin_model_load_file(NULL, "/nonexistent", QUOIN_STRLEN, NULL, &model);
    if (status != QUOIN_ERROR_IO || model != NULL || quoin_last_error()[0] == '\0') {
        fprintf(stderr, "a missing file gave %s: '%s'\n", quoin_status_string(status), quoin_last_error());
        return 1;
    }
    status = quoin_model_load_file(NULL, argv[1], QUOIN_STRLEN, NULL, &model);
    if (!status) status = quoin_context_create(model, NULL, &context);
    if (!status) status = quoin_sequence_create(context, NULL, &sequence);
    if (!status) status = quoin_sequence_append_text(sequence, "Once upon a time", QUOIN_STRLEN, 0);
    if (!status) status = quoin_sequence_generate(sequence, NULL, &options, print, NULL, &result);
    if (status) fprintf(stderr, "%s: %s\n", quoin_status_string(status), quoin_last_error());
    if (!status && result.generated_tokens == 0) {
        fprintf(stderr, "no token was generated\n");
        status = QUOIN_ERROR_INTERNAL;
    }
    quoin_sequence_destroy(sequence);
    quoin_context_destroy(context);
    quoin_model_destroy(model);
    puts("");
    return status != QUOIN_OK;
}
