// The op table: names, arity and the facts that planner and passes read instead of op names.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace quoin {

enum class Op : uint16_t {
#define QUOIN_OP(domain, name, least, most, outputs, facts) name,
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
}  // namespace facts

struct OpInfo {
    Op op;
    std::string_view domain;  // "onnx" or "quoin"
    std::string_view name;
    int32_t least_inputs;
    int32_t most_inputs;
    int32_t outputs;
    uint32_t facts;

    bool has(uint32_t fact) const { return (facts & fact) != 0; }
};

const OpInfo& op_info(Op op);
std::optional<Op> find_op(std::string_view domain, std::string_view name);

}  // namespace quoin
