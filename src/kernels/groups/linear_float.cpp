// Linear over f32, f16 and bf16.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/tile.inl"
#include "kernels/math.inl"
#include "kernels/epilogue.inl"
#include "kernels/linear.inl"
#include "kernels/float_rows.inl"
#include "kernels/linear_float.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/linear_float.inc"
#include "kernels/groups/end.inc"
