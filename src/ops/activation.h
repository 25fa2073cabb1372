// The activation that an op of the quoin domain applies to its result: the attribute "activation" holds the name of the
// ONNX op, "activation_alpha" and "activation_beta" its parameters in the meaning of kernels/window.h.
#pragma once

#include <string_view>

#include "core/status.h"
#include "graph/graph.h"
#include "kernels/window.h"

namespace quoin {

// None for an empty name; nullopt for a name that stands for no activation.
std::optional<ActivationKind> activation_kind(std::string_view name);
std::string_view activation_name(ActivationKind kind);

// InvalidModel when the name is unknown. `slopes` of PRelu are set by the op.
Result<Activation> read_activation(const Node& node);

// In double precision; `slope` is PRelu's.
double activate(const Activation& activation, double x, double slope);

}  // namespace quoin
