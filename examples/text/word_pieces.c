#include "word_pieces.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_WORD = 100 }; /* bytes; longer words are unknown, as in BERT's own tokenizer */

typedef struct {
    const char* text;
    size_t length;
    int64_t id;
} entry;

struct word_pieces {
    char* file;
    entry* entries; /* sorted by text */
    size_t count;
};

static int compare(const void* left, const void* right) {
    const entry* const a = (const entry*)left;
    const entry* const b = (const entry*)right;
    const int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    if (order != 0) return order;
    return a->length < b->length ? -1 : a->length > b->length;
}

static char* read_file(const char* path, size_t* out_size) {
    FILE* const file = fopen(path, "rb");
    char* bytes = NULL;
    long size = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0) bytes = (char*)malloc((size_t)size + 1);
    if (bytes != NULL && fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        free(bytes);
        bytes = NULL;
    }
    if (file != NULL) fclose(file);
    if (bytes != NULL) *out_size = (size_t)size;
    return bytes;
}

word_pieces* word_pieces_load(const char* path) {
    word_pieces* const pieces = (word_pieces*)calloc(1, sizeof(word_pieces));
    size_t size = 0;
    size_t lines = 1;
    size_t at;
    if (pieces != NULL) pieces->file = read_file(path, &size);
    if (pieces != NULL && pieces->file != NULL) {
        for (at = 0; at < size; ++at) lines += pieces->file[at] == '\n';
        pieces->entries = (entry*)malloc(lines * sizeof(entry));
    }
    if (pieces == NULL || pieces->entries == NULL) {
        fprintf(stderr, "cannot read the vocabulary %s\n", path);
        word_pieces_free(pieces);
        return NULL;
    }
    for (at = 0; at < size; ++pieces->count) {
        const char* const line = pieces->file + at;
        const char* const end = (const char*)memchr(line, '\n', size - at);
        const size_t length = end != NULL ? (size_t)(end - line) : size - at;
        entry* const made = &pieces->entries[pieces->count];
        made->text = line;
        made->length = length - (length > 0 && line[length - 1] == '\r');
        made->id = (int64_t)pieces->count;
        at += length + 1;
    }
    qsort(pieces->entries, pieces->count, sizeof(entry), compare);
    return pieces;
}

void word_pieces_free(word_pieces* pieces) {
    if (pieces == NULL) return;
    free(pieces->entries);
    free(pieces->file);
    free(pieces);
}

int64_t word_pieces_find(const word_pieces* pieces, const char* piece, size_t length) {
    entry wanted;
    const entry* found;
    wanted.text = piece;
    wanted.length = length;
    wanted.id = 0;
    found = (const entry*)bsearch(&wanted, pieces->entries, pieces->count, sizeof(entry), compare);
    return found == NULL ? -1 : found->id;
}

/* Up to LONGEST_WORD ids; 0: the word cannot be cut. */
static size_t cut(const word_pieces* pieces, const char* word, size_t length, int64_t* ids) {
    char piece[LONGEST_WORD + 2] = "##";
    size_t count = 0;
    size_t begin = 0;
    if (length > LONGEST_WORD) return 0;
    while (begin < length) {
        const size_t mark = begin == 0 ? 0 : 2;
        size_t taken = length - begin;
        int64_t id = -1;
        memcpy(piece + 2, word + begin, taken);
        while (taken > 0 && (id = word_pieces_find(pieces, piece + 2 - mark, taken + mark)) < 0) --taken;
        if (id < 0) return 0;
        ids[count++] = id;
        begin += taken;
    }
    return count;
}

size_t word_pieces_encode(const word_pieces* pieces, const char* text, int64_t* ids, size_t capacity) {
    const int64_t unknown = word_pieces_find(pieces, "[UNK]", 5);
    size_t count = 0;
    while (*text != '\0') {
        char word[LONGEST_WORD + 1];
        int64_t found[LONGEST_WORD];
        size_t length = 0;
        size_t cuts;
        size_t index;
        if (isspace((unsigned char)*text)) {
            ++text;
            continue;
        }
        do {
            if (length <= LONGEST_WORD) word[length++] = (char)tolower((unsigned char)*text);
            ++text;
        } while (*text != '\0' && !isspace((unsigned char)*text) && !ispunct((unsigned char)*text) &&
                 !ispunct((unsigned char)text[-1])); /* a punctuation mark is a word of its own */
        cuts = cut(pieces, word, length, found);
        if (cuts == 0 && unknown >= 0) found[cuts++] = unknown;
        for (index = 0; index < cuts; ++index, ++count) {
            if (count < capacity) ids[count] = found[index];
        }
    }
    return count;
}
