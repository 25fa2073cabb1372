#include "text/metadata_builder.h"

#include <algorithm>

#include "text/utf8.h"

namespace quoin::test {

namespace {

constexpr int64_t kNormal = 1;
constexpr int64_t kUnknown = 2;
constexpr int64_t kControl = 3;
constexpr int64_t kByte = 6;

}  // namespace

std::vector<std::string> byte_level_tokens() {
    std::vector<std::string> tokens;
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        const bool itself = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        append_utf8(itself ? byte : next++, tokens.emplace_back());
    }
    return tokens;
}

MetadataBuilder byte_level_vocabulary(std::string_view pre, const std::vector<std::string>& merges,
                                      const std::vector<std::string>& control) {
    std::vector<std::string> tokens = byte_level_tokens();
    for (std::string merged : merges) {
        merged.erase(merged.find(' ', 1), 1);
        if (std::ranges::find(tokens, merged) == tokens.end()) tokens.push_back(merged);
    }
    std::vector<int64_t> types(tokens.size(), kNormal);
    for (const std::string& token : control) {
        tokens.push_back(token);
        types.push_back(kControl);
    }
    MetadataBuilder builder;
    builder.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
    builder.texts("tokenizer.ggml.tokens", tokens).set("tokenizer.ggml.token_type", types);
    builder.texts("tokenizer.ggml.merges", merges);
    return builder;
}

MetadataBuilder sentence_piece_vocabulary(std::initializer_list<std::pair<std::string_view, double>> pieces) {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int64_t> types = {kUnknown, kControl, kControl};
    std::vector<double> scores(3 + 256, 0.0);
    for (size_t byte = 0; byte < 256; ++byte) {
        constexpr std::string_view kDigits = "0123456789ABCDEF";
        tokens.push_back(std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">");
        types.push_back(kByte);
    }
    for (const auto& [text, score] : pieces) {
        tokens.emplace_back(text);
        types.push_back(kNormal);
        scores.push_back(score);
    }
    MetadataBuilder builder;
    builder.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", tokens);
    builder.set("tokenizer.ggml.scores", scores).set("tokenizer.ggml.token_type", types);
    return builder;
}

}  // namespace quoin::test
