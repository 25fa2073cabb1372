// Linear over block formats with grids, and ternary ones.
#define QUOIN_FORMAT_LIST "kernels/block_formats_grid.inc"
#define QUOIN_GROUP_LIST "kernels/groups/linear_grid.inc"
#include "kernels/groups/linear_blocks.inc"
