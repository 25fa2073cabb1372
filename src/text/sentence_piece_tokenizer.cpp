#include "text/sentence_piece_tokenizer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>

#include "text/pair_merger.h"
#include "text/utf8.h"

namespace quoin {

namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581 stands for a space inside tokens
constexpr std::string_view kHexDigits = "0123456789ABCDEF";

// Unsigned numbers in the opposite order of the scores, equal scores (and both zeros) giving equal numbers.
uint32_t merge_order(float score) {
    const auto bits = std::bit_cast<uint32_t>(score == 0.0F ? 0.0F : score);
    return (bits >> 31) != 0 ? bits : ~(bits | 0x80000000U);
}

class SentencePieceTokenizer final : public Tokenizer {
public:
    SentencePieceTokenizer(std::unique_ptr<const Vocabulary> vocabulary, bool adds_bos, bool adds_eos,
                           bool adds_space_prefix)
        : Tokenizer(std::move(vocabulary), adds_bos, adds_eos, adds_space_prefix),
          adds_space_prefix_(adds_space_prefix) {
        for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
            const std::array<char, 6> name = {'<', '0', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15], '>'};
            byte_ids_[byte] = this->vocabulary().find(std::string_view(name.data(), name.size()));
            if (byte_ids_[byte] != kNoToken) continue;
            const char raw = static_cast<char>(byte);
            byte_ids_[byte] = this->vocabulary().find(std::string_view(&raw, 1));
        }
    }

private:
    Status encode_plain(std::string_view text, bool begins_text, std::vector<int32_t>& ids) const override {
        std::string marked;
        marked.reserve(text.size() + text.size() / 4 + kSpaceMark.size());
        if (adds_space_prefix_ && begins_text) marked += kSpaceMark;
        for (const char c : text) {
            if (c == ' ') {
                marked += kSpaceMark;
            } else {
                marked.push_back(c);
            }
        }
        const std::string_view whole = marked;
        PairMerger merger;
        for (size_t begin = 0; begin < whole.size();) {
            // llama.cpp goes by the lead byte alone, which lets broken UTF-8 swallow the spaces behind it.
            const size_t length = next_utf8_unit(whole.substr(begin)).length;
            merger.add(static_cast<uint32_t>(begin), static_cast<uint32_t>(length), kNoToken);
            begin += length;
        }
        merger.merge([&](const PairMerger::Symbol& left, const PairMerger::Symbol& right) -> std::optional<PairMerge> {
            const uint32_t length = left.length + right.length;
            if (length > vocabulary().longest_text()) return std::nullopt;
            const int32_t id = vocabulary().find(whole.substr(left.begin, length));
            if (id == kNoToken) return std::nullopt;
            return PairMerge{merge_order(vocabulary().score(id)), id};
        });
        merger.for_each([&](const PairMerger::Symbol& symbol) {
            append_symbol(symbol.id, whole.substr(symbol.begin, symbol.length), ids);
        });
        return {};
    }

    void append_symbol(int32_t id, std::string_view text, std::vector<int32_t>& ids) const {
        if (id == kNoToken) id = vocabulary().find(text);
        if (id != kNoToken) {
            ids.push_back(id);
            return;
        }
        const auto byte_id = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
        if (std::ranges::any_of(text, [&](char byte) { return byte_id(byte) == kNoToken; })) {
            if (vocabulary().special_ids().unknown != kNoToken) ids.push_back(vocabulary().special_ids().unknown);
            return;
        }
        std::ranges::transform(text, std::back_inserter(ids), byte_id);
    }

    void append_normal(int32_t id, std::string& text) const override {
        std::string_view rest = vocabulary().text(id);
        for (size_t mark = rest.find(kSpaceMark); mark != std::string_view::npos; mark = rest.find(kSpaceMark)) {
            text += rest.substr(0, mark);
            text.push_back(' ');
            rest.remove_prefix(mark + kSpaceMark.size());
        }
        text += rest;
    }

    bool adds_space_prefix_;
    std::array<int32_t, 256> byte_ids_{};
};

}  // namespace

std::optional<uint8_t> byte_of_token(std::string_view text) {
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
    const auto digit = [](char c) -> uint32_t {
        if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
        if (c >= 'A' && c <= 'F') return static_cast<uint32_t>(c - 'A' + 10);
        if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a' + 10);
        return 16;
    };
    const uint32_t high = digit(text[3]);
    const uint32_t low = digit(text[4]);
    if (high > 15 || low > 15) return std::nullopt;
    return static_cast<uint8_t>(high << 4 | low);
}

Result<std::shared_ptr<const Tokenizer>> make_sentence_piece_tokenizer(const Metadata& metadata) {
    // Ids of the SentencePiece trainer, which early Llama files take for granted.
    constexpr SpecialIds kDefaults = {.bos = 1, .eos = 2, .unknown = 0};
    QUOIN_ASSIGN_OR_RETURN(auto vocabulary, Vocabulary::load(metadata, kDefaults));
    QUOIN_ASSIGN_OR_RETURN(const bool adds_bos, metadata.boolean("tokenizer.ggml.add_bos_token", true));
    QUOIN_ASSIGN_OR_RETURN(const bool adds_eos, metadata.boolean("tokenizer.ggml.add_eos_token", false));
    QUOIN_ASSIGN_OR_RETURN(const bool adds_space, metadata.boolean("tokenizer.ggml.add_space_prefix", true));
    // Whether runs of spaces are shortened is stated by converters from the trainer's settings, but models of this kind
    // are always used without; the key is checked and has no effect, in llama.cpp likewise.
    QUOIN_RETURN_IF_ERROR(metadata.boolean("tokenizer.ggml.remove_extra_whitespaces", false).status());
    return std::shared_ptr<const Tokenizer>(
        std::make_shared<SentencePieceTokenizer>(std::move(vocabulary), adds_bos, adds_eos, adds_space));
}

}  // namespace quoin
