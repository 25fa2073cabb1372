#include "text/merge_table.h"

#include <algorithm>
#include <bit>
#include <unordered_map>
#include <utility>

#include "text/utf8.h"

namespace quoin {

namespace {

constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";

constexpr bool stands_for_itself(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

constexpr uint32_t kFirstShifted = 0x100;

constexpr auto kCodePoints = [] {
    std::array<uint16_t, 256> code_points{};
    uint32_t next = kFirstShifted;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        code_points[byte] = static_cast<uint16_t>(stands_for_itself(byte) ? byte : next++);
    }
    return code_points;
}();

constexpr auto kBytes = [] {
    std::array<int16_t, 0x144> bytes{};
    bytes.fill(-1);
    for (uint32_t byte = 0; byte < 256; ++byte) bytes[kCodePoints[byte]] = static_cast<int16_t>(byte);
    return bytes;
}();

uint64_t pair_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// The bytes of a text made of byte characters; characters that are none are left out.
std::string bytes_of(std::string_view text) {
    std::string bytes;
    while (!text.empty()) {
        const Utf8Unit unit = next_utf8_unit(text);
        if (unit.kind == Utf8Kind::Character) {
            const auto byte = byte_of_code_point(utf8_code_point(text.substr(0, unit.length)));
            if (byte) bytes.push_back(static_cast<char>(*byte));
        }
        text.remove_prefix(unit.length);
    }
    return bytes;
}

}  // namespace

uint32_t byte_level_code_point(uint8_t byte) {
    return kCodePoints[byte];
}

std::optional<uint8_t> byte_of_code_point(uint32_t code_point) {
    if (code_point >= kBytes.size() || kBytes[code_point] < 0) return std::nullopt;
    return static_cast<uint8_t>(kBytes[code_point]);
}

void append_byte_level(std::string_view bytes, std::string& text) {
    for (const char byte : bytes) append_utf8(kCodePoints[static_cast<uint8_t>(byte)], text);
}

class MergeTable::Builder {
public:
    Builder(const Vocabulary& vocabulary, MergeTable& table) : vocabulary_(vocabulary), table_(table) {}

    int32_t symbol(std::string_view text) {
        if (const int32_t id = vocabulary_.find(text); id != kNoToken) return id;
        const auto next = table_.first_extra_ + static_cast<int32_t>(table_.extra_bytes_.size());
        const auto [entry, is_new] = extra_.try_emplace(std::string(text), next);
        if (is_new) table_.extra_bytes_.push_back(bytes_of(text));
        return entry->second;
    }

    // Symbol of two texts put together. Most vocabularies list the tokens in the order of the merges that make them, so
    // the neighbour of the last one is looked at before the index.
    int32_t joined_symbol(std::string_view left, std::string_view right) {
        const int32_t guess = last_joined_ + 1;
        if (!vocabulary_.has_repeated_texts() && vocabulary_.contains(guess)) {
            const std::string_view text = vocabulary_.text(guess);
            if (text.size() == left.size() + right.size() && text.starts_with(left) && text.ends_with(right)) {
                return last_joined_ = guess;
            }
        }
        joined_.assign(left).append(right);
        last_joined_ = symbol(joined_);
        return last_joined_;
    }

private:
    const Vocabulary& vocabulary_;
    MergeTable& table_;
    std::unordered_map<std::string, int32_t> extra_;
    std::string joined_;
    int32_t last_joined_ = kNoToken;
};

Result<MergeTable> MergeTable::load(const Vocabulary& vocabulary) {
    const Metadata& metadata = vocabulary.metadata();
    QUOIN_ASSIGN_OR_RETURN(const std::vector<std::string_view>* const merges, metadata.strings(kMergesKey));
    if (merges == nullptr) {
        return error(StatusCode::InvalidModel, metadata.source_name(), ": key '", kMergesKey, "' is missing");
    }
    constexpr size_t kMostMerges = size_t{1} << 28;  // at most three new symbols each: still below 2^31
    if (merges->size() > kMostMerges) {
        return error(StatusCode::InvalidModel, metadata.source_name(), ": key '", kMergesKey, "' lists ",
                     merges->size(), " merges, more than can be numbered");
    }
    MergeTable table;
    table.first_extra_ = vocabulary.size();
    Builder builder(vocabulary, table);
    for (uint32_t byte = 0; byte < 256; ++byte) {
        std::string character;
        append_utf8(kCodePoints[byte], character);
        table.byte_symbols_[byte] = builder.symbol(character);
    }
    // Symbols first and the table afterwards: two loops of independent memory accesses, which the processor overlaps.
    std::vector<Slot> entries;
    entries.reserve(merges->size());
    for (size_t rank = 0; rank < merges->size(); ++rank) {
        const std::string_view merge = (*merges)[rank];
        // A part may itself begin with a space: the separating one is a later one.
        const size_t space = merge.find(' ', 1);
        if (space == std::string_view::npos || space + 1 == merge.size()) {
            return error(StatusCode::InvalidModel, metadata.source_name(), ": key '", kMergesKey, "': entry ", rank,
                         " ('", merge, "') is not two texts with a space between");
        }
        const std::string_view left = merge.substr(0, space);
        const std::string_view right = merge.substr(space + 1);
        entries.push_back({pair_of(builder.symbol(left), builder.symbol(right)), static_cast<uint32_t>(rank),
                           builder.joined_symbol(left, right)});
    }
    const size_t capacity = std::bit_ceil(entries.size() + entries.size() / 2 + 2);
    table.slots_.resize(capacity);
    table.shift_ = 64 - std::countr_zero(capacity);
    for (const Slot& entry : entries) {
        Slot& slot = table.slots_[table.slot_of(entry.pair)];
        if (slot.pair == kFree) slot = entry;  // of merges listed twice the first counts
    }
    return table;
}

size_t MergeTable::slot_of(uint64_t pair) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = static_cast<size_t>((pair * 0x9E3779B97F4A7C15U) >> shift_) & mask;
    while (slots_[slot].pair != pair && slots_[slot].pair != kFree) slot = (slot + 1) & mask;
    return slot;
}

std::optional<PairMerge> MergeTable::find(int32_t left, int32_t right) const {
    const uint64_t pair = pair_of(left, right);
    const Slot& slot = slots_[slot_of(pair)];
    if (slot.pair != pair) return std::nullopt;
    return PairMerge{slot.rank, slot.merged};
}

void MergeTable::append_ids(const Vocabulary& vocabulary, int32_t symbol, std::vector<int32_t>& ids) const {
    if (vocabulary.contains(symbol)) {
        ids.push_back(symbol);
        return;
    }
    for (const char byte : extra_bytes_[static_cast<size_t>(symbol - first_extra_)]) {
        int32_t id = byte_symbols_[static_cast<uint8_t>(byte)];
        if (!vocabulary.contains(id)) id = vocabulary.special_ids().unknown;
        if (id != kNoToken) ids.push_back(id);
    }
}

}  // namespace quoin
