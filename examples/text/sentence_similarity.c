/* How alike sentences are: an ONNX model that turns a text into a vector, and the cosine of the angle between two.
 *     sentence_similarity MODEL.onnx vocab.txt SENTENCE SENTENCE...
 * prints the similarity, -1 to 1, of the first sentence with each of the others. Takes what the usual exporters make of
 * BERT and its kin (input_ids, attention_mask, token_type_ids; a vector for each token, which are averaged here, or one
 * for the sentence), and static embeddings (input_ids and offsets, without special tokens). */
#include <math.h>
#include <quoin/quoin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "word_pieces.h"

enum { MOST_TOKENS = 512 };

/* The ids that the model is to see; 0 where there are none. */
static size_t encode(const word_pieces* pieces, const char* sentence, int marked, int64_t* ids) {
    const int64_t first = marked ? word_pieces_find(pieces, "[CLS]", 5) : -1;
    const int64_t last = marked ? word_pieces_find(pieces, "[SEP]", 5) : -1;
    size_t count = 0;
    size_t room = MOST_TOKENS - (last >= 0);
    if (first >= 0) ids[count++] = first;
    room -= count;
    {
        const size_t found = word_pieces_encode(pieces, sentence, ids + count, room);
        if (found > room) fprintf(stderr, "only the first %d tokens of \"%.40s...\" count\n", MOST_TOKENS, sentence);
        count += found < room ? found : room;
    }
    if (last >= 0) ids[count++] = last;
    return count;
}

/* The model's integer inputs are i64 as a rule and i32 now and then. */
static quoin_status set_integers(quoin_session* session, const quoin_model* model, const char* name, int32_t rank,
                                 const int64_t* values, size_t count) {
    quoin_value_info info;
    quoin_tensor* tensor = NULL;
    int64_t dims[2] = {1, 0};
    size_t index = 0;
    quoin_status status;
    if (quoin_model_input_find(model, name, QUOIN_STRLEN, &index) != QUOIN_OK) return QUOIN_OK; /* it does not ask */
    memset(&info, 0, sizeof(info));
    info.struct_size = sizeof(info);
    dims[rank - 1] = (int64_t)count;
    status = quoin_model_input_info(model, index, &info);
    if (!status) status = quoin_tensor_create(info.dtype, rank, dims, &tensor);
    if (!status) {
        size_t at;
        for (at = 0; at < count; ++at) {
            if (info.dtype == QUOIN_DTYPE_I32) {
                ((int32_t*)quoin_tensor_data(tensor))[at] = (int32_t)values[at];
            } else if (info.dtype == QUOIN_DTYPE_I64) {
                ((int64_t*)quoin_tensor_data(tensor))[at] = values[at];
            }
        }
        status = quoin_session_set_input(session, index, tensor);
    }
    quoin_tensor_destroy(tensor); /* the session keeps it */
    return status;
}

/* The vector of a sentence with length 1, to be freed; NULL after a sentence on stderr. */
static float* embed(quoin_session* session, const quoin_model* model, const word_pieces* pieces, const char* sentence,
                    size_t* out_width) {
    static const int64_t zeros[MOST_TOKENS];
    int64_t ids[MOST_TOKENS];
    int64_t ones[MOST_TOKENS];
    size_t unused = 0;
    const int is_static = quoin_model_input_find(model, "offsets", QUOIN_STRLEN, &unused) == QUOIN_OK;
    const size_t count = encode(pieces, sentence, !is_static, ids);
    const quoin_tensor* result = NULL;
    const int64_t* dims = NULL;
    float* vector = NULL;
    size_t width;
    size_t at;
    double square = 0;
    quoin_status status;
    if (count == 0) {
        fprintf(stderr, "no word of \"%s\" is in the vocabulary\n", sentence);
        return NULL;
    }
    for (at = 0; at < count; ++at) ones[at] = 1;
    status = set_integers(session, model, "input_ids", is_static ? 1 : 2, ids, count);
    if (!status) status = set_integers(session, model, "offsets", 1, zeros, 1);
    if (!status) status = set_integers(session, model, "attention_mask", 2, ones, count);
    if (!status) status = set_integers(session, model, "token_type_ids", 2, zeros, count);
    if (!status) status = quoin_session_run(session);
    if (!status) status = quoin_session_output(session, 0, &result);
    if (status) {
        fprintf(stderr, "%s\n", quoin_last_error());
        return NULL;
    }
    dims = quoin_tensor_dims(result);
    if (quoin_tensor_dtype(result) != QUOIN_DTYPE_F32 || quoin_tensor_rank(result) < 2 ||
        quoin_tensor_rank(result) > 3) {
        fprintf(stderr, "the first output is neither f32 [1, width] nor f32 [1, tokens, width]\n");
        return NULL;
    }
    width = (size_t)dims[quoin_tensor_rank(result) - 1];
    vector = (float*)calloc(width + 1, sizeof(float));
    if (vector == NULL) return NULL;
    {
        const float* const values = (const float*)quoin_tensor_data_const(result);
        const size_t rows = quoin_tensor_rank(result) == 3 ? (size_t)dims[1] : 1;
        for (at = 0; at < rows * width; ++at) vector[at % width] += values[at];
    }
    for (at = 0; at < width; ++at) square += (double)vector[at] * vector[at];
    for (at = 0; at < width && square > 0; ++at) vector[at] /= (float)sqrt(square);
    *out_width = width;
    return vector;
}

int main(int argc, char** argv) {
    quoin_model* model = NULL;
    quoin_session* session = NULL;
    word_pieces* pieces = NULL;
    float* first = NULL;
    size_t width = 0;
    int index;
    quoin_status status;
    if (argc < 5) {
        fprintf(stderr, "usage: sentence_similarity MODEL.onnx vocab.txt SENTENCE SENTENCE...\n");
        return 2;
    }
    pieces = word_pieces_load(argv[2]);
    if (pieces == NULL) return 1;
    status = quoin_model_load_file(NULL, argv[1], QUOIN_STRLEN, NULL, &model);
    if (!status) status = quoin_session_create(model, NULL, &session);
    if (status) fprintf(stderr, "%s\n", quoin_last_error());
    if (!status) first = embed(session, model, pieces, argv[3], &width);
    for (index = 4; first != NULL && index < argc; ++index) {
        size_t other_width = 0;
        float* const other = embed(session, model, pieces, argv[index], &other_width);
        double cosine = 0;
        size_t at;
        if (other == NULL) break;
        for (at = 0; at < width && at < other_width; ++at) cosine += (double)first[at] * other[at];
        printf("%.4f  %s\n", cosine, argv[index]);
        free(other);
    }
    free(first);
    quoin_session_destroy(session);
    quoin_model_destroy(model);
    word_pieces_free(pieces);
    return first == NULL || index < argc;
}
