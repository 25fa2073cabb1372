// The activations of an epilogue, on rows of results that were just written. Clamps alone (Relu, Clip) are for tiles to
// do in registers.

namespace quoin {
namespace {

// What a tile does in registers, with clip_of(); the rest is left to activate_row.
struct Clamp {
    float low;
    float high;
    bool all;  // nothing is left to do
};
QUOIN_INLINE Clamp clamp_of(const FloatEpilogue& epilogue) {
    const Activation& activation = epilogue.activation;
    const bool at_once = !epilogue.residual_last || epilogue.residual == nullptr;
    if (activation.kind == ActivationKind::None) return {-kInfinity, kInfinity, at_once};
    if (activation.kind == ActivationKind::Relu && at_once) return {0.0F, kInfinity, true};
    if (activation.kind == ActivationKind::Clip && at_once) return {activation.alpha, activation.beta, true};
    return {-kInfinity, kInfinity, false};
}

template <class Function>
QUOIN_INLINE void map_row(const float* src, const float* slopes, const float* residual, int64_t columns, float* dst,
                          Function function) {
    for_vectors(columns, [=](int64_t c, int64_t n) QUOIN_LAMBDA_INLINE {
        Floats x = function(load_some(src + c, n), slopes == nullptr ? zeros() : load_some(slopes + c, n));
        if (residual != nullptr) x = x + load_some(residual + c, n);
        store_some(dst + c, x, n);
    });
}

// dst[i] = activation(src[i]) + residual[i]; slopes and residual may be null, dst may be src or residual.
[[gnu::noinline]] void activate_row(const Activation& activation, const float* slopes, const float* residual,
                                    int64_t columns, const float* src, float* dst) {
    const Floats alpha = broadcast(activation.alpha);
    const Floats beta = broadcast(activation.beta);
    const auto apply = [&](auto function) QUOIN_LAMBDA_INLINE {
        map_row(src, nullptr, residual, columns, dst,
                [&](Floats x, Floats) QUOIN_LAMBDA_INLINE { return function(x); });
    };
    switch (activation.kind) {
        case ActivationKind::None: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return x; });
        case ActivationKind::Relu: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return relu_of(x); });
        case ActivationKind::Clip: return apply([=](Floats x) QUOIN_LAMBDA_INLINE { return clip_of(x, alpha, beta); });
        case ActivationKind::LeakyRelu:
            return apply([=](Floats x) QUOIN_LAMBDA_INLINE { return leaky_relu_of(x, alpha); });
        case ActivationKind::PRelu:
            return map_row(src, slopes, residual, columns, dst,
                           [](Floats x, Floats slope) QUOIN_LAMBDA_INLINE { return leaky_relu_of(x, slope); });
        case ActivationKind::Elu:
            return apply([=](Floats x) QUOIN_LAMBDA_INLINE { return elu_of(x, alpha, broadcast(1.0F)); });
        case ActivationKind::Selu:
            return apply([=](Floats x) QUOIN_LAMBDA_INLINE { return elu_of(x, alpha * beta, beta); });
        case ActivationKind::Sigmoid: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return sigmoid_of(x); });
        case ActivationKind::HardSigmoid:
            return apply([=](Floats x) QUOIN_LAMBDA_INLINE { return hard_sigmoid_of(x, alpha, beta); });
        case ActivationKind::HardSwish: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return hard_swish_of(x); });
        case ActivationKind::Silu:
            return apply([&](Floats x) QUOIN_LAMBDA_INLINE { return swish_of(x, activation.alpha); });
        case ActivationKind::Tanh: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return tanh_of(x); });
        case ActivationKind::Gelu: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return gelu_of(x); });
        case ActivationKind::GeluTanh: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return gelu_tanh_of(x); });
        case ActivationKind::Mish: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return mish_of(x); });
        case ActivationKind::Softplus: return apply([](Floats x) QUOIN_LAMBDA_INLINE { return softplus_of(x); });
    }
}

// What a kernel needs of an epilogue while it computes up to 32 columns, beginning with `column`. Room behind the last
// of them is filled up, so whole vectors may be read.
struct EpiloguePart {
    alignas(64) float bias[kPanelColumns];
    alignas(64) float slopes[kPanelColumns];
    Clamp clamp;
    const Activation* activation;
    bool residual_last;
    int64_t columns;

    QUOIN_INLINE EpiloguePart(const FloatEpilogue& epilogue, int64_t column, int64_t count)
        : clamp(clamp_of(epilogue)),
          activation(&epilogue.activation),
          residual_last(epilogue.residual_last),
          columns(count) {
        for (int64_t c = 0; c < kPanelColumns; ++c) {
            const bool inside = c < count;
            bias[c] = inside && epilogue.bias != nullptr ? epilogue.bias[column + c] : 0.0F;
            slopes[c] = inside && epilogue.activation.kind == ActivationKind::PRelu
                            ? epilogue.activation.slopes[column + c]
                            : 0.0F;
        }
    }
};

}  // namespace
}  // namespace quoin
