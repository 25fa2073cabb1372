// Attributes and shapes as the rules of several families read them.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

// InvalidModel that names the node and its op, for rules that infer() and compute() share.
template <class... Parts>
Status node_error(const Node& node, const Parts&... parts) {
    return error(StatusCode::InvalidModel, "node '", node.name, "' (", op_info(node.op).name, "): ", parts...);
}

// The same error, with the node in front where the message does not name it yet.
inline Status at_node(const Node& node, const Status& status) {
    const bool named = status.ok() || status.code() == StatusCode::Cancelled ||
                       status.message().find("node '" + node.name + "'") != std::string::npos;
    return named ? status : with_context(status, "node '", node.name, "' (", op_info(node.op).name, "): ");
}

// The list, or an empty one where the attribute is absent or of another type.
inline std::vector<int64_t> integers_attribute(const Node& node, std::string_view key) {
    const Attribute* const attribute = node.attribute(key);
    const auto* const list = attribute == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(attribute);
    return list == nullptr ? std::vector<int64_t>() : *list;
}
inline std::vector<double> numbers_attribute(const Node& node, std::string_view key) {
    const Attribute* const attribute = node.attribute(key);
    const auto* const list = attribute == nullptr ? nullptr : std::get_if<std::vector<double>>(attribute);
    return list == nullptr ? std::vector<double>() : *list;
}
inline std::vector<std::string> strings_attribute(const Node& node, std::string_view key) {
    const Attribute* const attribute = node.attribute(key);
    const auto* const list = attribute == nullptr ? nullptr : std::get_if<std::vector<std::string>>(attribute);
    return list == nullptr ? std::vector<std::string>() : *list;
}

inline std::vector<Dim> dims_of_shape(const Shape& shape) {
    std::vector<Dim> dims;
    for (const int64_t size : shape.dims()) dims.push_back({.size = size});
    return dims;
}
// Every dim must be known and there must be no more than Shape takes; nullopt otherwise.
inline std::optional<Shape> shape_of_dims(std::span<const Dim> dims) {
    if (dims.size() > Shape::kMaxRank) return std::nullopt;
    std::vector<int64_t> sizes;
    for (const Dim& dim : dims) {
        if (!dim.known()) return std::nullopt;
        sizes.push_back(dim.size);
    }
    return Shape(std::span<const int64_t>(sizes));
}

// Counts of elements that a shape has before and from `axis` on, and so on; shapes of tensors do not overflow.
inline int64_t product(std::span<const int64_t> sizes) {
    int64_t result = 1;
    for (const int64_t size : sizes) result *= size;
    return result;
}

// The axis from the front; nullopt when it is out of range.
inline std::optional<size_t> normalized_axis(int64_t axis, size_t rank) {
    const auto count = static_cast<int64_t>(rank);
    if (axis < -count || axis >= count) return std::nullopt;
    return static_cast<size_t>(axis < 0 ? axis + count : axis);
}

}  // namespace quoin
