// Packed weights of ChannelsLastConv and ChannelsLastIntegerConv, shared with the pass that packs them.
#pragma once

#include "core/runtime.h"
#include "core/status.h"
#include "graph/graph.h"

namespace quoin {

// The f32 weight in the order its kernel reads, in new memory: panels for each group one after the other, or
// [taps][OC] when it is depthwise. InvalidModel when the group does not divide OC.
Result<Constant> pack_convolution(const Runtime& runtime, const Constant& weight, int64_t group, std::string_view name);

// The same for the i8 or u8 weight of ChannelsLastIntegerConv, which may be a matrix [OC, C].
Result<Constant> pack_integer_convolution(const Runtime& runtime, const Constant& weight, int64_t group,
                                          std::string_view name);

// Why ChannelsLastConvTranspose does not take a node with these attributes and this weight [C, OC / group, kernel...].
Status check_transposed_convolution(const Node& node, const Shape& weight);
// The f32 weight of such a node in the order its kernel reads.
Result<Constant> pack_transposed_convolution(const Runtime& runtime, const Constant& weight, const Node& node);

}  // namespace quoin
