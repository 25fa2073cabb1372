#include "text/special_split.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace quoin {

namespace {

// isspace() of the C locale.
bool is_ascii_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Of the tokens to look for, those that occur at all, the longest first. One pass over the text, where looking for each
// token would be one pass per token (some vocabularies have a thousand).
std::vector<int32_t> occurring(const Vocabulary& vocabulary, std::string_view text, bool parse_control) {
    const std::span<const int32_t> all = vocabulary.searched_tokens();
    const auto is_wanted = [&](int32_t id) { return parse_control || vocabulary.type(id) == TokenType::UserDefined; };
    std::array<bool, 256> begins_token{};
    bool any = false;
    for (const int32_t id : all) {
        if (!is_wanted(id)) continue;
        begins_token[static_cast<uint8_t>(vocabulary.text(id)[0])] = true;
        any = true;
    }
    if (!any) return {};

    std::vector<int32_t> found;
    std::vector<bool> is_found(all.size(), false);
    for (size_t position = 0; position < text.size(); ++position) {
        if (!begins_token[static_cast<uint8_t>(text[position])]) continue;
        // The tokens stand in the order of their bytes: those that begin like the text are neighbours.
        std::span<const int32_t> range = all;
        for (size_t depth = 0; !range.empty() && position + depth < text.size(); ++depth) {
            const auto wanted = static_cast<uint8_t>(text[position + depth]);
            const auto byte_of = [&](int32_t id) {
                const std::string_view token = vocabulary.text(id);
                return depth < token.size() ? static_cast<uint8_t>(token[depth]) : -1;
            };
            const auto first = std::ranges::lower_bound(range, wanted, {}, byte_of);
            range = range.subspan(static_cast<size_t>(first - range.begin()));
            const auto last = std::ranges::upper_bound(range, wanted, {}, byte_of);
            range = range.first(static_cast<size_t>(last - range.begin()));
            for (size_t index = 0; index < range.size(); ++index) {
                if (vocabulary.text(range[index]).size() != depth + 1) break;  // the shortest of the range stand first
                const auto order = static_cast<size_t>(range.data() + index - all.data());
                if (is_found[order] || !is_wanted(range[index])) continue;
                is_found[order] = true;
                found.push_back(range[index]);
            }
        }
    }
    std::ranges::stable_sort(found, [&](int32_t left, int32_t right) {
        const size_t left_size = vocabulary.text(left).size();
        const size_t right_size = vocabulary.text(right).size();
        return left_size != right_size ? left_size > right_size : left < right;
    });
    return found;
}

void cut_fragment(const Vocabulary& vocabulary, int32_t token, std::string_view rest, std::vector<TextFragment>& out) {
    const std::string_view wanted = vocabulary.text(token);
    for (size_t match = rest.find(wanted); match != std::string_view::npos; match = rest.find(wanted)) {
        std::string_view left = rest.substr(0, match);
        rest.remove_prefix(match + wanted.size());
        if (vocabulary.strips_left(token)) {
            while (!left.empty() && is_ascii_space(left.back())) left.remove_suffix(1);
        }
        if (vocabulary.strips_right(token)) {
            while (!rest.empty() && is_ascii_space(rest.front())) rest.remove_prefix(1);
        }
        if (!left.empty()) out.push_back({kNoToken, left});
        out.push_back({token, {}});
    }
    if (!rest.empty()) out.push_back({kNoToken, rest});
}

}  // namespace

std::vector<TextFragment> split_at_special(const Vocabulary& vocabulary, std::string_view text, bool parse_control) {
    std::vector<TextFragment> fragments;
    if (text.empty()) return fragments;
    fragments.push_back({kNoToken, text});
    std::vector<TextFragment> next;
    for (const int32_t token : occurring(vocabulary, text, parse_control)) {
        next.clear();
        for (const TextFragment& fragment : fragments) {
            if (fragment.token == kNoToken) {
                cut_fragment(vocabulary, token, fragment.text, next);
            } else {
                next.push_back(fragment);
            }
        }
        std::swap(fragments, next);
    }
    return fragments;
}

}  // namespace quoin
