// Functions of rows of floats, element by element, and reductions.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/functions.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/functions.inc"
#include "kernels/groups/end.inc"
