#include "ops/widened.h"

#include <utility>

namespace quoin {

template <std::floating_point T>
ReadAs<T>::ReadAs(const Tensor& tensor) {
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

template <std::floating_point T>
WriteAs<T>::WriteAs(Tensor tensor) : tensor_(std::move(tensor)) {
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

template <std::floating_point T>
void WriteAs<T>::store() {
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

template class ReadAs<float>;
template class ReadAs<double>;
template class WriteAs<float>;
template class WriteAs<double>;

}  // namespace quoin
