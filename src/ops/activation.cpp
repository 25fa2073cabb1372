#include "ops/activation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
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

double activate(const Activation& activation, double x, double slope) {
    const double alpha = activation.alpha;
    const double beta = activation.beta;
    const auto sigmoid = [](double of) { return 1 / (1 + std::exp(-of)); };
    const auto softplus = [](double of) { return std::max(of, 0.0) + std::log1p(std::exp(-std::abs(of))); };
    switch (activation.kind) {
        case ActivationKind::None: return x;
        case ActivationKind::Relu: return x < 0 ? 0 : x;
        case ActivationKind::Clip: return std::min(std::max(x, alpha), beta);
        case ActivationKind::LeakyRelu: return x < 0 ? alpha * x : x;
        case ActivationKind::PRelu: return x < 0 ? slope * x : x;
        case ActivationKind::Elu: return x < 0 ? alpha * std::expm1(x) : x;
        case ActivationKind::Selu: return x < 0 ? beta * alpha * std::expm1(x) : beta * x;
        case ActivationKind::Sigmoid: return sigmoid(x);
        case ActivationKind::HardSigmoid: return std::max(0.0, std::min(1.0, alpha * x + beta));
        // Of -infinity the limit.
        case ActivationKind::HardSwish: return x <= -3 ? -0.0 : x * std::min(1.0, x / 6 + 0.5);
        case ActivationKind::Silu: return x * sigmoid(alpha * x);
        case ActivationKind::Tanh: return std::tanh(x);
        case ActivationKind::Gelu: return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
        case ActivationKind::GeluTanh:
            return 0.5 * x *
                   (1 + std::tanh(std::numbers::sqrt2 * std::numbers::inv_sqrtpi * (x + 0.044715 * x * x * x)));
        case ActivationKind::Mish: return x * std::tanh(softplus(x));
        case ActivationKind::Softplus: return softplus(x);
    }
    return x;
}

}  // namespace quoin
