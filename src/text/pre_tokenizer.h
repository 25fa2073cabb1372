// Cuts a text into the words inside which byte-pair merges happen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "text/regex.h"

namespace quoin {

// One of the schemes that tokenizer.ggml.pre names. Immutable, shared by threads.
class PreTokenizer {
public:
    // Unsupported names an unknown scheme.
    static Result<PreTokenizer> make(std::string_view name);

    // The words, in order; together they are `text`. Bytes that are no UTF-8 count as U+FFFD (a symbol) but stay what
    // they are. Views into `text`. Fails as Regex::append_piece_ends.
    Result<std::vector<std::string_view>> split(std::string_view text) const;

    // A word that is a token as a whole is not put together by merges.
    bool ignores_merges() const { return ignores_merges_; }
    // Whether BOS is added when the file does not say.
    bool adds_bos() const { return adds_bos_; }

private:
    PreTokenizer(std::vector<Regex> steps, bool ignores_merges, bool adds_bos)
        : steps_(std::move(steps)), ignores_merges_(ignores_merges), adds_bos_(adds_bos) {}
    // Ends of the words of valid UTF-8.
    Result<std::vector<size_t>> word_ends(std::string_view text) const;

    std::vector<Regex> steps_;
    bool ignores_merges_;
    bool adds_bos_;
};

}  // namespace quoin
