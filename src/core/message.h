// Messages put together of text and numbers, by one function: a stream at every place where something can fail was a
// tenth of the code beside the kernels.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace quoin {

// A text, never null, which must outlive the part, a character or a number.
class MessagePart {
public:
    MessagePart(std::string_view text) : text_(text) {}                           // NOLINT(google-explicit-constructor)
    MessagePart(const std::string& text) : text_(text) {}                         // NOLINT(google-explicit-constructor)
    MessagePart(const char* text) : text_(text) {}                                // NOLINT(google-explicit-constructor)
    MessagePart(char character) : kind_(Kind::Character), integer_(character) {}  // NOLINT(google-explicit-constructor)
    template <std::signed_integral T>
    MessagePart(T number) : kind_(Kind::Signed), integer_(number) {}  // NOLINT(google-explicit-constructor)
    template <std::unsigned_integral T>
    MessagePart(T number)  // NOLINT(google-explicit-constructor)
        : kind_(Kind::Unsigned), integer_(static_cast<int64_t>(number)) {}
    MessagePart(double number) : kind_(Kind::Floating), floating_(number) {}  // NOLINT(google-explicit-constructor)

    void append_to(std::string& message) const;

private:
    enum class Kind : uint8_t { Text, Character, Signed, Unsigned, Floating };
    Kind kind_ = Kind::Text;
    union {
        std::string_view text_;
        int64_t integer_;
        double floating_;  // written with six digits, as streams do
    };
};

std::string message_of(std::initializer_list<MessagePart> parts);

// Names as a sentence has them: "baseline, dotprod and i8mm".
std::string sentence_of(std::span<const std::string_view> names);

}  // namespace quoin
