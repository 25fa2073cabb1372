// Small constants read and made by passes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "optimize/optimize.h"

namespace quoin {

// The elements of an f32 constant; nullopt when the value is no plain f32 constant.
std::optional<std::vector<float>> float_values(const Graph& graph, ValueId id);
// The elements of an i64 or i32 constant of rank 0 or 1; nullopt when the value is none.
std::optional<std::vector<int64_t>> integer_values(const Graph& graph, ValueId id);
// The single element of a f32 constant with one element; nullopt when the value is none.
std::optional<float> scalar_value(const Graph& graph, ValueId id);
// Whether the value is a constant of one element that is `wanted` up to a few units in the last place of a float.
bool is_scalar(const Graph& graph, ValueId id, double wanted);

// New constants in memory of the runtime.
Result<ValueId> add_floats(Graph& graph, const OptimizeContext& context, const std::string& name, const Shape& shape,
                           const std::vector<float>& elements);
Result<ValueId> add_integers(Graph& graph, const OptimizeContext& context, const std::string& name,
                             const std::vector<int64_t>& elements);

// The concrete shape of a value; nullopt when a dim is not known.
std::optional<Shape> static_shape(const Graph& graph, ValueId id);

}  // namespace quoin
