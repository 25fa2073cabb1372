// From a language model's tensors and keys to its graph.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/source.h"
#include "core/status.h"
#include "graph/graph.h"
#include "load/gguf.h"

namespace quoin {

// Tokens of one KV page as the cache inputs declare them; the same number as in kernels/layout.h, which says why and
// which this room may not include.
inline constexpr int64_t kCachePageTokens = 32;

// What a context must know to make KV pages and to check its input.
struct DecoderInfo {
    struct Layer {
        int64_t kv_heads = 0;
        int64_t head_size = 0;
    };
    std::string architecture;
    int64_t context_length = 0;   // the model was trained for; no limit of the graph
    int64_t vocabulary_size = 0;  // rows of the embedding table; every token id must be below
    int64_t embedding_length = 0;
    std::vector<Layer> layers;
};

struct Decoder {
    Graph graph;
    DecoderInfo info;
};

// Builds the graph of an architecture of the table; weights stay in the source.
//
// Inputs, in this order:
//   token_ids        i32 [1, tokens]
//   positions        i32 [1, tokens]                      place of each token in its sequence
//   token_sequences  i32 [tokens]                         row of the page table each token belongs to
//   page_table       i32 [sequences, pages_per_sequence]  pages of each sequence in order
//   output_rows      i32 [rows]                           tokens whose logits are wanted
//   key_cache.N      [pages, kv_heads, head_size, 32], value_cache.N [pages, kv_heads, 32, head_size] for each layer N,
//                    dtype Undefined: the context chooses it
// Output: logits [1, rows, vocabulary_size].
//
// InvalidModel: a key or tensor is missing, contradicts another or is impossible. Unsupported: an architecture or a
// part of one that this version does not compute; no tensor of the file is left out in silence.
Result<Decoder> build_decoder(const GgufFile& file, const SourcePtr& source);

}  // namespace quoin
