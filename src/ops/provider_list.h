// Ordered lists of providers, as the heavy ops keep them: data, not branches.
#pragma once

#include <algorithm>
#include <span>

#include "ops/op_kernel.h"
#include "ops/providers.h"

namespace quoin {

// An Entry has `Provider provider` and `bool (*takes)(const Query&)`. The entry of the wanted provider where it takes
// the problem, else the first one of the order that does, else null.
template <class Entry, class Query>
const Entry* choose_entry(std::span<const Entry* const> entries, std::span<const Provider> order,
                          const PrepareContext& context, const Query& query) {
    const auto try_one = [&](Provider provider) -> const Entry* {
        const auto found = std::ranges::find(entries, provider, [](const Entry* each) { return each->provider; });
        if (found == entries.end() || !check_provider(provider, context.runtime).ok()) return nullptr;
        return (*found)->takes(query) ? *found : nullptr;
    };
    if (const Entry* const wanted = try_one(context.provider)) return wanted;
    for (const Provider provider : order) {
        if (const Entry* const found = try_one(provider)) return found;
    }
    return nullptr;
}

// Which order holds for a kind of problem; the first row that applies counts.
template <class Query>
struct ProviderOrder {
    bool (*applies)(const Query& query);
    std::array<Provider, 4> providers;
};
// Kinds of problems that ops ask about alike; a Query has the PrepareContext `context`.
template <class Query>
bool is_any(const Query& /*query*/) {
    return true;
}
template <class Query>
bool has_avx512(const Query& query) {
    return isa_includes(query.context.runtime.isa, Isa::Avx512);
}

template <class Query>
std::span<const Provider> order_for(std::span<const ProviderOrder<Query>> rows, const Query& query) {
    const auto found = std::ranges::find_if(rows, [&](const auto& row) { return row.applies(query); });
    if (found == rows.end()) return {};
    return found->providers;
}

}  // namespace quoin
