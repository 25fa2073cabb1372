#include "text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "text/utf8.h"

namespace quoin {

namespace {

using Steps = std::span<const std::string_view>;

// Every step cuts each piece that the steps before left: its matches and the rest between them become pieces.
// The expressions are those of the models' tokenizer.json ("pre_tokenizer"); where Hugging Face names a built-in one
// (ByteLevel, Digits, Punctuation), its documented expression stands here.

#define QUOIN_CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define QUOIN_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define QUOIN_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define QUOIN_LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define QUOIN_SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define QUOIN_CJK_AND_HANGUL "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define QUOIN_BYTE_LEVEL "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

constexpr auto kGpt2 = std::to_array<std::string_view>({QUOIN_BYTE_LEVEL});

constexpr auto kDigitsThenGpt2 = std::to_array<std::string_view>({"\\p{N}", QUOIN_BYTE_LEVEL});

constexpr auto kLlama3 = std::to_array<std::string_view>(
    {QUOIN_CONTRACTION "|" QUOIN_LEAD "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" QUOIN_SPACES});

constexpr auto kQwen2 = std::to_array<std::string_view>(
    {QUOIN_CONTRACTION "|" QUOIN_LEAD "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" QUOIN_SPACES});

constexpr auto kQwen35 = std::to_array<std::string_view>(
    {QUOIN_CONTRACTION "|" QUOIN_LEAD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" QUOIN_SPACES});

constexpr auto kGpt4o = std::to_array<std::string_view>(
    {QUOIN_LEAD QUOIN_UPPER "*" QUOIN_LOWER "+" QUOIN_CONTRACTION "?|" QUOIN_LEAD QUOIN_UPPER "+" QUOIN_LOWER
                            "*" QUOIN_CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" QUOIN_SPACES});

constexpr auto kTekken =
    std::to_array<std::string_view>({QUOIN_LEAD QUOIN_UPPER "*" QUOIN_LOWER "+|" QUOIN_LEAD QUOIN_UPPER "+" QUOIN_LOWER
                                                            "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" QUOIN_SPACES});

constexpr auto kFalcon =
    std::to_array<std::string_view>({"[\\p{P}\\$\\+<=>\\^~\\|`]+", QUOIN_BYTE_LEVEL, "[0-9][0-9][0-9]"});

// What llama.cpp does with files that name no scheme.
constexpr auto kDefault =
    std::to_array<std::string_view>({"[\\p{P}\\$\\+<=>\\^~\\|]+", QUOIN_BYTE_LEVEL, "\\p{N}+", "[0-9][0-9][0-9]"});

constexpr auto kDeepseekLlm = std::to_array<std::string_view>(
    {"[\\r\\n]",
     "\\s?[A-Za-z"
     "\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}\\x{295}-\\x{2af}"
     "\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}"
     "\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}"
     "\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}"
     "\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}"
     "\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}"
     "\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}"
     "\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}"
     "\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"
     "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"
     "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}"
     "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}"
     "\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}"
     "\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"
     "]+",
     "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
     // "\\s+$" of the original takes quadratic time on long runs of spaces; this matches the same.
     "(?<!\\s)\\s++\\z", QUOIN_CJK_AND_HANGUL, "\\p{N}+"});

constexpr auto kDeepseekCoder =
    std::to_array<std::string_view>({"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", QUOIN_CJK_AND_HANGUL, "\\p{N}"});

constexpr auto kDeepseekV3 = std::to_array<std::string_view>(
    {"\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
     "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
     "| ?[\\p{P}\\p{S}]+[\\r\\n]*" QUOIN_SPACES});

// "(", "|" and ")" inside the brackets are characters like the others, as published.
constexpr auto kBloom =
    std::to_array<std::string_view>({" ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"});

constexpr auto kBloomThenDigits = std::to_array<std::string_view>(
    {" ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+", "\\p{N}"});

constexpr auto kBailing = std::to_array<std::string_view>(
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]"
     "|\\s+(?!\\S)|\\s+"});

constexpr auto kSeedCoder = std::to_array<std::string_view>(
    {QUOIN_CONTRACTION "|" QUOIN_LEAD "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" QUOIN_SPACES});

#undef QUOIN_CONTRACTION
#undef QUOIN_UPPER
#undef QUOIN_LOWER
#undef QUOIN_LEAD
#undef QUOIN_SPACES
#undef QUOIN_CJK_AND_HANGUL
#undef QUOIN_BYTE_LEVEL

struct Row {
    std::string_view name;
    Steps steps;
    bool ignores_merges = false;
    bool adds_bos = false;
};

constexpr auto kRows = std::to_array<Row>({
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"mpt", kGpt2},
    {"olmo", kGpt2},
    {"jais", kGpt2},
    {"gigachat", kGpt2},
    {"a.x-4.0", kGpt2},
    {"mellum", kGpt2},
    {"exaone4", kGpt2},
    {"trillion", kGpt2},
    {"granite-docling", kGpt2},
    {"modern-bert", kGpt2},
    {"jina-es", kGpt2},
    {"jina-de", kGpt2},
    {"jina-v2-es", kGpt2},
    {"jina-v2-de", kGpt2},
    {"starcoder", kDigitsThenGpt2},
    {"refact", kDigitsThenGpt2},
    {"command-r", kDigitsThenGpt2},
    {"smollm", kDigitsThenGpt2},
    {"codeshell", kDigitsThenGpt2},
    {"exaone", kDigitsThenGpt2},
    {"minerva-7b", kDigitsThenGpt2},
    {"mellum2", kDigitsThenGpt2},
    {"llama-bpe", kLlama3, true, true},
    {"llama3", kLlama3, true, true},
    {"llama-v3", kLlama3, true, true},
    {"falcon3", kLlama3, true, true},
    {"falcon-h1", kLlama3, true, true},
    {"pixtral", kLlama3, true, true},
    {"midm-2.0", kLlama3, true, true},
    {"lfm2", kLlama3, true, true},
    {"dbrx", kLlama3},
    {"smaug-bpe", kLlama3},
    {"chatglm-bpe", kLlama3},
    {"glm4", kLlama3, true},
    {"glm5", kLlama3, true},
    {"qwen2", kQwen2},
    {"deepseek-r1-qwen", kQwen2},
    {"megrez", kQwen2},
    {"kormo", kQwen2},
    {"f2llmv2", kQwen2},
    {"stablelm2", kQwen2},
    {"hunyuan", kQwen2},
    {"solar-open", kQwen2},
    {"grok-2", kQwen2},
    {"qwen35", kQwen35},
    {"gpt-4o", kGpt4o},
    {"llama4", kGpt4o},
    {"kanana2", kGpt4o},
    {"minimax-m2", kGpt4o},
    {"tekken", kTekken, true, true},
    {"falcon", kFalcon},
    {"deepseek-llm", kDeepseekLlm},
    {"deepseek-coder", kDeepseekCoder},
    {"deepseek-v3", kDeepseekV3},
    {"hunyuan-dense", kDeepseekV3},
    {"joyai-llm", kDeepseekV3},
    {"bloom", kBloom},
    {"poro-chat", kBloom},
    {"gpt3-finnish", kBloom},
    {"viking", kBloomThenDigits},
    {"bailingmoe", kBailing},
    {"bailingmoe2", kBailing},
    {"llada-moe", kBailing},
    {"seed-coder", kSeedCoder},
});

}  // namespace

Result<PreTokenizer> PreTokenizer::make(std::string_view name) {
    const auto* const row = std::ranges::find(kRows, name, &Row::name);
    if (row == kRows.end()) return error(StatusCode::Unsupported, "pre-tokenizer '", name, "' is not supported");
    std::vector<Regex> steps;
    for (const std::string_view pattern : row->steps) {
        QUOIN_ASSIGN_OR_RETURN(Regex step, Regex::compile(pattern));
        steps.push_back(std::move(step));
    }
    return PreTokenizer(std::move(steps), row->ignores_merges, row->adds_bos);
}

Result<std::vector<size_t>> PreTokenizer::word_ends(std::string_view text) const {
    std::vector<size_t> ends = {text.size()};
    std::vector<size_t> cut;
    RegexScratch scratch(text.size());
    for (const Regex& step : steps_) {
        cut.clear();
        size_t begin = 0;
        for (const size_t end : ends) {
            QUOIN_RETURN_IF_ERROR(step.append_piece_ends(text.substr(begin, end - begin), begin, scratch, cut));
            begin = end;
        }
        std::swap(ends, cut);
    }
    return ends;
}

Result<std::vector<std::string_view>> PreTokenizer::split(std::string_view text) const {
    std::vector<std::string_view> words;
    const auto cut_at = [&](size_t begin, size_t end) { words.push_back(text.substr(begin, end - begin)); };
    if (is_valid_utf8(text)) {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<size_t> ends, word_ends(text));
        words.reserve(ends.size());
        size_t begin = 0;
        for (const size_t end : ends) {
            cut_at(begin, end);
            begin = end;
        }
        return words;
    }
    // The expressions see a repaired copy; its cuts are carried back by walking both texts together.
    std::string repaired;
    for (size_t position = 0; position < text.size();) {
        const Utf8Unit unit = next_utf8_unit(text.substr(position));
        repaired += unit.kind == Utf8Kind::Character ? text.substr(position, unit.length) : kReplacementCharacter;
        position += unit.length;
    }
    QUOIN_ASSIGN_OR_RETURN(const std::vector<size_t> ends, word_ends(repaired));
    size_t begin = 0;
    size_t position = 0;
    size_t repaired_position = 0;
    for (const size_t end : ends) {
        while (repaired_position < end) {
            const Utf8Unit unit = next_utf8_unit(text.substr(position));
            repaired_position += unit.kind == Utf8Kind::Character ? unit.length : kReplacementCharacter.size();
            position += unit.length;
        }
        cut_at(begin, position);
        begin = position;
    }
    return words;
}

}  // namespace quoin
