// Rows of weights that are the same on every machine: whole numbers, sums and products only.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

namespace quoin::test {

inline constexpr std::array<std::string_view, 12> kWeightKinds = {
    "gaussian", "heavy tails", "offset", "negative offset", "sparse", "outliers", "positive",
    "uniform",  "constant",    "tiny",   "small",           "huge"};

class WeightSource {
public:
    double uniform() {  // [0, 1)
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<double>(state_ >> 40) / 16777216.0;
    }
    double normal() {  // nearly: the sum of twelve
        double sum = -6;
        for (int i = 0; i < 12; ++i) sum += uniform();
        return sum;
    }

private:
    uint64_t state_ = 20240607;
};

inline std::vector<float> make_weights(std::string_view kind, size_t count) {
    WeightSource source;
    std::vector<float> weights(count);
    for (size_t i = 0; i < count; ++i) {
        const double normal = source.normal();
        const double uniform = source.uniform();
        double value = 0.02 * normal;
        if (kind == "heavy tails") value = 0.02 * normal * normal * normal;
        if (kind == "offset") value = 1 + 0.05 * normal;
        if (kind == "negative offset") value = -1 + 0.05 * normal;
        if (kind == "sparse") value = uniform < 0.05 ? normal : 0;
        if (kind == "outliers") value = (i % 256 == 77 ? 8 : 0.05) * normal;
        if (kind == "positive") value = std::abs(normal);
        if (kind == "uniform") value = 2 * uniform - 1;
        if (kind == "constant") value = 0.3;
        if (kind == "tiny") value = 1e-7 * normal;
        if (kind == "small") value = 1e-5 * normal;
        if (kind == "huge") value = 1e5 * normal;
        weights[i] = static_cast<float>(value);
    }
    return weights;
}

}  // namespace quoin::test
