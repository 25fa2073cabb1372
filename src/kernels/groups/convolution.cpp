// Convolution of channels-last f32, and the product of two matrices on the same tiles.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/epilogue.inl"
#include "kernels/positions.inl"
#include "kernels/finish_row.inl"
#include "kernels/convolution.inl"
#include "kernels/quads.inl"
#include "kernels/matmul.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/convolution.inc"
#include "kernels/groups/end.inc"
