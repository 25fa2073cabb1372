// Linear over block formats with grids, and ternary ones.
#include "kernels/groups/begin.h"

// Later files use earlier ones.
// clang-format off
#include "kernels/panel_block.inl"
#include "kernels/math.inl"
#include "kernels/epilogue.inl"
#include "kernels/linear.inl"
#include "kernels/integer_codes.inl"
#include "kernels/integer_tile.inl"
#include "kernels/pair_tile.inl"
#include "kernels/linear_integer.inl"
// clang-format on

namespace quoin {
namespace {

#define QUOIN_BLOCK_FORMAT(type, name)           \
    void linear_##name(const LinearArgs& args) { \
        linear<IntegerPanel<DType::type>>(args); \
    }
#include "kernels/block_formats_grid.inc"
#undef QUOIN_BLOCK_FORMAT

}  // namespace
}  // namespace quoin

#define QUOIN_GROUP_LIST "kernels/groups/linear_grid.inc"
#include "kernels/groups/end.inc"
