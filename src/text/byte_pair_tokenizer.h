// Byte-level BPE: tokenizer.ggml.model = "gpt2".
#pragma once

#include <memory>

#include "text/tokenizer.h"

namespace quoin {

// Merges bytes in the order of tokenizer.ggml.merges inside the words that tokenizer.ggml.pre cuts
// (Radford et al. 2019). Encoding loses nothing: decode() gives the same bytes back.
Result<std::shared_ptr<const Tokenizer>> make_byte_pair_tokenizer(const Metadata& metadata);

}  // namespace quoin
