#include "text/tokenizer.h"

#include <utility>

#include "text/byte_pair_tokenizer.h"
#include "text/sentence_piece_tokenizer.h"
#include "text/special_split.h"
#include "text/utf8.h"

namespace quoin {

Tokenizer::Tokenizer(std::unique_ptr<const Vocabulary> vocabulary, bool adds_bos, bool adds_eos, bool marks_first_word)
    : vocabulary_(std::move(vocabulary)),
      adds_bos_(adds_bos && vocabulary_->special_ids().bos != kNoToken),
      adds_eos_(adds_eos && vocabulary_->special_ids().eos != kNoToken),
      marks_first_word_(marks_first_word) {}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
    if (text.size() > kMaxTextBytes) {
        return error(StatusCode::InvalidArgument, "text of ", text.size(), " bytes; at most ", kMaxTextBytes,
                     " can be encoded at once");
    }
    std::vector<int32_t> ids;
    if (options.add_special && adds_bos_) ids.push_back(bos_id());
    bool begins_text = !options.continues;
    for (const TextFragment& fragment : split_at_special(*vocabulary_, text, options.parse_special)) {
        if (fragment.token == kNoToken) {
            QUOIN_RETURN_IF_ERROR(encode_plain(fragment.text, begins_text, ids));
        } else {
            ids.push_back(fragment.token);
        }
        begins_text = fragment.token != kNoToken;
    }
    if (options.add_special && adds_eos_) ids.push_back(eos_id());
    return ids;
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids, DecodeOptions options) const {
    std::string text;
    bool at_start = true;
    for (const int32_t id : ids) QUOIN_RETURN_IF_ERROR(append_token(id, options, at_start, text));
    return text;
}

Status Tokenizer::append_token(int32_t id, DecodeOptions options, bool& at_start, std::string& text) const {
    if (!vocabulary_->contains(id)) {
        return error(StatusCode::InvalidArgument, "token id ", id, " is outside the vocabulary of ",
                     vocabulary_->size());
    }
    const size_t begin = text.size();
    switch (vocabulary_->type(id)) {
        case TokenType::Normal: append_normal(id, text); break;
        case TokenType::UserDefined: text += vocabulary_->text(id); break;
        case TokenType::Control:
        case TokenType::Unknown:
            if (options.render_special) text += vocabulary_->text(id);
            break;
        case TokenType::Byte: {
            const std::optional<uint8_t> byte = byte_of_token(vocabulary_->text(id));
            if (byte) {
                text.push_back(static_cast<char>(*byte));
            } else {
                text += vocabulary_->text(id);
            }
            break;
        }
        case TokenType::Undefined:
        case TokenType::Unused: break;
    }
    if (at_start && text.size() > begin) {
        at_start = false;
        if (marks_first_word_ && !options.keep_leading_space && text[begin] == ' ') text.erase(begin, 1);
    }
    return {};
}

Result<std::string_view> Tokenizer::token_text(int32_t id) const {
    if (vocabulary_->contains(id)) return vocabulary_->text(id);
    return error(StatusCode::InvalidArgument, "token id ", id, " is outside the vocabulary of ", vocabulary_->size());
}

bool Tokenizer::is_special(int32_t id) const {
    if (!vocabulary_->contains(id)) return false;
    const TokenType type = vocabulary_->type(id);
    return type == TokenType::Control || type == TokenType::Unknown;
}

Result<std::shared_ptr<const Tokenizer>> make_tokenizer(const Metadata& metadata) {
    QUOIN_ASSIGN_OR_RETURN(const std::string_view model, metadata.require_string("tokenizer.ggml.model"));
    if (model == "no_vocab" || model == "none") return std::shared_ptr<const Tokenizer>();
    if (model == "llama") return make_sentence_piece_tokenizer(metadata);
    if (model == "gpt2") return make_byte_pair_tokenizer(metadata);
    return error(StatusCode::Unsupported, metadata.source_name(), ": tokenizer.ggml.model '", model,
                 "' is not supported (only 'llama' and 'gpt2' are)");
}

Result<std::string_view> StreamDecoder::push(int32_t id) {
    QUOIN_RETURN_IF_ERROR(tokenizer_->append_token(id, options_, at_start_, pending_));
    output_.clear();
    size_t position = 0;
    while (position < pending_.size()) {
        const std::string_view rest = std::string_view(pending_).substr(position);
        const Utf8Unit unit = next_utf8_unit(rest);
        if (unit.kind == Utf8Kind::Incomplete) break;
        output_ += unit.kind == Utf8Kind::Character ? rest.substr(0, unit.length) : kReplacementCharacter;
        position += unit.length;
    }
    pending_.erase(0, position);
    return std::string_view(output_);
}

std::string_view StreamDecoder::finish() {
    output_ = pending_.empty() ? std::string_view() : kReplacementCharacter;
    pending_.clear();
    at_start_ = true;
    return output_;
}

}  // namespace quoin
