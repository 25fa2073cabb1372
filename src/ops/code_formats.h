// Codes with scales as blocks of GGUF's formats, whose products take activations rounded to 8 bits.
#pragma once

#include <cstddef>
#include <memory>

#include "core/runtime.h"
#include "core/status.h"
#include "graph/graph.h"

namespace quoin {

// The block format that says the same as the constants of a DequantizeBlocks node: q4_0 for 4 bits around 8, q4_1 for 4
// bits with other zero points, q8_0 for 8 bits around 128. Undefined where there is none: other bits, blocks that are
// not multiples of 32 values, zero points beyond the codes, scales that halves cannot hold. Halves round the scales by
// 2^-12 at most, an eighth of what rounding activations costs.
Result<DType> block_format_of(const Graph& graph, const Node& node);

// The node's weight as panels of that format at `place`, which has packed_bytes() of it; made on all threads of the
// runtime's team. The pages of the codes' source are given back.
Result<Constant> pack_codes_in_format(const Runtime& runtime, const Graph& graph, const Node& node, DType format,
                                      std::shared_ptr<std::byte> place);

}  // namespace quoin
