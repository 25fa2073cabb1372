#include "text_utf32.h"

#include <cstdint>

namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kHighest = 0x10FFFF;

bool is_continuation(std::string_view text, size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
}

}  // namespace

std::u32string to_utf32(std::string_view text) {
    std::u32string characters;
    for (size_t at = 0; at < text.size();) {
        const auto first = static_cast<unsigned char>(text[at]);
        size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
        for (size_t i = 1; i < length; ++i) {
            if (!is_continuation(text, at + i)) length = 0;
        }
        if (length == 0) {
            characters += kReplacement;
            ++at;
            continue;
        }
        char32_t value = length == 1 ? first : first & (0x7FU >> length);
        for (size_t i = 1; i < length; ++i) value = (value << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
        characters += value > kHighest ? kReplacement : value;
        at += length;
    }
    return characters;
}

std::string from_utf32(std::string_view bytes) {
    std::string text;
    size_t kept = 0;
    for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
        char32_t value = 0;
        for (size_t i = 0; i < 4; ++i)
            value |= static_cast<char32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
        if (value > kHighest) value = kReplacement;
        if (value < 0x80) {
            text += static_cast<char>(value);
        } else if (value < 0x800) {
            text += {static_cast<char>(0xC0U | (value >> 6)), static_cast<char>(0x80U | (value & 0x3FU))};
        } else if (value < 0x10000) {
            text += {static_cast<char>(0xE0U | (value >> 12)), static_cast<char>(0x80U | ((value >> 6) & 0x3FU)),
                     static_cast<char>(0x80U | (value & 0x3FU))};
        } else {
            text += {static_cast<char>(0xF0U | (value >> 18)), static_cast<char>(0x80U | ((value >> 12) & 0x3FU)),
                     static_cast<char>(0x80U | ((value >> 6) & 0x3FU)), static_cast<char>(0x80U | (value & 0x3FU))};
        }
        if (value != 0) kept = text.size();
    }
    text.resize(kept);
    return text;
}
