// Tensors of any number type read and written as float or double, for compute() functions that need not be fast for
// every element type: f64 is computed in double, everything else in float.
#pragma once

#include <cmath>
#include <concepts>
#include <limits>
#include <vector>

#include "core/tensor.h"
#include "ops/element_types.h"

namespace quoin {

// Calls visitor.template operator()<T>() with double for f64 and float for f32 and the halves; false for others.
template <class Visitor>
bool visit_wide(DType dtype, Visitor&& visitor) {
    switch (dtype) {
        case DType::F64: visitor.template operator()<double>(); return true;
        case DType::F32:
        case DType::F16:
        case DType::BF16: visitor.template operator()<float>(); return true;
        default: return kNotVisited;
    }
}

// The elements of a tensor of numbers as T, float or double; without a copy when they are. A tensor without bytes has
// no elements.
template <std::floating_point T>
class ReadAs {
public:
    explicit ReadAs(const Tensor& tensor);
    ReadAs(const ReadAs&) = delete;
    ReadAs& operator=(const ReadAs&) = delete;

    const T* data() const { return data_; }
    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T operator[](int64_t index) const { return data_[index]; }

private:
    std::vector<T> copy_;
    const T* data_ = nullptr;
    size_t size_ = 0;
};

// `value` as an integer, to the nearest within its range; NaN is zero.
template <std::integral Element, std::floating_point T>
Element truncate_to(T value) {
    if (std::isnan(value)) return 0;
    // The largest value may round up to a power of two that does not fit.
    if (value >= static_cast<T>(std::numeric_limits<Element>::max())) return std::numeric_limits<Element>::max();
    if (value <= static_cast<T>(std::numeric_limits<Element>::lowest())) return std::numeric_limits<Element>::lowest();
    return static_cast<Element>(value);
}

// Room for the elements of a tensor of numbers as T, float or double; store() puts them into the tensor. Integers are
// cut off towards zero, and at the ends of their range.
template <std::floating_point T>
class WriteAs {
public:
    explicit WriteAs(Tensor tensor);
    WriteAs(const WriteAs&) = delete;
    WriteAs& operator=(const WriteAs&) = delete;

    T* data() { return data_; }
    size_t size() const { return size_; }
    T& operator[](int64_t index) { return data_[index]; }

    void store();

private:
    Tensor tensor_;
    std::vector<T> copy_;
    T* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace quoin
