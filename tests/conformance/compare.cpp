#include "compare.h"

#include <cmath>
#include <cstdint>
#include <sstream>

#include "core/half.h"

namespace quoin::conformance {
namespace {

// A float of few bits: sign, then exponent, then mantissa, as the OCP formats and those of GraphCore lay them out.
struct SmallFloat {
    int exponent_bits;
    int mantissa_bits;
    int bias;
    enum class Special : uint8_t {
        Ieee,       // the highest exponent holds infinities and NaN
        OneNan,     // only all ones is NaN
        MinusZero,  // what would be -0 is the only NaN
        None,
    } special;
};

double value_of(unsigned bits, const SmallFloat& format) {
    const int width = format.exponent_bits + format.mantissa_bits;
    const bool negative = ((bits >> width) & 1U) != 0;
    const unsigned exponent = (bits >> format.mantissa_bits) & ((1U << format.exponent_bits) - 1);
    const unsigned mantissa = bits & ((1U << format.mantissa_bits) - 1);
    const unsigned highest = (1U << format.exponent_bits) - 1;
    const unsigned full = (1U << format.mantissa_bits) - 1;
    const double sign = negative ? -1.0 : 1.0;
    using Special = SmallFloat::Special;
    if (format.special == Special::Ieee && exponent == highest) return mantissa == 0 ? sign * INFINITY : NAN;
    if (format.special == Special::OneNan && exponent == highest && mantissa == full) return NAN;
    if (format.special == Special::MinusZero && negative && exponent == 0 && mantissa == 0) return NAN;
    const double fraction = static_cast<double>(mantissa) / static_cast<double>(1U << format.mantissa_bits);
    if (exponent == 0) return sign * std::ldexp(fraction, 1 - format.bias);
    return sign * std::ldexp(1.0 + fraction, static_cast<int>(exponent) - format.bias);
}

// Several elements in a byte, the first in the lowest bits.
unsigned packed(const Tensor& tensor, size_t index, unsigned bits) {
    const size_t in_byte = 8 / bits;
    const auto byte = std::to_integer<unsigned>(tensor.data()[index / in_byte]);
    return (byte >> (bits * (index % in_byte))) & ((1U << bits) - 1);
}

double sign_extended(unsigned value, unsigned bits) {
    const int64_t limit = int64_t{1} << (bits - 1);
    const auto signed_value = static_cast<int64_t>(value);
    return static_cast<double>(signed_value >= limit ? signed_value - 2 * limit : signed_value);
}

template <class T>
T element(const Tensor& tensor, size_t index) {
    return tensor.as<const T>()[index];
}

std::optional<double> number(const Tensor& tensor, size_t index) {
    using Special = SmallFloat::Special;
    switch (tensor.dtype()) {
        case DType::F32: return element<float>(tensor, index);
        case DType::F64: return element<double>(tensor, index);
        case DType::F16: return f16_to_f32(element<uint16_t>(tensor, index));
        case DType::BF16: return bf16_to_f32(element<uint16_t>(tensor, index));
        case DType::U8: return element<uint8_t>(tensor, index);
        case DType::I8: return element<int8_t>(tensor, index);
        case DType::U16: return element<uint16_t>(tensor, index);
        case DType::I16: return element<int16_t>(tensor, index);
        case DType::U32: return element<uint32_t>(tensor, index);
        case DType::I32: return element<int32_t>(tensor, index);
        case DType::U64: return static_cast<double>(element<uint64_t>(tensor, index));
        case DType::I64: return static_cast<double>(element<int64_t>(tensor, index));
        case DType::Bool: return element<uint8_t>(tensor, index);
        case DType::U4: return packed(tensor, index, 4);
        case DType::I4: return sign_extended(packed(tensor, index, 4), 4);
        case DType::U2: return packed(tensor, index, 2);
        case DType::I2: return sign_extended(packed(tensor, index, 2), 2);
        case DType::F4E2M1: return value_of(packed(tensor, index, 4), {2, 1, 1, Special::None});
        case DType::F8E4M3FN: return value_of(element<uint8_t>(tensor, index), {4, 3, 7, Special::OneNan});
        case DType::F8E4M3FNUZ: return value_of(element<uint8_t>(tensor, index), {4, 3, 8, Special::MinusZero});
        case DType::F8E5M2: return value_of(element<uint8_t>(tensor, index), {5, 2, 15, Special::Ieee});
        case DType::F8E5M2FNUZ: return value_of(element<uint8_t>(tensor, index), {5, 2, 16, Special::MinusZero});
        case DType::F8E8M0: {
            const unsigned bits = element<uint8_t>(tensor, index);
            return bits == 0xFF ? NAN : std::ldexp(1.0, static_cast<int>(bits) - 127);
        }
        default: return std::nullopt;
    }
}

bool close(double got, double wanted, const Tolerance& tolerance) {
    if (got == wanted || (std::isnan(got) && std::isnan(wanted))) return true;
    if (!std::isfinite(got) || !std::isfinite(wanted)) return false;
    return std::abs(got - wanted) <= tolerance.absolute + tolerance.relative * std::abs(wanted);
}

std::string coordinates(const Shape& shape, size_t index) {
    std::string text;
    for (size_t axis = shape.rank(); axis-- > 0;) {
        const auto dim = static_cast<size_t>(shape[axis]);
        text = std::to_string(index % dim) + (text.empty() ? "" : ", ") + text;
        index /= dim;
    }
    return "[" + text + "]";
}

std::optional<std::string> tensor_difference(const Tensor& got, const Tensor& wanted, const Tolerance& tolerance) {
    std::ostringstream text;
    if (got.dtype() != wanted.dtype() || !(got.shape() == wanted.shape())) {
        text << dtype_name(got.dtype()) << to_string(got.shape()) << " where " << dtype_name(wanted.dtype())
             << to_string(wanted.shape()) << " is right";
        return text.str();
    }
    const auto count = static_cast<size_t>(wanted.shape().element_count().value_or(0));
    const bool bytes = wanted.dtype() == DType::U8 || wanted.dtype() == DType::I8;
    const Tolerance allowed = bytes ? Tolerance{0, tolerance.byte_steps} : tolerance;
    size_t wrong = 0;
    for (size_t index = 0; index < count; ++index) {
        if (wanted.dtype() == DType::String) {
            const auto& a = element<std::string>(got, index);
            const auto& b = element<std::string>(wanted, index);
            if (a == b || wrong++ != 0) continue;
            text << "at " << coordinates(wanted.shape(), index) << " '" << a << "' where '" << b << "' is right";
            continue;
        }
        const std::optional<double> a = number(got, index);
        const std::optional<double> b = number(wanted, index);
        if (!a || !b) return "elements of " + std::string(dtype_name(wanted.dtype())) + " cannot be compared";
        if (close(*a, *b, allowed) || wrong++ != 0) continue;
        text.precision(9);
        text << "at " << coordinates(wanted.shape(), index) << ' ' << *a << " where " << *b << " is right";
    }
    if (wrong == 0) return std::nullopt;
    text << ", " << wrong << " of " << count << " elements differ";
    return text.str();
}

const char* name_of(RuntimeValue::Kind kind) {
    switch (kind) {
        case RuntimeValue::Kind::None: return "nothing";
        case RuntimeValue::Kind::Tensor: return "a tensor";
        case RuntimeValue::Kind::Sequence: return "a sequence";
        case RuntimeValue::Kind::Map: return "a map";
    }
    return "?";
}

}  // namespace

std::optional<std::string> difference(const RuntimeValue& got, const RuntimeValue& wanted, const Tolerance& tolerance) {
    if (got.kind() != wanted.kind()) {
        return std::string(name_of(got.kind())) + " where " + name_of(wanted.kind()) + " is right";
    }
    if (wanted.is_tensor()) return tensor_difference(got.tensor(), wanted.tensor(), tolerance);
    if (got.items().size() != wanted.items().size()) {
        return std::to_string(got.items().size()) + " items where " + std::to_string(wanted.items().size()) +
               " are right";
    }
    for (size_t index = 0; index < wanted.items().size(); ++index) {
        if (const auto found = difference(got.items()[index], wanted.items()[index], tolerance)) {
            return "item " + std::to_string(index) + ": " + *found;
        }
    }
    return std::nullopt;
}

}  // namespace quoin::conformance
