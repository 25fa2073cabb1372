// The header of a GGUF file that is made from another: keys as they were, some of them replaced; new tensor types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/status.h"
#include "load/gguf.h"

namespace quoin {

// A key of type u32 that is set in the new file, in its place or at the end.
struct NumberKey {
    std::string_view name;
    uint32_t value = 0;
};

struct GgufLayout {
    std::vector<std::byte> header;  // up to the first tensor's byte, padding included
    std::vector<uint64_t> offsets;  // of the tensors, from the beginning of the file
    uint64_t file_bytes = 0;        // padding behind the last tensor included, as other readers expect it
};

// Version 3, tensors in the order of `source` with the types of `dtypes`, one for each, whose rows must be whole
// blocks. All other keys are copied byte for byte. Unsupported when a size overflows.
Result<GgufLayout> lay_out_gguf(const GgufFile& source, const std::vector<DType>& dtypes,
                                const std::vector<NumberKey>& keys);

}  // namespace quoin
