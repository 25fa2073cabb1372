// What every benchmark needs to take a time. Includes nothing of Quoin: quoin_situations knows the public header only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace timing {

inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The upper of the two middle ones where their number is even; there must be one.
inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

}  // namespace timing
