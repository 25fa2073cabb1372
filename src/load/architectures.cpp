#include "load/architectures.h"

#include <algorithm>
#include <array>

namespace quoin {
namespace {

constexpr auto kTable = std::to_array<Architecture>({
    // name, rotary pairs, needs q/k/v biases, q/k norms
    {"llama", RotaryPairs::Interleaved, false, false},  // Llama 1 to 3, Mistral, and what was trained in their shape
    {"qwen2", RotaryPairs::Halves, true, false},        // Qwen 2 and 2.5
    {"qwen3", RotaryPairs::Halves, false, true},
});

}  // namespace

const Architecture* find_architecture(std::string_view name) {
    const auto* const row = std::ranges::find(kTable, name, &Architecture::name);
    return row == kTable.end() ? nullptr : row;
}

std::string known_architectures() {
    std::string names;
    for (const Architecture& row : kTable) names.append(names.empty() ? "" : ", ").append(row.name);
    return names;
}

}  // namespace quoin
