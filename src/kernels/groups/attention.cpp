// Attention over KV pages of every kind.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/attention.inl"
#include "kernels/attention_float.inl"
#include "kernels/attention_bf16.inl"
#include "kernels/attention_integer.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/attention.inc"
#include "kernels/groups/end.inc"
