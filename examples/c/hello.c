/* The first program: load a model, give it the beginning of a text, print how it goes on.
 *     hello [model.gguf] */
#include <quoin/quoin.h>
#include <stdio.h>

#include "tiny_model.h"

static int32_t print(const quoin_piece* piece, void* user_data) {
    (void)user_data;
    fwrite(piece->text, 1, piece->text_length, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
    quoin_model* model = NULL;
    quoin_context* context = NULL;
    quoin_sequence* sequence = NULL;
    quoin_generate_options options = {.struct_size = sizeof(options), .max_tokens = 100};
    const char* const beginning = "Once upon a time";
    quoin_status status =
        argc > 1 ? quoin_model_load_file(NULL, argv[1], QUOIN_STRLEN, NULL, &model)
                 : quoin_model_load_memory(NULL, quoin_tiny_model_data(), quoin_tiny_model_size(), NULL, &model);
    if (!status) status = quoin_context_create(model, NULL, &context);
    if (!status) status = quoin_sequence_create(context, NULL, &sequence);
    if (!status) status = quoin_sequence_append_text(sequence, beginning, QUOIN_STRLEN, 0);
    if (!status) printf("%s", beginning);
    if (!status) status = quoin_sequence_generate(sequence, NULL, &options, print, NULL, NULL);
    if (status) fprintf(stderr, "hello: %s\n", quoin_last_error());
    quoin_sequence_destroy(sequence);
    quoin_context_destroy(context);
    quoin_model_destroy(model);
    printf("\n");
    return status != QUOIN_OK;
}
