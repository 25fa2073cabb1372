// When a result counts as right.
#pragma once

#include <optional>
#include <string>

#include "core/status.h"
#include "ops/runtime_value.h"

namespace quoin::conformance {

struct Tolerance {
    double relative = 1e-3;
    double absolute = 1e-5;
    double byte_steps = 0;  // of elements that are 8-bit integers: quantised values may round to the neighbour
};

// What differs first, or nullopt: kind, element type, shape, then elements. |got - wanted| may be at most
// absolute + relative * |wanted|; NaN equals NaN, an infinity itself; strings and bools are equal or not.
std::optional<std::string> difference(const RuntimeValue& got, const RuntimeValue& wanted, const Tolerance& tolerance);

}  // namespace quoin::conformance
