// The vocabulary of simd.h in NEON as every 64-bit Arm has it, with SDOT and SMMLA when compiled for them. What the
// words mean stands in simd_avx512.h.
#pragma once

#include <arm_neon.h>

#include "kernels/layout.h"

namespace quoin {
namespace {

#if defined(QUOIN_ISA_I8MM)
constexpr Isa kThisIsa = Isa::I8mm;
#elif defined(QUOIN_ISA_DOTPROD)
constexpr Isa kThisIsa = Isa::DotProd;
#else
constexpr Isa kThisIsa = Isa::Baseline;
#endif

using Floats = float32x4_t;
using Ints = int32x4_t;
constexpr int64_t kLanes = 4;

// Of 32 registers: 24 float accumulators; 12 integer accumulators beside 12 float ones, or 12 pairs of 16-bit ones.
constexpr int kFloatTileRows = 12;
constexpr int kFloatTileVectors = 2;
// Rows of an integer tile over bytes of this form.
constexpr int integer_tile_rows(Bytes /*bytes*/) {
    return kThisIsa == Isa::Baseline ? 4 : 6;
}
constexpr int kIntegerTileVectors = 2;

QUOIN_INLINE Floats zeros() {
    return vdupq_n_f32(0);
}
QUOIN_INLINE Floats broadcast(float x) {
    return vdupq_n_f32(x);
}
QUOIN_INLINE Floats load(const float* p) {
    return vld1q_f32(p);
}
QUOIN_INLINE Floats load_first(const float* p, int64_t n) {
    float lanes[4] = {};
    for (int i = 0; i < 4; ++i) {
        if (i < n) lanes[i] = p[i];
    }
    return vld1q_f32(lanes);
}
QUOIN_INLINE void store(float* p, Floats x) {
    vst1q_f32(p, x);
}
QUOIN_INLINE void store_first(float* p, Floats x, int64_t n) {
    float lanes[4];
    vst1q_f32(lanes, x);
    for (int i = 0; i < 4; ++i) {
        if (i < n) p[i] = lanes[i];
    }
}
QUOIN_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return vfmaq_f32(c, a, b);
}
// Not vminq and vmaxq, which give NaN when either is.
QUOIN_INLINE Floats minimum(Floats a, Floats b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
QUOIN_INLINE Floats maximum(Floats a, Floats b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
QUOIN_INLINE Floats absolute(Floats a) {
    return vabsq_f32(a);
}
QUOIN_INLINE Floats copy_sign(Floats magnitude, Floats sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000U), sign, magnitude);
}
QUOIN_INLINE Floats select_less(Floats a, Floats b, Floats x, Floats y) {
    return vbslq_f32(vcltq_f32(a, b), x, y);
}
QUOIN_INLINE Floats keep_range(Floats x, int64_t first, int64_t last, Floats other) {
    const auto clamp = [](int64_t n) { return static_cast<int32_t>(n < 0 ? 0 : n > kLanes ? kLanes : n); };
    const Ints lane = {0, 1, 2, 3};
    const uint32x4_t keep =
        vandq_u32(vcgeq_s32(lane, vdupq_n_s32(clamp(first))), vcltq_s32(lane, vdupq_n_s32(clamp(last))));
    return vbslq_f32(keep, x, other);
}
QUOIN_INLINE float sum_floats(Floats x) {
    const float32x2_t two = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(vpadd_f32(two, two), 0);
}
QUOIN_INLINE float first_lane(Floats x) {
    return vgetq_lane_f32(x, 0);
}
QUOIN_INLINE float largest(Floats x) {
    return vmaxvq_f32(x);
}

QUOIN_INLINE Ints broadcast_int(int32_t x) {
    return vdupq_n_s32(x);
}
QUOIN_INLINE Ints round_to_ints(Floats x) {
    return vcvtnq_s32_f32(x);
}
QUOIN_INLINE Floats to_floats(Ints x) {
    return vcvtq_f32_s32(x);
}
QUOIN_INLINE Ints as_ints(Floats x) {
    return vreinterpretq_s32_f32(x);
}
QUOIN_INLINE Floats as_floats(Ints x) {
    return vreinterpretq_f32_s32(x);
}
QUOIN_INLINE Ints add_ints(Ints a, Ints b) {
    return vaddq_s32(a, b);
}
QUOIN_INLINE Ints subtract_ints(Ints a, Ints b) {
    return vsubq_s32(a, b);
}
QUOIN_INLINE Ints and_ints(Ints a, Ints b) {
    return vandq_s32(a, b);
}
QUOIN_INLINE Ints or_ints(Ints a, Ints b) {
    return vorrq_s32(a, b);
}
QUOIN_INLINE Ints xor_ints(Ints a, Ints b) {
    return veorq_s32(a, b);
}
QUOIN_INLINE Ints max_ints(Ints a, Ints b) {
    return vmaxq_s32(a, b);
}
template <int kBits>
QUOIN_INLINE Ints shift_left(Ints x) {
    return vshlq_n_s32(x, kBits);
}
template <int kBits>
QUOIN_INLINE Ints shift_right_arithmetic(Ints x) {
    return vshrq_n_s32(x, kBits);
}
QUOIN_INLINE int32_t sum_ints(Ints x) {
    return vaddvq_s32(x);
}
QUOIN_INLINE int32_t largest_int(Ints x) {
    return vmaxvq_s32(x);
}

// ---- Bytes ----
QUOIN_INLINE int8x16_t as_bytes(Ints x) {
    return vreinterpretq_s8_s32(x);
}
QUOIN_INLINE Ints load_ints(const std::byte* p) {
    return vreinterpretq_s32_u8(vld1q_u8(reinterpret_cast<const uint8_t*>(p)));
}
QUOIN_INLINE void store_ints(std::byte* p, Ints x) {
    vst1q_u8(reinterpret_cast<uint8_t*>(p), vreinterpretq_u8_s32(x));
}
QUOIN_INLINE void store_as_bytes(std::byte* p, Ints x) {
    const int16x4_t words = vmovn_s32(x);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    const int32_t quad = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    __builtin_memcpy(p, &quad, sizeof(quad));
}
QUOIN_INLINE uint8x8_t load_quad(const std::byte* p) {
    uint32_t quad;
    __builtin_memcpy(&quad, p, sizeof(quad));
    return vcreate_u8(quad);
}
QUOIN_INLINE Ints load_bytes(const std::byte* p) {
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(load_quad(p)))));
}
QUOIN_INLINE Ints load_signed_bytes(const std::byte* p) {
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(load_quad(p)))));
}
QUOIN_INLINE Ints broadcast_byte(int x) {
    return vreinterpretq_s32_s8(vdupq_n_s8(static_cast<int8_t>(x)));
}
QUOIN_INLINE Ints add_bytes(Ints a, Ints b) {
    return vreinterpretq_s32_s8(vaddq_s8(as_bytes(a), as_bytes(b)));
}
template <int kBits>
QUOIN_INLINE Ints shift_words(Ints x) {
    if constexpr (kBits > 0) return vreinterpretq_s32_u16(vshlq_n_u16(vreinterpretq_u16_s32(x), kBits));
    if constexpr (kBits < 0) return vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(x), -kBits));
    return x;
}
template <int kBits>
QUOIN_INLINE Ints shift_words_arithmetic(Ints x) {
    return vreinterpretq_s32_s16(vshrq_n_s16(vreinterpretq_s16_s32(x), kBits));
}
QUOIN_INLINE Ints look_up(const int8_t* table, Ints index) {
    return vreinterpretq_s32_s8(vqtbl1q_s8(vld1q_s8(table), vreinterpretq_u8_s32(index)));
}

// ---- Halves ----
QUOIN_INLINE uint16x4_t load_halves(const std::byte* p) {
    uint64_t halves;
    __builtin_memcpy(&halves, p, sizeof(halves));
    return vcreate_u16(halves);
}
QUOIN_INLINE Floats load_f16(const std::byte* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(p)));
}
QUOIN_INLINE void store_f16(std::byte* p, Floats x) {
    const uint64_t halves = vget_lane_u64(vreinterpret_u64_f16(vcvt_f16_f32(x)), 0);
    __builtin_memcpy(p, &halves, sizeof(halves));
}
QUOIN_INLINE float f16_to_float(uint16_t half) {
    return first_lane(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))));
}
QUOIN_INLINE uint16_t float_to_f16(float x) {
    return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(broadcast(x))), 0);
}
QUOIN_INLINE Floats load_bf16(const std::byte* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(load_halves(p), 16));
}
QUOIN_INLINE Floats low_bf16(Ints pairs) {
    return as_floats(shift_left<16>(pairs));
}
QUOIN_INLINE Floats high_bf16(Ints pairs) {
    return as_floats(and_ints(pairs, broadcast_int(static_cast<int32_t>(0xFFFF0000U))));
}

// ---- Pairs (rotary) ----
QUOIN_INLINE Floats twice_low(Floats x) {
    return vzip1q_f32(x, x);
}
QUOIN_INLINE Floats twice_high(Floats x) {
    return vzip2q_f32(x, x);
}
QUOIN_INLINE Floats swap_pairs(Floats x) {
    return vrev64q_f32(x);
}
QUOIN_INLINE Floats negate_even(Floats x) {
    const Ints sign = {INT32_MIN, 0, INT32_MIN, 0};
    return as_floats(xor_ints(as_ints(x), sign));
}

// ---- Integer dot products ----
QUOIN_INLINE Ints broadcast_quad(const std::byte* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof(quad));
    return vdupq_n_s32(quad);
}
#if defined(QUOIN_ISA_DOTPROD)
// Dot products of 16 or 32 bytes of weights and activations in steps of 4 to a lane. Both are signed here.
constexpr Bytes kWideBytes = Bytes::Any;
constexpr int kAnyBytesOffset = 0;
template <Bytes, bool>
struct ByteDot {
    Ints state;
    QUOIN_INLINE void begin(const std::byte*) { state = broadcast_int(0); }
    template <int, int>
    QUOIN_INLINE void step(Ints weights, Ints activations) {
        any_step(weights, activations);
    }
    QUOIN_INLINE void any_step(Ints weights, Ints activations) {
        state = vdotq_s32(state, as_bytes(weights), as_bytes(activations));
    }
    QUOIN_INLINE Ints end(const std::byte*, int) const { return state; }
};
#if defined(QUOIN_ISA_I8MM)
// Steps of 8 bytes of two rows and of two columns, all signed, to lanes "row 0: both columns, row 1: both columns".
template <Bytes>
struct PairDot {
    Ints state;
    QUOIN_INLINE void begin() { state = broadcast_int(0); }
    QUOIN_INLINE void step(Ints columns, Ints rows) { state = vmmlaq_s32(state, as_bytes(rows), as_bytes(columns)); }
    static QUOIN_INLINE Ints rows(const std::byte* first, const std::byte* second) {
        return vreinterpretq_s32_u64(vcombine_u64(load_eight(first), load_eight(second)));
    }
    // Of four columns, 4 bytes and the next 4: columns 0 and 1, columns 2 and 3.
    static QUOIN_INLINE Ints low_columns(Ints bytes, Ints next) { return vzip1q_s32(bytes, next); }
    static QUOIN_INLINE Ints high_columns(Ints bytes, Ints next) { return vzip2q_s32(bytes, next); }
    // Two lanes of each: from rows of four columns to such lanes and back.
    static QUOIN_INLINE Floats low_lanes(Floats a, Floats b) {
        return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
    }
    static QUOIN_INLINE Floats high_lanes(Floats a, Floats b) {
        return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
    }

private:
    static QUOIN_INLINE uint64x1_t load_eight(const std::byte* p) {
        uint64_t eight;
        __builtin_memcpy(&eight, p, sizeof(eight));
        return vcreate_u64(eight);
    }
};
#endif
#else
constexpr Bytes kWideBytes = Bytes::Signed;
constexpr int kAnyBytesOffset = 0;
template <Bytes kBytes, bool kOffset>
struct ByteDot {
    // Steps whose products stay below 32768 together; each adds one to a 16-bit lane.
    static constexpr int kFit = kBytes == Bytes::UpTo15 || kBytes == Bytes::UpTo31 ? 8
                                : kBytes == Bytes::UpTo63                          ? 4
                                                                                   : 2;
    int16x8_t low;  // products of lanes 0 and 1
    int16x8_t high;
    Ints low_sum;  // two to a lane of weights
    Ints high_sum;

    QUOIN_INLINE void begin(const std::byte*) { low_sum = high_sum = broadcast_int(0); }
    template <int kStep, int kSteps>
    QUOIN_INLINE void step(Ints weights, Ints activations) {
        const int8x16_t w = as_bytes(weights);
        const int8x16_t a = as_bytes(activations);
        if constexpr (kStep % kFit == 0) {
            low = vmull_s8(vget_low_s8(w), vget_low_s8(a));
            high = vmull_high_s8(w, a);
        } else {
            low = vmlal_s8(low, vget_low_s8(w), vget_low_s8(a));
            high = vmlal_high_s8(high, w, a);
        }
        if constexpr (kStep % kFit == kFit - 1 || kStep == kSteps - 1) {
            low_sum = vpadalq_s16(low_sum, low);
            high_sum = vpadalq_s16(high_sum, high);
        }
    }
    // Steps in any order.
    QUOIN_INLINE void any_step(Ints weights, Ints activations) {
        const int8x16_t w = as_bytes(weights);
        const int8x16_t a = as_bytes(activations);
        low_sum = vpadalq_s16(low_sum, vmull_s8(vget_low_s8(w), vget_low_s8(a)));
        high_sum = vpadalq_s16(high_sum, vmull_high_s8(w, a));
    }
    // weight = byte - taken_off, a power of two.
    QUOIN_INLINE Ints end(const std::byte* offset, int taken_off) const {
        const Ints sum = vpaddq_s32(low_sum, high_sum);
        if constexpr (kBytes == Bytes::Signed || !kOffset) {
            return sum;
        } else {
            const int bits = 7 - __builtin_ctz(static_cast<unsigned>(taken_off));
            return add_ints(sum, vshlq_s32(broadcast_quad(offset), vdupq_n_s32(-bits)));
        }
    }
};
#endif

// ---- Pairs of 16-bit integers (attention) ----
QUOIN_INLINE Ints widen_bytes(const std::byte* p) {
    return vreinterpretq_s32_s16(vmovl_s8(vld1_s8(reinterpret_cast<const int8_t*>(p))));
}
QUOIN_INLINE Ints pair_dot(Ints acc, Ints a, Ints b) {
    const int16x8_t x = vreinterpretq_s16_s32(a);
    const int16x8_t y = vreinterpretq_s16_s32(b);
    return vaddq_s32(acc, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}

// ---- Peaks ----
template <class T>
QUOIN_INLINE void opaque(T& x) {
    asm volatile("" : "+w"(x));
}
QUOIN_INLINE Ints probe_int8_step(Ints acc, Ints a, Ints b) {
#if defined(QUOIN_ISA_I8MM)
    return vmmlaq_s32(acc, as_bytes(a), as_bytes(b));
#elif defined(QUOIN_ISA_DOTPROD)
    return vdotq_s32(acc, as_bytes(a), as_bytes(b));
#else
    const int16x8_t low = vmull_s8(vget_low_s8(as_bytes(a)), vget_low_s8(as_bytes(b)));
    return vpadalq_s16(vpadalq_s16(acc, low), vmull_high_s8(as_bytes(a), as_bytes(b)));
#endif
}
constexpr bool kHasBf16Dot = false;

}  // namespace
}  // namespace quoin
