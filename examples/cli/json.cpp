#include "json.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace {

// Bytes of the well-formed UTF-8 character that the text begins with (Unicode, table 3-7); 0 when there is none.
size_t utf8_length(std::string_view text) {
    const auto byte = [text](size_t index) { return static_cast<uint8_t>(text[index]); };
    const uint8_t first = byte(0);
    if (first < 0x80) return 1;
    const size_t length = first >= 0xC2 && first <= 0xDF ? 2 : first >= 0xE0 && first <= 0xEF ? 3 : 4;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
    const uint8_t lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const uint8_t highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (byte(1) < lowest || byte(1) > highest) return 0;
    for (size_t i = 2; i < length; ++i) {
        if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
    }
    return length;
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const size_t length = utf8_length(text);
        const auto first = static_cast<uint8_t>(text.front());
        if (length == 0) {
            out += "\\ufffd";
        } else if (first == '"' || first == '\\') {
            out += '\\';
            out += text.front();
        } else if (first < 0x20) {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(first));
            out += escape.data();
        } else {
            out += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return out + '"';
}

JsonObject& JsonObject::add_plain(std::string_view key, const std::string& value) {
    members_.push_back({std::string(key), value, value});
    return *this;
}

JsonObject& JsonObject::add(std::string_view key, std::string_view value) {
    members_.push_back({std::string(key), json_string(value), std::string(value)});
    return *this;
}

JsonObject& JsonObject::add(std::string_view key, double value) {
    if (!std::isfinite(value)) return add_plain(key, "null");
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), "%.9g", value);
    return add_plain(key, number.data());
}

JsonObject& JsonObject::add(std::string_view key, const JsonObject& value) {
    return add_plain(key, value.text());
}

std::string JsonObject::text(int indent) const {
    const std::string line_end = indent > 0 ? "\n" : "";
    const std::string space = indent > 0 ? std::string(static_cast<size_t>(indent), ' ') : "";
    std::string out = "{" + line_end;
    for (size_t i = 0; i < members_.size(); ++i) {
        out += space;
        out += json_string(members_[i].key) + ": " + members_[i].json;
        if (i + 1 < members_.size()) out += indent > 0 ? "," : ", ";
        out += line_end;
    }
    return out + "}";
}
