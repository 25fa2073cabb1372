#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace quoin {

namespace {

// White_Space of Unicode. PCRE2's \s has U+180E as well, which left the property with Unicode 6.3, so the tokenizers
// that these expressions come from do not take it for a space.
constexpr std::string_view kSpaces =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

std::string with_unicode_spaces(std::string_view pattern) {
    std::string result;
    bool in_class = false;
    for (size_t index = 0; index < pattern.size(); ++index) {
        const char c = pattern[index];
        if (c == '\\' && index + 1 < pattern.size()) {
            const char escaped = pattern[++index];
            if (escaped == 's') {
                result.append(in_class ? "" : "[").append(kSpaces).append(in_class ? "" : "]");
            } else if (escaped == 'S' && !in_class) {
                result.append("[^").append(kSpaces).append("]");
            } else {
                result.push_back(c);
                result.push_back(escaped);
            }
            continue;
        }
        if (c == '[') in_class = true;
        if (c == ']') in_class = false;
        result.push_back(c);
    }
    return result;
}

std::string describe(int code) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(code, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
}

}  // namespace

void RegexScratch::FreeData::operator()(pcre2_real_match_data_8* data) const {
    pcre2_match_data_free(data);
}

void RegexScratch::FreeContext::operator()(pcre2_real_match_context_8* context) const {
    pcre2_match_context_free(context);
}

RegexScratch::RegexScratch(size_t text_bytes)
    : data_(pcre2_match_data_create(1, nullptr)), context_(pcre2_match_context_create(nullptr)) {
    if (!context_) return;
    // Our expressions need a small multiple of the text's length; whatever needs more must not hang the program.
    const uint64_t limit = 100'000 + uint64_t{64} * text_bytes;
    pcre2_set_match_limit(context_.get(), static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
    constexpr uint32_t kHeapKibibytes = 512 * 1024;
    pcre2_set_heap_limit(context_.get(), kHeapKibibytes);
}

void Regex::Free::operator()(pcre2_real_code_8* code) const {
    pcre2_code_free(code);
}

Result<Regex> Regex::compile(std::string_view pattern) {
    const std::string expanded = with_unicode_spaces(pattern);
    int code = 0;
    PCRE2_SIZE offset = 0;
    Regex regex(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expanded.data()), expanded.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
    if (!regex.code_) {
        return error(StatusCode::Internal, "regular expression '", expanded, "' at ", offset, ": ", describe(code));
    }
    // Fails where the system forbids making code; the interpreter gives the same matches.
    static_cast<void>(pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE));
    return regex;
}

Status Regex::append_piece_ends(std::string_view text, size_t base, RegexScratch& scratch,
                                std::vector<size_t>& ends) const {
    if (!scratch.data_ || !scratch.context_) {
        return error(StatusCode::OutOfMemory, "no memory for a regular expression");
    }
    const auto match_from = [&](size_t start, uint32_t options) {
        return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                           PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, scratch.data_.get(), scratch.context_.get());
    };
    size_t position = 0;
    while (position < text.size()) {
        int found = match_from(position, 0);
        // Compiled code has a small fixed stack, the interpreter takes it from the heap.
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match_from(position, PCRE2_NO_JIT);
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0) {
            return error(StatusCode::InvalidArgument, "cannot split a text of ", text.size(),
                         " bytes into words: ", describe(found));
        }
        const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(scratch.data_.get());
        if (range[0] > position) ends.push_back(base + range[0]);
        ends.push_back(base + range[1]);
        position = range[1];
    }
    if (position < text.size()) ends.push_back(base + text.size());
    return {};
}

}  // namespace quoin
