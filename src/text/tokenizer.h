// Text to token ids and back, as the model's own file defines it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/metadata.h"
#include "core/status.h"
#include "text/vocabulary.h"

namespace quoin {

struct EncodeOptions {
    bool add_special = true;     // put the model's BOS / EOS around the text, if its file asks for them
    bool parse_special = false;  // recognise control tokens in the text; leave off for text that users typed
    bool continues = false;      // the text goes on from an earlier one: no space is put before its first word
};

struct DecodeOptions {
    bool render_special = false;  // write control and unknown tokens as their texts instead of leaving them out
    // The ids continue an earlier text: a first space that only marks the beginning of a word is kept.
    bool keep_leading_space = false;
};

// Immutable after make_tokenizer(); every function may be called by any number of threads at once.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    // Any bytes are accepted; those that are no UTF-8 become the ids of raw bytes.
    // User-defined tokens are always recognised, control and unknown ones when parse_special asks.
    // InvalidArgument: more than kMaxTextBytes.
    Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options = {}) const;
    // The exact bytes, which may be broken UTF-8 when the ids are (StreamDecoder repairs that).
    // InvalidArgument: an id outside the vocabulary.
    Result<std::string> decode(std::span<const int32_t> ids, DecodeOptions options = {}) const;

    int32_t vocabulary_size() const { return vocabulary_->size(); }
    // The token as stored in the file ("▁the", "Ġthe"), valid as long as the tokenizer. InvalidArgument: no such id.
    Result<std::string_view> token_text(int32_t id) const;
    // True for tokens that stand for no text: control and unknown ones. False for ids outside the vocabulary.
    bool is_special(int32_t id) const;
    // True for tokens after which generation should stop: EOS, end of turn and their like.
    bool is_end(int32_t id) const { return vocabulary_->is_end(id); }
    // -1 when the model has none.
    int32_t bos_id() const { return vocabulary_->special_ids().bos; }
    int32_t eos_id() const { return vocabulary_->special_ids().eos; }
    int32_t eot_id() const { return vocabulary_->special_ids().eot; }
    int32_t unknown_id() const { return vocabulary_->special_ids().unknown; }
    int32_t padding_id() const { return vocabulary_->special_ids().padding; }
    // What EncodeOptions::add_special adds.
    bool adds_bos() const { return adds_bos_; }
    bool adds_eos() const { return adds_eos_; }

    static constexpr size_t kMaxTextBytes = size_t{1} << 29;

protected:
    Tokenizer(std::unique_ptr<const Vocabulary> vocabulary, bool adds_bos, bool adds_eos, bool marks_first_word);
    const Vocabulary& vocabulary() const { return *vocabulary_; }

private:
    friend class StreamDecoder;
    // Ids of a text without special tokens. `begins_text`: nothing or a special token stands before it.
    virtual Status encode_plain(std::string_view text, bool begins_text, std::vector<int32_t>& ids) const = 0;
    // Bytes of a normal token.
    virtual void append_normal(int32_t id, std::string& text) const = 0;
    // Appends what one more id adds to a decoded text; `at_start` is kept between the calls, true at first.
    Status append_token(int32_t id, DecodeOptions options, bool& at_start, std::string& text) const;

    std::unique_ptr<const Vocabulary> vocabulary_;
    bool adds_bos_;
    bool adds_eos_;
    bool marks_first_word_;  // encoding puts a space before a text, decoding takes it away
};

// Reads the tokenizer.ggml.* keys of a GGUF file (specification: GGUF, "Tokenizer"). The tokenizer shares the
// metadata's bytes. Null when the file says that the model has none ("no_vocab", "none").
// Unsupported names an unknown algorithm or pre-tokenizer; InvalidModel names file and key.
Result<std::shared_ptr<const Tokenizer>> make_tokenizer(const Metadata& metadata);

// Decodes ids one by one, for text that is shown while it is generated: gives out whole UTF-8 characters only.
// All pieces and finish() together equal decode() of all ids, with U+FFFD for each broken piece of UTF-8 in it.
// One thread at a time.
class StreamDecoder {
public:
    explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, DecodeOptions options = {})
        : tokenizer_(std::move(tokenizer)), options_(options) {}

    // The text that this id completes, often empty; valid until the next call. InvalidArgument: no such id, nothing
    // changed.
    Result<std::string_view> push(int32_t id);
    // What is held back, repaired; afterwards the decoder is as new.
    std::string_view finish();

private:
    std::shared_ptr<const Tokenizer> tokenizer_;
    DecodeOptions options_;
    bool at_start_ = true;
    std::string pending_;
    std::string output_;
};

}  // namespace quoin
