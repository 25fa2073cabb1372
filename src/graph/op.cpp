#include "graph/op.h"

#include <algorithm>
#include <array>

namespace quoin {
namespace {

using namespace facts;

constexpr auto kOps = std::to_array<OpInfo>({
#define QUOIN_OP(domain, name, least, most, least_outputs, most_outputs, op_facts) \
    {Op::name, #domain, #name, least, most, least_outputs, most_outputs, op_facts},
#include "graph/op_list.inc"
#undef QUOIN_OP
});

}  // namespace

const OpInfo& op_info(Op op) {
    return kOps[static_cast<size_t>(op)];
}

std::optional<Op> find_op(std::string_view domain, std::string_view name) {
    const auto* const row =
        std::ranges::find_if(kOps, [&](const OpInfo& info) { return info.domain == domain && info.name == name; });
    return row == kOps.end() ? std::nullopt : std::optional(row->op);
}

}  // namespace quoin
