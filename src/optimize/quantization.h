// Quantised values in graphs: their parameters, and constants of integers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "optimize/optimize.h"

namespace quoin {

// real = scale * (integer - zero_point), one for the whole tensor.
struct Quantization {
    double scale = 1;
    int32_t zero_point = 0;
    DType dtype = DType::U8;  // U8 or I8
    bool operator==(const Quantization&) const = default;
    int64_t lowest() const { return dtype == DType::I8 ? -128 : 0; }
    int64_t highest() const { return lowest() + 255; }
};

// From a constant scale and a constant zero point (or none: 0) of single numbers; nullopt otherwise, and for other
// types than u8 and i8.
std::optional<Quantization> read_quantization(const Graph& graph, ValueId scale, ValueId zero_point, DType dtype);

// The elements of a constant of u8, i8 or i32.
std::optional<std::vector<int32_t>> small_integers(const Graph& graph, ValueId id);

Result<ValueId> add_i32(Graph& graph, const OptimizeContext& context, const std::string& name,
                        const std::vector<int32_t>& elements);

// An 8-bit weight with the real value scales[c] * (weight - zero_points[c]) for output channel c.
struct QuantizedWeight {
    ValueId weight = kNoValue;  // [OC, ...]
    std::vector<float> scales;
    // As ChannelsLastIntegerConv takes them: less 128 for u8. Empty: all zero.
    std::vector<int32_t> zero_points;
};
// From a constant weight [OC, ...] and its constant scale and zero point ([OC] or single numbers).
std::optional<QuantizedWeight> read_weight(const Graph& graph, ValueId weight, ValueId scale, ValueId zero_point);

// A matrix constant [K, N] of 8-bit integers as [N, K].
Result<ValueId> add_transposed(Graph& graph, const OptimizeContext& context, ValueId matrix);

// The inputs of ChannelsLastIntegerConv for x with this weight and its scales already brought to the result's.
Result<std::vector<ValueId>> integer_inputs(Graph& graph, const OptimizeContext& context, const std::string& name,
                                            ValueId x, const QuantizedWeight& weight, const std::vector<float>& scales,
                                            const std::vector<int32_t>& bias);

}  // namespace quoin
