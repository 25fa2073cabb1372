// A transposed convolution as convolutions: the outputs whose position leaves the same remainder when divided by the
// step read the same taps, with step 1. Each of these phases is an ordinary ConvolutionArgs whose results lie `step`
// apart. Part of kernels.h.
#pragma once

#include "kernels/window.h"

namespace quoin {

// What ONNX ConvTranspose says of one axis: output o gets source i times tap t where o = i * step + t * dilation - pad.
struct TransposedAxis {
    int64_t source;
    int64_t output;
    int64_t kernel;
    int64_t step;
    int64_t dilation;
    int64_t pad;
};

// Of one axis and phase (0..step-1): outputs phase, phase + step, ... ; tap j of the convolution is tap first_tap - j *
// tap_step of the weight. taps 0: only bias and activation reach these outputs.
struct TransposedPhase {
    int64_t outputs;
    int64_t taps;
    int64_t first_tap;
    int64_t tap_step;
    int64_t dilation;  // of the convolution
    int64_t pad;       // at its beginning; may be negative
};

constexpr TransposedPhase transposed_phase(const TransposedAxis& axis, int64_t phase) {
    TransposedPhase result = {};
    result.outputs = phase < axis.output ? (axis.output - phase + axis.step - 1) / axis.step : 0;
    result.tap_step = axis.kernel;
    result.dilation = 1;
    int64_t last_offset = 0;
    for (int64_t tap = 0; tap < axis.kernel; ++tap) {
        const int64_t reach = phase + axis.pad - tap * axis.dilation;  // of output `phase`, in steps of the source
        if (reach % axis.step != 0) continue;
        const int64_t offset = reach / axis.step;
        if (result.taps > 0) {
            result.tap_step = tap - result.first_tap;
            result.dilation = last_offset - offset;
        }
        result.first_tap = tap;
        last_offset = offset;
        ++result.taps;
    }
    // Later taps look further back, so the last of them is the first of the convolution.
    result.pad = -last_offset;
    return result;
}

}  // namespace quoin
