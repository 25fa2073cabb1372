/* WordPiece, the tokenizer of BERT and of the sentence embeddings made from it: a word is cut into the longest pieces
 * of the vocabulary, those after the first with "##" in front (Devlin and others 2018, section 4.1, and the
 * uncased BasicTokenizer published with it). Letters beyond ASCII are looked up as they stand: neither lower-cased nor
 * freed of accents. */
#ifndef QUOIN_EXAMPLE_WORD_PIECES_H
#define QUOIN_EXAMPLE_WORD_PIECES_H

#include <stddef.h>
#include <stdint.h>

typedef struct word_pieces word_pieces;

/* A vocab.txt: a piece on each line, its id is the number of the line from 0. NULL after a sentence on stderr. */
word_pieces* word_pieces_load(const char* path);
void word_pieces_free(word_pieces* pieces);

/* The id of a piece, or -1. */
int64_t word_pieces_find(const word_pieces* pieces, const char* piece, size_t length);

/* Ids of a text, without special tokens; words that cannot be cut become [UNK] where the vocabulary has it, and are
 * left out elsewhere. Writes at most `capacity` ids and returns how many there are. */
size_t word_pieces_encode(const word_pieces* pieces, const char* text, int64_t* ids, size_t capacity);

#endif
