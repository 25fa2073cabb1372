// 8-bit operands of the QLinear and Integer ops, for their plain implementations.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {

// The elements of a u8 or i8 input.
inline Result<std::vector<int32_t>> byte_integers(ComputeContext& context, size_t index) {
    const Tensor& tensor = context.input(index);
    std::vector<int32_t> values;
    if (tensor.dtype() == DType::U8) {
        const auto bytes = tensor.as<const uint8_t>();
        values.assign(bytes.begin(), bytes.end());
    } else if (tensor.dtype() == DType::I8) {
        const auto bytes = tensor.as<const int8_t>();
        values.assign(bytes.begin(), bytes.end());
    } else {
        return context.fail(StatusCode::Unsupported, "input ", index, " has the element type ",
                            dtype_name(tensor.dtype()), "; u8 and i8 are implemented");
    }
    return values;
}

// Writes integer sums as quantised values: saturate(round(sum * scale / y_scale) + y_zero_point), halves to even.
class Requantizer {
public:
    // Scale and zero point of the result are scalars.
    static Result<Requantizer> make(ComputeContext& context, size_t scale, size_t zero_point) {
        const ReadAs<float> scales(context.input(scale));
        QUOIN_ASSIGN_OR_RETURN(const std::vector<int32_t> zeros, byte_integers(context, zero_point));
        if (scales.size() != 1 || zeros.size() != 1) {
            return context.fail("scale and zero point of the result are not single values");
        }
        Requantizer result;
        result.scale_ = scales[0];
        result.zero_point_ = static_cast<float>(zeros[0]);
        result.is_signed_ = context.input(zero_point).dtype() == DType::I8;
        return result;
    }
    void store(const Tensor& y, int64_t index, int32_t sum, float scale) const {
        const float value = std::nearbyint(static_cast<float>(sum) * scale / scale_) + zero_point_;
        if (is_signed_) {
            reinterpret_cast<int8_t*>(y.data())[index] = truncate_to<int8_t>(value);
        } else {
            reinterpret_cast<uint8_t*>(y.data())[index] = truncate_to<uint8_t>(value);
        }
    }

private:
    float scale_ = 1;
    float zero_point_ = 0;
    bool is_signed_ = false;
};

}  // namespace quoin
