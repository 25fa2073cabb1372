// Matrices of integers with a scale for each block of a row: what DequantizeBlocks means, and their panels for Linear.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/runtime.h"
#include "core/status.h"
#include "graph/graph.h"

namespace quoin {

// Whether Linear can read rows of `columns` elements of this type in blocks of `block`, each with a scale of its own.
bool packs_codes(DType codes, DType scales, int64_t block, int64_t columns);

// The block format in which a DequantizeBlocks node is packed; Undefined: as it is.
DType chosen_format(const Node& node);

// Bytes of what a DequantizeBlocks node makes, as panels (kernels/layout.h). Unsupported where Linear cannot read it.
Result<size_t> packed_code_bytes(const Graph& graph, const Node& node);

// What the node makes, as panels at `place`, which has packed_code_bytes(); made on all threads of the runtime's team.
// The pages of the codes' source are given back.
Result<Constant> pack_codes(const Runtime& runtime, const Graph& graph, const Node& node,
                            std::shared_ptr<std::byte> place);

// One column of a panel, K values: (code - zero point) * scale.
void unpack_code_column(DType codes, const CodeBlocks& form, const std::byte* panel, int64_t column, int64_t inner,
                        float* dst);

}  // namespace quoin
