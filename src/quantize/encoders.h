// Rows of floats to the formats that files hold.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cpu_info.h"
#include "core/dtype.h"

namespace quoin {

// `count` floats, all finite and a multiple of the format's block, to `dst` in the layout of the file: blocks one after
// another. Scales and codes are those of least squared error that a search finds; a block depends on nothing but its
// own floats, and the instruction set changes speed only. What lies beyond the format's range becomes the nearest value
// in it. Any thread may call; allocates nothing.
using EncodeFunction = void (*)(const float* src, int64_t count, std::byte* dst);

// Formats that can be written: X(dtype of core/dtype.h, function)
#define QUOIN_ENCODERS(X)    \
    X(F32, encode_f32)       \
    X(F16, encode_f16)       \
    X(BF16, encode_bf16)     \
    X(Q4_0, encode_q4_0)     \
    X(Q4_1, encode_q4_1)     \
    X(Q5_0, encode_q5_0)     \
    X(Q5_1, encode_q5_1)     \
    X(Q8_0, encode_q8_0)     \
    X(Q2_K, encode_q2_k)     \
    X(Q3_K, encode_q3_k)     \
    X(Q4_K, encode_q4_k)     \
    X(Q5_K, encode_q5_k)     \
    X(Q6_K, encode_q6_k)     \
    X(IQ4_NL, encode_iq4_nl) \
    X(IQ4_XS, encode_iq4_xs) \
    X(MXFP4, encode_mxfp4)   \
    X(TQ1_0, encode_tq1_0)   \
    X(TQ2_0, encode_tq2_0)

struct EncoderTable {
#define QUOIN_ENCODER(dtype, function) EncodeFunction function;
    QUOIN_ENCODERS(QUOIN_ENCODER)
#undef QUOIN_ENCODER
};

// nullptr for a format that cannot be written.
EncodeFunction encoder(DType dtype, Isa isa);

}  // namespace quoin
