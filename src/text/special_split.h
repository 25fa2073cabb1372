// Cuts a text at the special tokens in it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace quoin {

// A special token, or a text between them (token is kNoToken, text not empty).
struct TextFragment {
    int32_t token;
    std::string_view text;
};

// Longer tokens are found before shorter ones anywhere in the text, equal ones from the left: llama.cpp's order, which
// differs from a scan from the left only where two tokens overlap.
// User-defined tokens are always found, control and unknown ones only with `parse_control`.
std::vector<TextFragment> split_at_special(const Vocabulary& vocabulary, std::string_view text, bool parse_control);

}  // namespace quoin
