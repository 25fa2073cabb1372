// Who computes ChannelsLastConv and ChannelsLastIntegerConv: a provider packs the weight once and makes the node ready.
#pragma once

#include <string_view>

#include "ops/convolution_problem.h"
#include "ops/op_kernel.h"

namespace quoin {

// Inputs of ChannelsLastConv.
namespace channels_last_conv {
enum Input : size_t { kX, kWeight, kBias, kResidual, kSlopes };
}

struct ConvolutionQuery {
    const PrepareContext& context;
    ConvolutionProblem problem;
    Activation activation;  // without slopes
    bool residual_last = false;
    DType arithmetic = DType::F32;  // F32 or BF16: what may be multiplied

    bool has_input(size_t index) const { return context.node.input(index) != kNoValue; }
    const std::optional<std::vector<Dim>>& dims(size_t index) const {
        return context.graph.value(context.node.inputs[index]).dims;
    }
};
// Of a ChannelsLastConv with a constant weight, packed or not.
Result<ConvolutionQuery> convolution_query(const PrepareContext& context);

// What happens to the sums of a ChannelsLastConv.
struct ConvolutionEpilogue {
    Activation activation{};
    bool residual_last = false;

    // Pointers are for position 0 of this image and for the channels from `column` on.
    FloatEpilogue at(const Arguments& arguments, int64_t image, int64_t column) const;
};

struct ConvolutionProvider {
    Provider provider;
    // Whether it computes this, as fast or slowly as it may be.
    bool (*takes)(const ConvolutionQuery& query);
    // The weight, plain f32, as its node reads it.
    Result<Constant> (*pack)(const ConvolutionQuery& query, const Constant& weight, std::string_view name);
    // For a node whose weight it has packed.
    Result<std::unique_ptr<PreparedNode>> (*prepare)(const ConvolutionQuery& query);
};

// The first in the order for this problem that takes it, the wanted one before all others; null where nobody has this
// arithmetic.
const ConvolutionProvider* choose_convolution(const ConvolutionQuery& query);
// Null where the build is without it.
const ConvolutionProvider* find_convolution(Provider provider);

// ---- Integers

// Inputs of ChannelsLastIntegerConv.
namespace integer_conv {
enum Input : size_t { kX, kWeight, kScales, kBias, kWeightZeros, kFloatBias, kXScale, kXZero };
}

struct IntegerConvolutionQuery {
    const PrepareContext& context;
    ConvolutionProblem problem;
    Activation activation;
    DType to = DType::Undefined;  // u8, i8 or f32
    // Of the result, where it is integer.
    int32_t zero_point = 0;
    int32_t lowest = 0;
    int32_t highest = 0;

    bool has_input(size_t index) const { return context.node.input(index) != kNoValue; }
};

struct IntegerConvolutionProvider {
    Provider provider;
    bool (*takes)(const IntegerConvolutionQuery& query);
    Result<Constant> (*pack)(const IntegerConvolutionQuery& query, const Constant& weight, std::string_view name);
    Result<std::unique_ptr<PreparedNode>> (*prepare)(const IntegerConvolutionQuery& query);
};
const IntegerConvolutionProvider* choose_integer_convolution(const IntegerConvolutionQuery& query);
const IntegerConvolutionProvider* find_integer_convolution(Provider provider);

extern const IntegerConvolutionProvider kNativeIntegerConvolution;
extern const IntegerConvolutionProvider kOneDnnIntegerConvolution;

// ---- Floats, each in a file of its own
extern const ConvolutionProvider kNativeConvolution;
extern const ConvolutionProvider kOneDnnConvolution;
extern const ConvolutionProvider kEigenConvolution;
extern const ConvolutionProvider kReferenceConvolution;

}  // namespace quoin
