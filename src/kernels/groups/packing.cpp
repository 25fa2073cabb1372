// Weights of the file to panels and back.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/convert.inl"
#include "kernels/pack.inl"
#include "kernels/panel_block.inl"
#include "kernels/block_decode.inl"
#include "kernels/grids.inl"
#include "kernels/block_decode_grid.inl"
#include "kernels/quads.inl"
#include "kernels/block_pack.inl"
// clang-format on

#define QUOIN_GROUP_LIST "kernels/groups/packing.inc"
#include "kernels/groups/end.inc"
