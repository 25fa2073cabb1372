// SentencePiece BPE with byte fallback: tokenizer.ggml.model = "llama".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "text/tokenizer.h"

namespace quoin {

// Pairs merge in the order of their result's score (Kudo & Richardson 2018); characters without a token become bytes.
Result<std::shared_ptr<const Tokenizer>> make_sentence_piece_tokenizer(const Metadata& metadata);

// 0x0A for "<0x0A>"; nullopt for other texts.
std::optional<uint8_t> byte_of_token(std::string_view text);

}  // namespace quoin
