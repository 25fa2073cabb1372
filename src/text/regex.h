// Regular expressions over UTF-8, on PCRE2: the only file pair that knows it.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "core/status.h"

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace quoin {

// Working memory and limits of matching; one thread at a time.
class RegexScratch {
public:
    // `text_bytes` is the length of the longest text to be matched: the limits grow with it.
    explicit RegexScratch(size_t text_bytes);

private:
    friend class Regex;
    struct FreeData {
        void operator()(pcre2_real_match_data_8* data) const;
    };
    struct FreeContext {
        void operator()(pcre2_real_match_context_8* context) const;
    };
    std::unique_ptr<pcre2_real_match_data_8, FreeData> data_;
    std::unique_ptr<pcre2_real_match_context_8, FreeContext> context_;
};

// A compiled expression; immutable, shared by threads. Classes mean what Unicode says (\p{L}, \s, (?i:...)).
class Regex {
public:
    // The pattern is the program's own, so a failure is Internal.
    static Result<Regex> compile(std::string_view pattern);
    Regex(Regex&&) noexcept = default;
    Regex& operator=(Regex&&) noexcept = default;
    ~Regex() = default;

    // Appends the ends of all pieces that the matches cut `text` into: matches, and what lies between them, as offsets
    // into the text plus `base`. Empty matches do not count. The text must be valid UTF-8.
    // InvalidArgument when the scratch's limits are exceeded, OutOfMemory when it could not be made.
    Status append_piece_ends(std::string_view text, size_t base, RegexScratch& scratch,
                             std::vector<size_t>& ends) const;

private:
    struct Free {
        void operator()(pcre2_real_code_8* code) const;
    };
    explicit Regex(pcre2_real_code_8* code) : code_(code) {}

    std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace quoin
