// Byte-pair merging, shared by the tokenizers that differ only in which pair goes first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace quoin {

// A pair that may be merged. The lowest `order` goes first, of equals the left-most.
struct PairMerge {
    uint32_t order;
    int32_t id;  // what the caller calls the merged symbol
};

// Merges adjacent symbols of a sequence until no pair can be merged: O(n log n), no recursion.
// Reused for many words without new allocations. Not thread-safe.
class PairMerger {
public:
    static constexpr int32_t kNone = -1;

    struct Symbol {
        int32_t previous;
        int32_t next;
        uint32_t begin;
        uint32_t length;  // 0: was merged into the symbol before
        int32_t id;
    };

    void clear() { symbols_.clear(); }
    // Symbols must be added in order, each beginning where the one before ends.
    void add(uint32_t begin, uint32_t length, int32_t id) {
        const auto index = static_cast<int32_t>(symbols_.size());
        if (index > 0) symbols_.back().next = index;
        symbols_.push_back({index - 1, kNone, begin, length, id});
    }

    // `find(left, right)` gives std::optional<PairMerge>.
    template <class Find>
    void merge(const Find& find) {
        heap_.clear();
        const auto propose = [&](int32_t left, int32_t right) {
            if (left == kNone || right == kNone) return false;
            const auto pair = find(symbol(left), symbol(right));
            if (!pair) return false;
            // Order and position in one number: one comparison decides both.
            heap_.push_back({(uint64_t{pair->order} << 32) | static_cast<uint32_t>(left),
                             symbol(left).length + symbol(right).length, pair->id});
            return true;
        };
        for (int32_t left = 0; left + 1 < static_cast<int32_t>(symbols_.size()); ++left) propose(left, left + 1);
        std::ranges::make_heap(heap_, std::greater<>{}, &Candidate::order);
        while (!heap_.empty()) {
            const Candidate candidate = heap_.front();
            std::ranges::pop_heap(heap_, std::greater<>{}, &Candidate::order);
            heap_.pop_back();
            const auto left_index = static_cast<int32_t>(static_cast<uint32_t>(candidate.order));
            Symbol& left = symbol(left_index);
            if (left.length == 0 || left.next == kNone) continue;
            Symbol& right = symbol(left.next);
            // Either side has grown since the pair was proposed.
            if (left.length + right.length != candidate.length) continue;

            left.length = candidate.length;
            left.id = candidate.id;
            left.next = right.next;
            right.length = 0;
            if (left.next != kNone) symbol(left.next).previous = left_index;
            if (propose(left.previous, left_index)) std::ranges::push_heap(heap_, std::greater<>{}, &Candidate::order);
            if (propose(left_index, left.next)) std::ranges::push_heap(heap_, std::greater<>{}, &Candidate::order);
        }
    }

    template <class Visit>
    void for_each(const Visit& visit) const {
        for (int32_t index = symbols_.empty() ? kNone : 0; index != kNone;) {
            const Symbol& current = symbols_[static_cast<size_t>(index)];
            visit(current);
            index = current.next;
        }
    }

private:
    struct Candidate {
        uint64_t order;
        uint32_t length;
        int32_t id;
    };
    Symbol& symbol(int32_t index) { return symbols_[static_cast<size_t>(index)]; }

    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
};

}  // namespace quoin
