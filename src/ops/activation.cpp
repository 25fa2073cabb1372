#include "ops/activation.h"

#include <algorithm>
#include <array>
#include <utility>

namespace quoin {
namespace {

constexpr std::array<std::pair<std::string_view, ActivationKind>, 17> kNames = {{
    {"", ActivationKind::None},
    {"None", ActivationKind::None},
    {"Relu", ActivationKind::Relu},
    {"Clip", ActivationKind::Clip},
    {"LeakyRelu", ActivationKind::LeakyRelu},
    {"PRelu", ActivationKind::PRelu},
    {"Elu", ActivationKind::Elu},
    {"Selu", ActivationKind::Selu},
    {"Sigmoid", ActivationKind::Sigmoid},
    {"HardSigmoid", ActivationKind::HardSigmoid},
    {"HardSwish", ActivationKind::HardSwish},
    {"Swish", ActivationKind::Silu},
    {"Tanh", ActivationKind::Tanh},
    {"Gelu", ActivationKind::Gelu},
    {"GeluTanh", ActivationKind::GeluTanh},
    {"Mish", ActivationKind::Mish},
    {"Softplus", ActivationKind::Softplus},
}};

}  // namespace

std::optional<ActivationKind> activation_kind(std::string_view name) {
    const auto* const found = std::ranges::find(kNames, name, [](const auto& entry) { return entry.first; });
    if (found == kNames.end()) return std::nullopt;
    return found->second;
}

std::string_view activation_name(ActivationKind kind) {
    const auto* const found = std::ranges::find(kNames, kind, [](const auto& entry) { return entry.second; });
    return found == kNames.end() ? "" : found->first;
}

Result<Activation> read_activation(const Node& node) {
    const std::string_view name = node.string("activation", "");
    const std::optional<ActivationKind> kind = activation_kind(name);
    if (!kind) return error(StatusCode::InvalidModel, "node '", node.name, "': '", name, "' is no activation");
    return Activation{*kind, static_cast<float>(node.number("activation_alpha", 0.0)),
                      static_cast<float>(node.number("activation_beta", 0.0)), nullptr};
}

}  // namespace quoin
