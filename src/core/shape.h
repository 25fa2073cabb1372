// A concrete tensor shape. Symbolic shapes live in graph/graph.h; they become this when a program is planned.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>

namespace quoin {

// Kept inline: shapes are copied into plans and compared as plan-cache keys.
class Shape {
public:
    static constexpr size_t kMaxRank = 12;

    Shape() = default;
    Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
    // At most kMaxRank dims; loaders check the rank of a file's tensor before they build one.
    explicit Shape(std::span<const int64_t> dims) : rank_(dims.size()) { std::ranges::copy(dims, dims_.begin()); }

    size_t rank() const { return rank_; }
    int64_t operator[](size_t axis) const { return dims_[axis]; }
    int64_t& operator[](size_t axis) { return dims_[axis]; }
    std::span<const int64_t> dims() const { return {dims_.data(), rank_}; }
    int64_t back() const { return dims_[rank_ - 1]; }
    // The rank must be below kMaxRank.
    void push_back(int64_t dim) { dims_[rank_++] = dim; }
    // Product of all dims (1 for a scalar); nullopt when a dim is negative or the product overflows.
    std::optional<int64_t> element_count() const;
    bool operator==(const Shape& other) const { return std::ranges::equal(dims(), other.dims()); }

private:
    size_t rank_ = 0;
    std::array<int64_t, kMaxRank> dims_{};
};

// "[2, 3]"
std::string to_string(const Shape& shape);

}  // namespace quoin
