#include "core/dtype.h"

#include <algorithm>
#include <array>
#include <string>

namespace quoin {
namespace {

constexpr DTypeInfo kUndefined{DType::Undefined, "undefined", 1, 0};
constexpr auto kTable = std::to_array<DTypeInfo>({
#define QUOIN_DTYPE(enumerator, number, name, elements, bytes) \
    {DType::enumerator, name, elements, (bytes) == 0 ? static_cast<int32_t>(sizeof(std::string)) : (bytes)},
    QUOIN_DTYPES(QUOIN_DTYPE)
#undef QUOIN_DTYPE
});

}  // namespace

const DTypeInfo& dtype_info(DType dtype) {
    const auto* const row = std::ranges::find(kTable, dtype, &DTypeInfo::dtype);
    return row == kTable.end() ? kUndefined : *row;
}

std::optional<DType> dtype_from_name(std::string_view name) {
    const auto* const row = std::ranges::find(kTable, name, &DTypeInfo::name);
    return row == kTable.end() ? std::nullopt : std::optional(row->dtype);
}

std::optional<DType> dtype_from_number(uint32_t number) {
    const auto* const row =
        std::ranges::find(kTable, number, [](const DTypeInfo& info) { return static_cast<uint32_t>(info.dtype); });
    return row == kTable.end() ? std::nullopt : std::optional(row->dtype);
}

bool is_block_format(DType dtype) {
    return dtype_info(dtype).block_elements > 4;
}

std::optional<size_t> byte_size(DType dtype, int64_t count) {
    const DTypeInfo& info = dtype_info(dtype);
    if (count < 0 || info.block_bytes == 0) return std::nullopt;
    // int4 tensors may end in half a byte; block formats may not end inside a block.
    const int64_t blocks = count / info.block_elements + (count % info.block_elements != 0 ? 1 : 0);
    if (is_block_format(dtype) && count % info.block_elements != 0) return std::nullopt;
    int64_t bytes = 0;
    if (__builtin_mul_overflow(blocks, static_cast<int64_t>(info.block_bytes), &bytes)) return std::nullopt;
    return static_cast<size_t>(bytes);
}

}  // namespace quoin
