#include "ops/text_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>

namespace quoin {
namespace {

std::string describe(int code) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(code, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
}

struct FreeMatch {
    void operator()(pcre2_match_data_8* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context_8* context) const { pcre2_match_context_free(context); }
};

}  // namespace

void TextPattern::Free::operator()(pcre2_real_code_8* code) const {
    pcre2_code_free(code);
}

Result<TextPattern> TextPattern::compile(std::string_view pattern) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    TextPattern result(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                     PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
    if (result.code_ == nullptr) {
        return error(StatusCode::InvalidModel, "the regular expression '", pattern, "' is wrong at byte ", offset, ": ",
                     describe(code));
    }
    return result;
}

Result<bool> TextPattern::matches_all(std::string_view text) const {
    const std::unique_ptr<pcre2_match_data_8, FreeMatch> data(pcre2_match_data_create(1, nullptr));
    const std::unique_ptr<pcre2_match_context_8, FreeMatch> context(pcre2_match_context_create(nullptr));
    if (data == nullptr || context == nullptr) return error(StatusCode::OutOfMemory, "a match needs more memory");
    constexpr uint64_t kStepsPerByte = 1000;
    constexpr uint64_t kMostSteps = 50'000'000;
    const uint64_t steps = std::min<uint64_t>(kMostSteps, 100'000 + kStepsPerByte * text.size());
    pcre2_set_match_limit(context.get(), static_cast<uint32_t>(steps));
    constexpr uint32_t kHeapKibibytes = 256 * 1024;
    pcre2_set_heap_limit(context.get(), kHeapKibibytes);
    const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                  PCRE2_ANCHORED | PCRE2_ENDANCHORED, data.get(), context.get());
    if (found >= 0) return true;
    if (found == PCRE2_ERROR_NOMATCH) return false;
    return error(StatusCode::InvalidArgument, "a text of ", text.size(), " bytes cannot be matched: ", describe(found));
}

Result<std::string> with_case(std::string_view text, bool upper) {
    if (text.empty()) return std::string();
    // A letter's other case may take more bytes, but none takes more than four.
    std::string result(4 * text.size() + 1, '\0');
    PCRE2_SIZE length = result.size();
    const std::string_view replacement = upper ? "\\U$0" : "\\L$0";
    int code = 0;
    PCRE2_SIZE offset = 0;
    const std::unique_ptr<pcre2_real_code_8, void (*)(pcre2_real_code_8*)> all(
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>("(?s).+"), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code,
                      &offset, nullptr),
        [](pcre2_real_code_8* each) { pcre2_code_free(each); });
    if (all == nullptr) return error(StatusCode::OutOfMemory, "changing the case of a text needs more memory");
    const int changed =
        pcre2_substitute(all.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                         PCRE2_SUBSTITUTE_EXTENDED, nullptr, nullptr, reinterpret_cast<PCRE2_SPTR>(replacement.data()),
                         replacement.size(), reinterpret_cast<PCRE2_UCHAR*>(result.data()), &length);
    if (changed < 0) {
        return error(StatusCode::InvalidArgument, "the case of a text of ", text.size(),
                     " bytes cannot be changed: ", describe(changed));
    }
    result.resize(length);
    return result;
}

}  // namespace quoin
