// Norms, activations, rotary embedding, KV stores, quantised activations, and the probes of the machine.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/math.inl"
#include "kernels/norm.inl"
#include "kernels/elementwise.inl"
#include "kernels/rotary.inl"
#include "kernels/kv_store.inl"
#include "kernels/quantize.inl"
#include "kernels/simd_amx.h"
#include "kernels/probe.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/rows.inc"
#include "kernels/groups/end.inc"
