// What RNN, GRU and LSTM (ONNX) have in common: attributes, sizes and where values lie.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"
#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

enum class GateFunction : uint8_t {
    Affine,
    Elu,
    HardSigmoid,
    LeakyRelu,
    Relu,
    ScaledTanh,
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu,
};
struct GateActivation {
    GateFunction function = GateFunction::Sigmoid;
    float alpha = 0;
    float beta = 0;

    bool operator==(const GateActivation&) const = default;
};

template <class T>
T apply(const GateActivation& activation, T x) {
    const auto alpha = static_cast<T>(activation.alpha);
    const auto beta = static_cast<T>(activation.beta);
    switch (activation.function) {
        case GateFunction::Affine: return alpha * x + beta;
        case GateFunction::Elu: return x >= 0 ? x : alpha * std::expm1(x);
        case GateFunction::HardSigmoid: return std::fmax(T{0}, std::fmin(T{1}, alpha * x + beta));
        case GateFunction::LeakyRelu: return x >= 0 ? x : alpha * x;
        case GateFunction::Relu: return x > 0 ? x : T{0};
        case GateFunction::ScaledTanh: return alpha * std::tanh(beta * x);
        case GateFunction::Sigmoid: return 1 / (1 + std::exp(-x));
        case GateFunction::Softplus: return x > 20 ? x : std::log1p(std::exp(x));
        case GateFunction::Softsign: return x / (1 + std::abs(x));
        case GateFunction::Tanh: return std::tanh(x);
        case GateFunction::ThresholdedRelu: return x > alpha ? x : T{0};
    }
    return x;
}

struct RecurrentSettings {
    Op op = Op::RNN;
    int64_t gates = 1;  // rows of W and R are gates * hidden: RNN 1, GRU 3 (z, r, h), LSTM 4 (i, o, f, c)
    int64_t directions = 1;
    bool reverse = false;                     // of a single direction
    bool batch_first = false;                 // layout 1
    bool linear_before_reset = false;         // GRU
    bool input_forget = false;                // LSTM
    float clip = 0;                           // 0: none
    std::vector<GateActivation> activations;  // `functions()` for each direction

    int64_t functions() const { return op == Op::RNN ? 1 : op == Op::GRU ? 2 : 3; }
    bool reversed(int64_t direction) const { return reverse || direction == 1; }
    // Functions f, g, h are 0, 1, 2.
    const GateActivation& activation(int64_t direction, int64_t function) const {
        return activations[static_cast<size_t>(direction * functions() + function)];
    }
};
// InvalidModel for what the attributes cannot mean.
Result<RecurrentSettings> recurrent_settings(const Node& node);

// Sizes of one call and element offsets that depend on the layout.
struct RecurrentSizes {
    int64_t steps = 0;
    int64_t batch = 0;
    int64_t input = 0;
    int64_t hidden = 0;
    int64_t directions = 1;
    bool batch_first = false;

    RecurrentSizes(const Shape& x, const Shape& recurrence, bool layout)
        : steps(x[layout ? 1 : 0]),
          batch(x[layout ? 0 : 1]),
          input(x[2]),
          hidden(recurrence[2]),
          directions(recurrence[0]),
          batch_first(layout) {}

    int64_t x_step() const { return batch_first ? input : batch * input; }
    int64_t x_row() const { return batch_first ? steps * input : input; }
    int64_t y(int64_t step, int64_t direction, int64_t row) const {
        return (batch_first ? (row * steps + step) * directions + direction
                            : (step * directions + direction) * batch + row) *
               hidden;
    }
    int64_t state(int64_t direction, int64_t row) const {
        return (batch_first ? row * directions + direction : direction * batch + row) * hidden;
    }
};

// Inputs of all three ops; P and the initial cell are LSTM's.
enum RecurrentInput : size_t { kX, kW, kR, kB, kLengths, kInitialH, kInitialC, kPeepholes };

// Null without an error where the weights are not constant f32 (recurrent_f32.cpp).
Result<std::unique_ptr<PreparedNode>> prepare_recurrent(const PrepareContext& context);

}  // namespace quoin
