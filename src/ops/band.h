// A sliding window's result in bands of rows, for libraries that take whole images: a band reads an image of its own,
// with the padding that falls on it.
#pragma once

#include <algorithm>
#include <tuple>

#include "ops/sliding_window.h"

namespace quoin {

// Outputs first <= o < first + count along one spatial axis, and what they read along it.
struct Band {
    int64_t first;
    int64_t count;
    int64_t src_first;
    int64_t src_count;
    int64_t pad_begin;
    int64_t pad_end;

    // Bands of one kind differ in nothing but where they lie.
    auto kind() const { return std::tuple(count, src_count, pad_begin, pad_end); }
};

// `source`: size of the whole image along that axis.
inline Band band_of(const SlidingWindow& window, size_t axis, int64_t source, int64_t first, int64_t count) {
    const int64_t begin = first * window.step[axis] - window.begin(axis, source);
    const int64_t end = begin + (count - 1) * window.step[axis] + window.extent(axis);
    Band band{first, count, std::max<int64_t>(begin, 0), 0, std::max<int64_t>(-begin, 0), 0};
    band.src_count = std::min(end, source) - band.src_first;
    band.pad_end = std::max<int64_t>(end - source, 0);
    return band;
}

// Whether no window can lie in padding alone, which bands cannot have.
inline bool has_bands(const SlidingWindow& window) {
    for (size_t axis = 0; axis < window.axes; ++axis) {
        for (const int64_t pad : {window.pad_begin[axis], window.pad_end[axis]}) {
            if (pad < 0 || pad >= window.extent(axis)) return false;
        }
    }
    return true;
}

}  // namespace quoin
