// Linear over codes with scales.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/epilogue.inl"
#include "kernels/linear.inl"
#include "kernels/float_rows.inl"
#include "kernels/linear_codes.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/linear_codes.inc"
#include "kernels/groups/end.inc"
