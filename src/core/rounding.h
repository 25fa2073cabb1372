// Rounding up of counts and sizes that are not negative.
#pragma once

#include <concepts>
#include <type_traits>

namespace quoin {

// a / b, b > 0.
template <std::integral A, std::integral B>
constexpr std::common_type_t<A, B> divide_up(A a, B b) {
    return (a + b - 1) / b;
}

// The least multiple of `unit` that is no less than x.
template <std::integral X, std::integral Unit>
constexpr std::common_type_t<X, Unit> align_up(X x, Unit unit) {
    return divide_up(x, unit) * unit;
}

}  // namespace quoin
