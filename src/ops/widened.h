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

// The elements of a tensor of numbers as T; without a copy when they are. A tensor without bytes has no elements.
template <std::floating_point T>
class ReadAs {
public:
    explicit ReadAs(const Tensor& tensor) {
        visit_numbers_and_bool(tensor.dtype(), [&]<class Element>() {
            const auto elements = tensor.as<const Element>();
            size_ = elements.size();
            if constexpr (std::same_as<Element, T>) {
                data_ = elements.data();
            } else {
                copy_.resize(size_);
                for (size_t index = 0; index < size_; ++index) {
                    copy_[index] = static_cast<T>(to_arithmetic(elements[index]));
                }
                data_ = copy_.data();
            }
        });
    }
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

// Room for the elements of a tensor of numbers as T; store() puts them into the tensor. Integers are cut off towards
// zero, and at the ends of their range.
template <std::floating_point T>
class WriteAs {
public:
    explicit WriteAs(Tensor tensor) : tensor_(std::move(tensor)) {
        visit_numbers(tensor_.dtype(), [&]<class Element>() {
            size_ = tensor_.as<Element>().size();
            if constexpr (std::same_as<Element, T>) {
                data_ = tensor_.as<T>().data();
            } else {
                copy_.resize(size_);
                data_ = copy_.data();
            }
        });
    }
    WriteAs(const WriteAs&) = delete;
    WriteAs& operator=(const WriteAs&) = delete;

    T* data() { return data_; }
    size_t size() const { return size_; }
    T& operator[](int64_t index) { return data_[index]; }

    void store() {
        visit_numbers(tensor_.dtype(), [&]<class Element>() {
            if constexpr (!std::same_as<Element, T>) {
                const auto elements = tensor_.as<Element>();
                for (size_t index = 0; index < size_; ++index) {
                    if constexpr (IntegerElement<Element>) {
                        elements[index] = truncate_to<Element>(copy_[index]);
                    } else {
                        elements[index] = from_arithmetic<Element>(static_cast<Arithmetic<Element>>(copy_[index]));
                    }
                }
            }
        });
    }

private:
    Tensor tensor_;
    std::vector<T> copy_;
    T* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace quoin
