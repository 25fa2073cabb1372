// Linear over block formats whose numbers are evenly spaced or looked up one by one.
#define QUOIN_FORMAT_LIST "kernels/block_formats_plain.inc"
#define QUOIN_GROUP_LIST "kernels/groups/linear_plain.inc"
#include "kernels/groups/linear_blocks.inc"
