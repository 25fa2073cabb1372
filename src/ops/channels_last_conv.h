// Packed weights of ChannelsLastConv and ChannelsLastIntegerConv, shared with the pass that packs them.
#pragma once

#include "ops/op_kernel.h"

namespace quoin {

struct PackedConvolution {
    Constant weight;
    Provider provider;  // whose name the node's attribute "provider" must be
};
// The plain f32 weight of a ChannelsLastConv as the provider that will compute it reads it, in new memory; with `bf16`
// rounded to bf16 where a provider multiplies such. InvalidModel when it does not fit the node.
Result<PackedConvolution> pack_convolution(const PrepareContext& context, bool bf16);

// The same for the i8 or u8 weight of a ChannelsLastIntegerConv, which may be a matrix [OC, C].
Result<PackedConvolution> pack_integer_convolution(const PrepareContext& context);

// Why ChannelsLastConvTranspose does not take a node with these attributes and this weight [C, OC / group, kernel...].
Status check_transposed_convolution(const Node& node, const Shape& weight);
// The f32 weight of such a node in the order its kernel reads.
Result<Constant> pack_transposed_convolution(const Runtime& runtime, const Constant& weight, const Node& node);

}  // namespace quoin
