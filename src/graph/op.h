// The op table: names, arity and the facts that planner and passes read instead of op names.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace quoin {

enum class Op : uint16_t {
#define QUOIN_OP(domain, name, least, most, least_outputs, most_outputs, facts) name,
#include "graph/op_list.inc"
#undef QUOIN_OP
};

namespace facts {
inline constexpr uint32_t none = 0;
inline constexpr uint32_t commutative = 1U << 0;
inline constexpr uint32_t in_place = 1U << 1;
inline constexpr uint32_t view = 1U << 2;
inline constexpr uint32_t updates = 1U << 3;
inline constexpr uint32_t folds = 1U << 4;
inline constexpr uint32_t shape_only = 1U << 5;
inline constexpr uint32_t boxed = 1U << 6;
inline constexpr uint32_t random = 1U << 7;
inline constexpr uint32_t in_place_residual = 1U << 8;
}  // namespace facts

inline constexpr int32_t kMany = std::numeric_limits<int32_t>::max();

struct OpInfo {
    Op op;
    std::string_view domain;  // "onnx", "ml" (ai.onnx.ml) or "quoin"
    std::string_view name;
    int32_t least_inputs;
    int32_t most_inputs;  // kMany: no limit
    int32_t least_outputs;
    int32_t most_outputs;
    uint32_t facts;

    bool has(uint32_t fact) const { return (facts & fact) != 0; }
};

const OpInfo& op_info(Op op);
std::optional<Op> find_op(std::string_view domain, std::string_view name);

}  // namespace quoin
