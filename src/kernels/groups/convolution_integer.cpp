// Convolution and depthwise convolution of 8-bit integers.
#include "kernels/groups/begin.h"
#include "kernels/simd_bytes.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/epilogue.inl"
#include "kernels/positions.inl"
#include "kernels/finish_row.inl"
#include "kernels/bytes.inl"
#include "kernels/integer_result.inl"
#include "kernels/convolution_integer.inl"
#include "kernels/slide.inl"
#include "kernels/depthwise_quads.inl"
#include "kernels/depthwise_integer.inl"
#include "kernels/add_quantized.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/convolution_integer.inc"
#include "kernels/groups/end.inc"
