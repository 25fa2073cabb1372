#include "text/byte_pair_tokenizer.h"

#include <string>
#include <utility>

#include "core/log.h"
#include "text/merge_table.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace quoin {

namespace {

class BytePairTokenizer final : public Tokenizer {
public:
    BytePairTokenizer(std::unique_ptr<const Vocabulary> vocabulary, bool adds_bos, bool adds_eos,
                      PreTokenizer pre_tokenizer, MergeTable merges)
        : Tokenizer(std::move(vocabulary), adds_bos, adds_eos, false),
          pre_tokenizer_(std::move(pre_tokenizer)),
          merges_(std::move(merges)) {}

private:
    Status encode_plain(std::string_view text, bool /*begins_text*/, std::vector<int32_t>& ids) const override {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<std::string_view> words, pre_tokenizer_.split(text));
        PairMerger merger;
        std::string token_text;
        for (const std::string_view word : words) {
            if (pre_tokenizer_.ignores_merges() && word.size() <= vocabulary().longest_text()) {
                token_text.clear();
                append_byte_level(word, token_text);
                if (const int32_t id = vocabulary().find(token_text); id != kNoToken) {
                    ids.push_back(id);
                    continue;
                }
            }
            merger.clear();
            for (size_t index = 0; index < word.size(); ++index) {
                merger.add(static_cast<uint32_t>(index), 1, merges_.byte_symbol(static_cast<uint8_t>(word[index])));
            }
            merger.merge([&](const PairMerger::Symbol& left, const PairMerger::Symbol& right) {
                return merges_.find(left.id, right.id);
            });
            merger.for_each(
                [&](const PairMerger::Symbol& symbol) { merges_.append_ids(vocabulary(), symbol.id, ids); });
        }
        return {};
    }

    // Tokens with other characters than byte characters were added as plain text.
    void append_normal(int32_t id, std::string& text) const override {
        const size_t begin = text.size();
        const std::string_view token = vocabulary().text(id);
        for (size_t position = 0; position < token.size();) {
            const Utf8Unit unit = next_utf8_unit(token.substr(position));
            std::optional<uint8_t> byte;
            if (unit.kind == Utf8Kind::Character) {
                byte = byte_of_code_point(utf8_code_point(token.substr(position, unit.length)));
            }
            if (!byte) {
                text.resize(begin);
                text += token;
                return;
            }
            text.push_back(static_cast<char>(*byte));
            position += unit.length;
        }
    }

    PreTokenizer pre_tokenizer_;
    MergeTable merges_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> make_byte_pair_tokenizer(const Metadata& metadata) {
    const std::string& source = metadata.source_name();
    QUOIN_ASSIGN_OR_RETURN(std::string_view pre, metadata.string("tokenizer.ggml.pre", ""));
    if (pre.empty()) {
        // Files from before April 2024 do not say; guessing another scheme would be worse than llama.cpp's.
        log(LogLevel::Warning, source, ": key 'tokenizer.ggml.pre' is missing, 'default' is used; ids may be wrong");
        pre = "default";
    }
    Result<PreTokenizer> pre_tokenizer = PreTokenizer::make(pre);
    if (!pre_tokenizer.ok()) return with_context(pre_tokenizer.status(), source, ": key 'tokenizer.ggml.pre': ");
    QUOIN_ASSIGN_OR_RETURN(auto vocabulary, Vocabulary::load(metadata, SpecialIds{}));
    QUOIN_ASSIGN_OR_RETURN(MergeTable merges, MergeTable::load(*vocabulary));
    QUOIN_ASSIGN_OR_RETURN(const bool adds_bos,
                           metadata.boolean("tokenizer.ggml.add_bos_token", pre_tokenizer->adds_bos()));
    QUOIN_ASSIGN_OR_RETURN(const bool adds_eos, metadata.boolean("tokenizer.ggml.add_eos_token", false));
    return std::shared_ptr<const Tokenizer>(std::make_shared<BytePairTokenizer>(
        std::move(vocabulary), adds_bos, adds_eos, std::move(pre_tokenizer).value(), std::move(merges)));
}

}  // namespace quoin
