// The merges of a byte-level BPE vocabulary, as numbers.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/pair_merger.h"
#include "text/vocabulary.h"

namespace quoin {

// GPT-2 writes the bytes of a token as printable characters: U+0021.. for themselves, U+0100.. for the others.
// Code point of a byte, 0x143 at most.
uint32_t byte_level_code_point(uint8_t byte);
// nullopt when the code point stands for no byte.
std::optional<uint8_t> byte_of_code_point(uint32_t code_point);
// Text of a token from the bytes it stands for.
void append_byte_level(std::string_view bytes, std::string& text);

// Symbols are token ids; texts that merges pass through without being tokens get numbers above them.
// Immutable, shared by threads.
class MergeTable {
public:
    // InvalidModel names file, key and entry: a merge without two parts.
    static Result<MergeTable> load(const Vocabulary& vocabulary);

    int32_t byte_symbol(uint8_t byte) const { return byte_symbols_[byte]; }
    std::optional<PairMerge> find(int32_t left, int32_t right) const;
    // Ids of a symbol: itself, or the bytes of a text that is no token.
    void append_ids(const Vocabulary& vocabulary, int32_t symbol, std::vector<int32_t>& ids) const;

private:
    struct Slot {
        uint64_t pair = kFree;
        uint32_t rank = 0;
        int32_t merged = 0;
    };
    static constexpr uint64_t kFree = UINT64_MAX;  // no symbol is negative

    MergeTable() = default;
    class Builder;
    size_t slot_of(uint64_t pair) const;

    std::array<int32_t, 256> byte_symbols_{};
    std::vector<Slot> slots_;
    int shift_ = 0;
    std::vector<std::string> extra_bytes_;  // what symbols that are no tokens stand for
    int32_t first_extra_ = 0;
};

}  // namespace quoin
