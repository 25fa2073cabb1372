// Depthwise convolution and pooling.
#include "kernels/groups/begin.h"
#include "kernels/simd_bytes.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/epilogue.inl"
#include "kernels/positions.inl"
#include "kernels/bytes.inl"
#include "kernels/slide.inl"
#include "kernels/depthwise.inl"
#include "kernels/pool.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/slide.inc"
#include "kernels/groups/end.inc"
