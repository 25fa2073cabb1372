#include "text/utf8.h"

#include <cstring>

namespace quoin {

Utf8Unit next_utf8_unit(std::string_view text) {
    const auto byte = [&](size_t index) { return static_cast<uint8_t>(text[index]); };
    const uint8_t lead = byte(0);
    if (lead < 0x80) return {Utf8Kind::Character, 1};
    if (lead < 0xC2 || lead > 0xF4) return {Utf8Kind::Broken, 1};
    const uint8_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    // The second byte's range excludes overlong forms, surrogates and values above U+10FFFF.
    uint8_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (uint8_t index = 1; index < length; ++index) {
        if (index == text.size()) return {Utf8Kind::Incomplete, index};
        if (byte(index) < lowest || byte(index) > highest) return {Utf8Kind::Broken, index};
        lowest = 0x80;
        highest = 0xBF;
    }
    return {Utf8Kind::Character, length};
}

bool is_valid_utf8(std::string_view text) {
    size_t position = 0;
    while (position < text.size()) {
        if (text.size() - position >= 8) {
            uint64_t word = 0;
            std::memcpy(&word, text.data() + position, sizeof(word));
            if ((word & 0x8080808080808080U) == 0) {
                position += sizeof(word);
                continue;
            }
        }
        const Utf8Unit unit = next_utf8_unit(text.substr(position));
        if (unit.kind != Utf8Kind::Character) return false;
        position += unit.length;
    }
    return true;
}

void append_utf8(uint32_t code_point, std::string& text) {
    const auto push = [&](uint32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code_point < 0x80) {
        push(code_point);
    } else if (code_point < 0x800) {
        push(0xC0U | (code_point >> 6));
        push(0x80U | (code_point & 0x3FU));
    } else if (code_point < 0x10000) {
        push(0xE0U | (code_point >> 12));
        push(0x80U | ((code_point >> 6) & 0x3FU));
        push(0x80U | (code_point & 0x3FU));
    } else {
        push(0xF0U | (code_point >> 18));
        push(0x80U | ((code_point >> 12) & 0x3FU));
        push(0x80U | ((code_point >> 6) & 0x3FU));
        push(0x80U | (code_point & 0x3FU));
    }
}

uint32_t utf8_code_point(std::string_view character) {
    const auto lead = static_cast<uint8_t>(character[0]);
    if (character.size() == 1) return lead;
    uint32_t value = lead & (0x7FU >> character.size());
    for (const char byte : character.substr(1)) value = (value << 6) | (static_cast<uint8_t>(byte) & 0x3FU);
    return value;
}

}  // namespace quoin
