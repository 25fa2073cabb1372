// Windows of odd shapes, and convolution in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernel_test.h"

namespace quoin::test {

struct WindowCase {
    int64_t source[3];
    int64_t kernel[3];
    int64_t step[3];
    int64_t dilation[3];
    int64_t pad[3];
    int64_t pad_end[3];
};

inline Window make_window(const WindowCase& c, int64_t pixel_stride) {
    Window window = {};
    int64_t stride = pixel_stride;
    for (int axis = 2; axis >= 0; --axis) {
        window.source[axis] = c.source[axis];
        window.source_stride[axis] = stride;
        stride *= c.source[axis];
        window.kernel[axis] = c.kernel[axis];
        window.step[axis] = c.step[axis];
        window.dilation[axis] = c.dilation[axis];
        window.pad[axis] = c.pad[axis];
        const int64_t span =
            c.source[axis] + c.pad[axis] + c.pad_end[axis] - (c.kernel[axis] - 1) * c.dilation[axis] - 1;
        window.output[axis] = span / c.step[axis] + 1;
    }
    return window;
}

inline void set_strides(const Window& window, int64_t pixel_stride, int64_t* stride) {
    stride[2] = pixel_stride;
    stride[1] = pixel_stride * window.output[2];
    stride[0] = stride[1] * window.output[1];
}

// body(tap, offset of the source pixel) for every tap of an output position that does not fall on padding.
template <class Body>
void for_taps(const Window& window, int64_t position, Body body) {
    const int64_t at[3] = {position / window.output[2] / window.output[1],
                           position / window.output[2] % window.output[1], position % window.output[2]};
    int64_t tap = 0;
    for (int64_t d = 0; d < window.kernel[0]; ++d) {
        for (int64_t h = 0; h < window.kernel[1]; ++h) {
            for (int64_t w = 0; w < window.kernel[2]; ++w, ++tap) {
                const int64_t taps[3] = {d, h, w};
                int64_t offset = 0;
                bool inside = true;
                for (int axis = 0; axis < 3; ++axis) {
                    const int64_t i =
                        at[axis] * window.step[axis] + taps[axis] * window.dilation[axis] - window.pad[axis];
                    inside &= i >= 0 && i < window.source[axis];
                    offset += i * window.source_stride[axis];
                }
                if (inside) body(tap, offset);
            }
        }
    }
}

inline double activated(const Activation& a, double x, int64_t column) {
    const double alpha = static_cast<double>(a.alpha);
    const double beta = static_cast<double>(a.beta);
    switch (a.kind) {
        case ActivationKind::None: return x;
        case ActivationKind::Relu: return std::max(x, 0.0);
        case ActivationKind::Clip: return std::min(std::max(x, alpha), beta);
        case ActivationKind::LeakyRelu: return x < 0 ? alpha * x : x;
        case ActivationKind::PRelu: return x < 0 ? static_cast<double>(a.slopes[column]) * x : x;
        case ActivationKind::Elu: return x < 0 ? alpha * std::expm1(x) : x;
        case ActivationKind::Selu: return beta * (x < 0 ? alpha * std::expm1(x) : x);
        case ActivationKind::Sigmoid: return 1 / (1 + std::exp(-x));
        case ActivationKind::HardSigmoid: return std::max(0.0, std::min(1.0, alpha * x + beta));
        case ActivationKind::HardSwish: return x * std::max(0.0, std::min(1.0, x / 6 + 0.5));
        case ActivationKind::Silu: return x / (1 + std::exp(-alpha * x));
        case ActivationKind::Tanh: return std::tanh(x);
        case ActivationKind::Gelu: return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
        case ActivationKind::GeluTanh: return x / (1 + std::exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
        case ActivationKind::Mish: return x * std::tanh(std::log1p(std::exp(x)));
        case ActivationKind::Softplus: return std::log1p(std::exp(x));
    }
    return 0;
}

struct NamedActivation {
    ActivationKind kind;
    float alpha;
    float beta;
};
inline constexpr NamedActivation kActivations[] = {
    {ActivationKind::None, 0, 0},
    {ActivationKind::Relu, 0, 0},
    {ActivationKind::Clip, -0.5F, 1.25F},
    {ActivationKind::LeakyRelu, 0.1F, 0},
    {ActivationKind::PRelu, 0, 0},
    {ActivationKind::Elu, 1.5F, 0},
    {ActivationKind::Selu, 1.6732632F, 1.0507010F},
    {ActivationKind::Sigmoid, 0, 0},
    {ActivationKind::HardSigmoid, 0.2F, 0.5F},
    {ActivationKind::HardSwish, 0, 0},
    {ActivationKind::Silu, 1.0F, 0},
    {ActivationKind::Tanh, 0, 0},
    {ActivationKind::Gelu, 0, 0},
    {ActivationKind::GeluTanh, 0, 0},
    {ActivationKind::Mish, 0, 0},
    {ActivationKind::Softplus, 0, 0},
};

}  // namespace quoin::test
