#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>

namespace quoin {

namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";
constexpr std::string_view kTypesKey = "tokenizer.ggml.token_type";

// Files rarely list every token that ends a turn, so well-known texts count as well. Kept equal to llama.cpp's list:
// users compare where generation stops.
constexpr auto kTurnEndTexts = std::to_array<std::string_view>(
    {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>",
     "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>"});
constexpr auto kOtherEndTexts =
    std::to_array<std::string_view>({"<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "</s>", "<|eom_id|>", "[EOS]",
                                     "<eos>", "<turn|>", "<|tool_response>", "[e~["});
// One of each row ends generation: what follows would be another file.
constexpr auto kFilePadTexts =
    std::to_array<std::string_view>({"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"});
constexpr auto kRepositoryTexts =
    std::to_array<std::string_view>({"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"});
constexpr auto kFileSeparatorTexts = std::to_array<std::string_view>({"<|file_sep|>"});
// Fill-in-the-middle marks: never part of a visible answer.
constexpr auto kPrefixTexts =
    std::to_array<std::string_view>({"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>",
                                     "▁<PRE>", "<|code_prefix|>", "<|prefix|>"});
constexpr auto kSuffixTexts =
    std::to_array<std::string_view>({"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>",
                                     "▁<SUF>", "<|code_suffix|>", "<|suffix|>"});
constexpr auto kMiddleTexts =
    std::to_array<std::string_view>({"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>",
                                     "▁<MID>", "<|code_middle|>", "<|middle|>"});
// gpt-oss structures its visible output with these.
constexpr auto kHarmonyTexts =
    std::to_array<std::string_view>({"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"});

uint32_t hash_text(std::string_view text) {
    const size_t hash = std::hash<std::string_view>{}(text);
    return static_cast<uint32_t>(hash ^ (static_cast<uint64_t>(hash) >> 32));
}

std::string lower_ascii(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return lower;
}

}  // namespace

TextIndex::TextIndex(std::span<const std::string_view> texts)
    : mask_(std::bit_ceil(std::max<size_t>(texts.size() * 2, 2)) - 1), slots_(mask_ + 1, Slot{0, kNoToken}) {
    for (size_t id = 0; id < texts.size(); ++id) {
        if (texts[id].empty()) continue;
        const uint32_t hash = hash_text(texts[id]);
        size_t slot = hash & mask_;
        while (slots_[slot].id != kNoToken &&
               (slots_[slot].hash != hash || texts[static_cast<size_t>(slots_[slot].id)] != texts[id])) {
            slot = (slot + 1) & mask_;
        }
        has_repeated_ = has_repeated_ || slots_[slot].id != kNoToken;
        slots_[slot] = {hash, static_cast<int32_t>(id)};
    }
}

int32_t TextIndex::find(std::span<const std::string_view> texts, std::string_view text) const {
    const uint32_t hash = hash_text(text);
    for (size_t slot = hash & mask_;; slot = (slot + 1) & mask_) {
        const Slot& entry = slots_[slot];
        if (entry.id == kNoToken) return kNoToken;
        if (entry.hash == hash && texts[static_cast<size_t>(entry.id)] == text) return entry.id;
    }
}

Result<std::unique_ptr<const Vocabulary>> Vocabulary::load(const Metadata& metadata, const SpecialIds& defaults) {
    std::unique_ptr<Vocabulary> vocabulary(new Vocabulary(metadata));
    const std::string& source = metadata.source_name();
    QUOIN_ASSIGN_OR_RETURN(vocabulary->texts_, vocabulary->metadata_.strings(kTokensKey));
    if (vocabulary->texts_ == nullptr || vocabulary->texts_->empty()) {
        return error(StatusCode::InvalidModel, source, ": key '", kTokensKey, "' is missing or empty");
    }
    // The index doubles the count and rounds up; no vocabulary comes near.
    if (vocabulary->texts_->size() > size_t{1} << 30) {
        return error(StatusCode::InvalidModel, source, ": key '", kTokensKey, "' lists ", vocabulary->texts_->size(),
                     " tokens, more than ids can number");
    }
    for (const std::string_view text : *vocabulary->texts_) {
        vocabulary->longest_text_ = std::max(vocabulary->longest_text_, text.size());
    }
    vocabulary->index_.emplace(*vocabulary->texts_);
    QUOIN_RETURN_IF_ERROR(vocabulary->load_scores());
    QUOIN_RETURN_IF_ERROR(vocabulary->load_types());
    QUOIN_RETURN_IF_ERROR(vocabulary->load_special_ids(defaults));
    vocabulary->find_end_tokens();

    for (int32_t id = 0; id < vocabulary->size(); ++id) {
        const TokenType type = vocabulary->type(id);
        const bool searched =
            type == TokenType::Control || type == TokenType::UserDefined || type == TokenType::Unknown;
        if (searched && !vocabulary->text(id).empty()) vocabulary->searched_tokens_.push_back(id);
    }
    std::ranges::stable_sort(vocabulary->searched_tokens_, {}, [&](int32_t id) { return vocabulary->text(id); });
    vocabulary->find_stripping_tokens();
    return std::unique_ptr<const Vocabulary>(std::move(vocabulary));
}

Status Vocabulary::load_scores() {
    const MetadataValue* const value = metadata_.find(kScoresKey);
    if (value == nullptr) return {};
    if (const auto* const integers = std::get_if<std::vector<int64_t>>(value)) {
        std::ranges::transform(*integers, std::back_inserter(scores_),
                               [](int64_t score) { return static_cast<float>(score); });
    } else {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<double>* const scores, metadata_.numbers(kScoresKey));
        std::ranges::transform(*scores, std::back_inserter(scores_),
                               [](double score) { return static_cast<float>(score); });
    }
    if (scores_.size() != texts_->size()) {
        return error(StatusCode::InvalidModel, metadata_.source_name(), ": key '", kScoresKey, "' has ", scores_.size(),
                     " entries for ", texts_->size(), " tokens");
    }
    const auto bad = std::ranges::find_if(scores_, [](float score) { return std::isnan(score); });
    if (bad != scores_.end()) {
        return error(StatusCode::InvalidModel, metadata_.source_name(), ": key '", kScoresKey, "': entry ",
                     bad - scores_.begin(), " is not a number");
    }
    return {};
}

Status Vocabulary::load_types() {
    QUOIN_ASSIGN_OR_RETURN(const std::vector<int64_t>* const types, metadata_.integers(kTypesKey));
    if (types == nullptr) {
        types_.assign(texts_->size(), TokenType::Normal);
        return {};
    }
    if (types->size() != texts_->size()) {
        return error(StatusCode::InvalidModel, metadata_.source_name(), ": key '", kTypesKey, "' has ", types->size(),
                     " entries for ", texts_->size(), " tokens");
    }
    types_.reserve(types->size());
    for (const int64_t type : *types) {
        types_.push_back(type >= 0 && type <= 6 ? static_cast<TokenType>(type) : TokenType::Undefined);
    }
    return {};
}

Status Vocabulary::read_id(std::string_view key, int32_t& id) const {
    QUOIN_ASSIGN_OR_RETURN(const int64_t value, metadata_.integer(key, id));
    if (metadata_.find(key) != nullptr && (value < 0 || value >= size())) {
        return error(StatusCode::InvalidModel, metadata_.source_name(), ": key '", key, "' is ", value,
                     ", but the vocabulary has ", size(), " tokens");
    }
    id = contains(static_cast<int32_t>(value)) ? static_cast<int32_t>(value) : kNoToken;
    return {};
}

Status Vocabulary::load_special_ids(const SpecialIds& defaults) {
    special_ids_ = defaults;
    QUOIN_RETURN_IF_ERROR(read_id("tokenizer.ggml.bos_token_id", special_ids_.bos));
    QUOIN_RETURN_IF_ERROR(read_id("tokenizer.ggml.eos_token_id", special_ids_.eos));
    QUOIN_RETURN_IF_ERROR(read_id("tokenizer.ggml.eot_token_id", special_ids_.eot));
    QUOIN_RETURN_IF_ERROR(read_id("tokenizer.ggml.unknown_token_id", special_ids_.unknown));
    QUOIN_RETURN_IF_ERROR(read_id("tokenizer.ggml.padding_token_id", special_ids_.padding));
    int32_t end_of_message = kNoToken;
    QUOIN_RETURN_IF_ERROR(read_id("tokenizer.ggml.eom_token_id", end_of_message));
    for (const int32_t id : {special_ids_.eos, special_ids_.eot, end_of_message}) {
        if (id != kNoToken) end_tokens_.push_back(id);
    }
    return {};
}

// Types are corrected on the way: some converters mark control tokens as normal text, which would print them.
void Vocabulary::find_end_tokens() {
    const auto take_all = [&](std::span<const std::string_view> texts) {
        for (const std::string_view text : texts) {
            const int32_t id = find(text);
            if (id == kNoToken) continue;
            set_type(id, TokenType::Control);
            end_tokens_.push_back(id);
        }
    };
    const auto first_of = [&](std::span<const std::string_view> texts) {
        for (const std::string_view text : texts) {
            if (const int32_t id = find(text); id != kNoToken) return id;
        }
        return kNoToken;
    };
    if (special_ids_.eot == kNoToken) special_ids_.eot = first_of(kTurnEndTexts);
    take_all(kTurnEndTexts);
    take_all(kOtherEndTexts);
    const auto take_one = [&](std::string_view key, std::span<const std::string_view> texts, bool ends) {
        Result<int64_t> stated = metadata_.integer(key, kNoToken);
        const bool usable = stated.ok() && *stated >= 0 && *stated < size();
        const int32_t id = usable ? static_cast<int32_t>(*stated) : first_of(texts);
        if (id == kNoToken) return;
        if (!usable) set_type(id, TokenType::Control);
        if (ends) end_tokens_.push_back(id);
    };
    take_one("tokenizer.ggml.fim_pad_token_id", kFilePadTexts, true);
    take_one("tokenizer.ggml.fim_rep_token_id", kRepositoryTexts, true);
    take_one("tokenizer.ggml.fim_sep_token_id", kFileSeparatorTexts, true);
    take_one("tokenizer.ggml.fim_pre_token_id", kPrefixTexts, false);
    take_one("tokenizer.ggml.fim_suf_token_id", kSuffixTexts, false);
    take_one("tokenizer.ggml.fim_mid_token_id", kMiddleTexts, false);
    for (const std::string_view text : kHarmonyTexts) {
        if (const int32_t id = find(text); id != kNoToken) set_type(id, TokenType::UserDefined);
    }

    std::ranges::sort(end_tokens_);
    end_tokens_.erase(std::unique(end_tokens_.begin(), end_tokens_.end()), end_tokens_.end());

    // In vocabularies with these tokens "<|end|>" only ends a message inside the turn, and "</s>" is plain text.
    const auto ends_at = [&](std::string_view text) { return is_end(find(text)); };
    const bool calls = ends_at("<|call|>") || ends_at("<|calls|>");
    if (calls && (ends_at("<|return|>") || ends_at("<|flush|>")) && ends_at("<|end|>")) {
        set_type(find("<|end|>"), TokenType::UserDefined);
        std::erase(end_tokens_, find("<|end|>"));
    }
    if ((ends_at("<|tool_response>") || ends_at("<|plamo:eos|>")) && ends_at("</s>")) {
        set_type(find("</s>"), TokenType::Normal);
        std::erase(end_tokens_, find("</s>"));
    }
}

bool Vocabulary::is_end(int32_t id) const {
    return std::ranges::find(end_tokens_, id) != end_tokens_.end();
}

// GGUF does not carry these attributes of tokenizer.json, so they are known by the model's name.
void Vocabulary::find_stripping_tokens() {
    const std::string name = lower_ascii(
        metadata_.string("general.name", "").ok() ? *metadata_.string("general.name", "") : std::string_view());
    const std::string_view pre = metadata_.string("tokenizer.ggml.pre", "").ok()
                                     ? *metadata_.string("tokenizer.ggml.pre", "")
                                     : std::string_view();
    if (pre.starts_with("jina-v2-")) {
        strips_left_ = find("<mask>");
    } else if (name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos) {
        strips_right_.assign(texts_->size(), false);
        for (const int32_t id : searched_tokens_) strips_right_[static_cast<size_t>(id)] = true;
        for (const std::string_view text : {"<unk>", "<s>", "<|endoftext|>"}) {
            if (const int32_t id = find(text); id != kNoToken) strips_right_[static_cast<size_t>(id)] = false;
        }
    } else if (name.find("modern-bert") != std::string::npos) {
        strips_left_ = find("[MASK]");
    }
}

}  // namespace quoin
