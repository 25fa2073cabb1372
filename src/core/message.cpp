#include "core/message.h"

#include <charconv>

namespace quoin {

void MessagePart::append_to(std::string& message) const {
    char digits[32];
    std::to_chars_result written = {digits, {}};
    switch (kind_) {
        case Kind::Text: message += text_; return;
        case Kind::Character: message += static_cast<char>(integer_); return;
        case Kind::Signed: written = std::to_chars(digits, std::end(digits), integer_); break;
        case Kind::Unsigned: written = std::to_chars(digits, std::end(digits), static_cast<uint64_t>(integer_)); break;
        case Kind::Floating:
            written = std::to_chars(digits, std::end(digits), floating_, std::chars_format::general, 6);
            break;
    }
    message.append(digits, written.ptr);
}

std::string message_of(std::initializer_list<MessagePart> parts) {
    std::string message;
    for (const MessagePart& part : parts) part.append_to(message);
    return message;
}

std::string sentence_of(std::span<const std::string_view> names) {
    std::string sentence;
    for (const std::string_view& name : names) {
        if (!sentence.empty()) sentence += &name == &names.back() ? " and " : ", ";
        sentence += name;
    }
    return sentence;
}

}  // namespace quoin
