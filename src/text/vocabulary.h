// The table of tokens that every tokenizer stands on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/metadata.h"
#include "core/status.h"

namespace quoin {

// The numbers of tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
    Undefined = 0,
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
};

inline constexpr int32_t kNoToken = -1;

// Finds texts of a list; holds numbers only, the texts stay where they are.
class TextIndex {
public:
    // Of equal texts the last one is found. Empty texts are never found. At most 2^30 texts.
    explicit TextIndex(std::span<const std::string_view> texts);
    // `texts` must be the list the index was made from. kNoToken when absent.
    int32_t find(std::span<const std::string_view> texts, std::string_view text) const;
    // Whether the list has equal texts.
    bool has_repeated() const { return has_repeated_; }

private:
    struct Slot {
        uint32_t hash;
        int32_t id;
    };
    size_t mask_;
    std::vector<Slot> slots_;
    bool has_repeated_ = false;
};

struct SpecialIds {
    int32_t bos = kNoToken;
    int32_t eos = kNoToken;
    int32_t eot = kNoToken;
    int32_t unknown = kNoToken;
    int32_t padding = kNoToken;
};

// Immutable, shared by threads. Texts are views into the bytes that the metadata keeps alive.
class Vocabulary {
public:
    // Reads the tokenizer.ggml.* keys that all algorithms share. `defaults` are the ids that hold where the file says
    // nothing (dropped when the vocabulary is too small for them).
    // InvalidModel names file and key: no tokens, lists of other lengths than .tokens, scores that are NaN, ids out of
    // range.
    static Result<std::unique_ptr<const Vocabulary>> load(const Metadata& metadata, const SpecialIds& defaults);

    int32_t size() const { return static_cast<int32_t>(texts_->size()); }
    bool contains(int32_t id) const { return id >= 0 && id < size(); }
    // As stored in the file. The id of this and the next functions must be contained.
    std::string_view text(int32_t id) const { return (*texts_)[static_cast<size_t>(id)]; }
    float score(int32_t id) const { return scores_.empty() ? 0.0F : scores_[static_cast<size_t>(id)]; }
    TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }
    // Whether the whitespace before (after) the token is swallowed when it is recognised in a text.
    bool strips_left(int32_t id) const { return id == strips_left_; }
    bool strips_right(int32_t id) const { return !strips_right_.empty() && strips_right_[static_cast<size_t>(id)]; }

    int32_t find(std::string_view text) const { return index_->find(*texts_, text); }
    bool has_repeated_texts() const { return index_->has_repeated(); }
    size_t longest_text() const { return longest_text_; }
    const SpecialIds& special_ids() const { return special_ids_; }
    // Tokens after which a model has finished its turn.
    bool is_end(int32_t id) const;
    // Control, user-defined and unknown tokens with a text, in the order of their texts' bytes: those that are looked
    // for in texts.
    const std::vector<int32_t>& searched_tokens() const { return searched_tokens_; }
    const Metadata& metadata() const { return metadata_; }

private:
    explicit Vocabulary(Metadata metadata) : metadata_(std::move(metadata)) {}
    Status load_scores();
    Status load_types();
    Status load_special_ids(const SpecialIds& defaults);
    Status read_id(std::string_view key, int32_t& id) const;
    void find_end_tokens();
    void find_stripping_tokens();
    void set_type(int32_t id, TokenType type) { types_[static_cast<size_t>(id)] = type; }

    Metadata metadata_;
    const std::vector<std::string_view>* texts_ = nullptr;  // inside metadata_
    std::optional<TextIndex> index_;
    std::vector<float> scores_;
    std::vector<TokenType> types_;
    std::vector<bool> strips_right_;
    int32_t strips_left_ = kNoToken;
    size_t longest_text_ = 0;
    SpecialIds special_ids_;
    std::vector<int32_t> end_tokens_;
    std::vector<int32_t> searched_tokens_;
};

}  // namespace quoin
