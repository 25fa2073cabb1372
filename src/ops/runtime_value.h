// What flows between nodes at run time: a tensor, a sequence of values, a map, or nothing (an empty optional).
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace quoin {

// A value type: copies share what they hold, which nobody changes afterwards.
class RuntimeValue {
public:
    enum class Kind : uint8_t { None, Tensor, Sequence, Map };

    RuntimeValue() = default;  // None
    // NOLINTNEXTLINE(google-explicit-constructor)
    RuntimeValue(Tensor tensor) : kind_(Kind::Tensor), tensor_(std::move(tensor)) {}
    // A sequence. `dtype` is that of its tensors, for sequences that are empty.
    RuntimeValue(std::vector<RuntimeValue> items, DType dtype)
        : kind_(Kind::Sequence),
          tensor_(dtype, {}, nullptr, 0, nullptr),
          items_(std::make_shared<const std::vector<RuntimeValue>>(std::move(items))) {}
    // A map from keys [n] (i64 or string) to values [n].
    static RuntimeValue map(Tensor keys, Tensor values) {
        RuntimeValue result({RuntimeValue(std::move(keys)), RuntimeValue(std::move(values))}, DType::Undefined);
        result.kind_ = Kind::Map;
        return result;
    }

    Kind kind() const { return kind_; }
    bool is_none() const { return kind_ == Kind::None; }
    bool is_tensor() const { return kind_ == Kind::Tensor; }
    bool is_sequence() const { return kind_ == Kind::Sequence; }
    // Undefined and empty unless it is a tensor.
    const Tensor& tensor() const { return tensor_; }
    // Of the tensor, or of the tensors of a sequence.
    DType dtype() const { return tensor_.dtype(); }
    // Of a sequence; of a map its keys and its values.
    const std::vector<RuntimeValue>& items() const {
        static const std::vector<RuntimeValue> kNothing;
        return items_ ? *items_ : kNothing;
    }

private:
    Kind kind_ = Kind::None;
    Tensor tensor_;
    std::shared_ptr<const std::vector<RuntimeValue>> items_;
};

}  // namespace quoin
