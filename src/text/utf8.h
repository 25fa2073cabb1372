// The few facts about UTF-8 that tokenizers need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quoin {

enum class Utf8Kind : uint8_t {
    Character,   // one well-formed character
    Broken,      // bytes that no continuation could make well-formed
    Incomplete,  // the text ends inside a character that is well-formed so far
};

struct Utf8Unit {
    Utf8Kind kind;
    uint8_t length;  // bytes, at least 1
};

// The unit that `text` (not empty) begins with. Broken units are cut as the Unicode standard recommends (chapter 3,
// "maximal subparts"), so replacing each by one U+FFFD gives what Python's errors="replace" and web browsers give.
Utf8Unit next_utf8_unit(std::string_view text);

bool is_valid_utf8(std::string_view text);

// `code_point` must be at most 0x10FFFF.
void append_utf8(uint32_t code_point, std::string& text);

// Of a well-formed character.
uint32_t utf8_code_point(std::string_view character);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace quoin
