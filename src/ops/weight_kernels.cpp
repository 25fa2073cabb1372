#include "ops/weight_kernels.h"

namespace quoin {

WeightKernels weight_kernels(const KernelTable& table, DType dtype) {
    switch (dtype) {
#define QUOIN_WEIGHT(type, suffix)                                                                                 \
    case DType::type:                                                                                              \
        return {Kernel::linear_##suffix, table.linear_##suffix, table.pack_##suffix, table.unpack_column_##suffix, \
                table.dequantize_##suffix};
        QUOIN_WEIGHT(F32, f32)
        QUOIN_WEIGHT(F16, f16)
        QUOIN_WEIGHT(BF16, bf16)
#define QUOIN_BLOCK_FORMAT QUOIN_WEIGHT
#include "kernels/block_formats.inc"
#undef QUOIN_BLOCK_FORMAT
#undef QUOIN_WEIGHT
        case DType::U2: return {.name = Kernel::linear_u2, .linear = table.linear_u2};
        case DType::U4: return {.name = Kernel::linear_u4, .linear = table.linear_u4};
        case DType::U8: return {.name = Kernel::linear_u8, .linear = table.linear_u8};
        default: return {};
    }
}

}  // namespace quoin
