// What the string ops need of regular expressions; the only place in ops that knows PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/status.h"

struct pcre2_real_code_8;

namespace quoin {

// A compiled expression. Immutable, used by any number of threads at once.
class TextPattern {
public:
    // UTF-8. InvalidModel says where the expression is wrong.
    static Result<TextPattern> compile(std::string_view pattern);

    // Whether the expression takes all of the text. InvalidArgument for text that is no UTF-8, and for what would need
    // too many steps: a model must not stop its program.
    Result<bool> matches_all(std::string_view text) const;

private:
    struct Free {
        void operator()(pcre2_real_code_8* code) const;
    };
    explicit TextPattern(pcre2_real_code_8* code) : code_(code) {}

    std::unique_ptr<pcre2_real_code_8, Free> code_;
};

// The text in upper or lower case, letter by letter as Unicode has it. InvalidArgument when it is no UTF-8.
Result<std::string> with_case(std::string_view text, bool upper);

}  // namespace quoin
