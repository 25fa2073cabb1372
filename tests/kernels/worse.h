// The worst of many errors.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace quoin::test {

// The larger one. NaN is the worst there is: std::max(worst, NaN) would be `worst`, and a kernel that gives NaN
// everywhere would pass.
inline double worse(double worst, double error) {
    return std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
}

}  // namespace quoin::test
