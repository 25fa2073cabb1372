// All encoders for one instruction set. CMake compiles this file once per instruction set with that set's compiler
// flags and QUOIN_ENCODER_TABLE, the one symbol that the object may export: as in kernels/groups/begin.h, nothing out
// of a header may stay out of line, so everything is in an anonymous namespace and no standard header with code is
// included.
#include "quantize/encoders.h"

// Later files use earlier ones.
// clang-format off
#include "quantize/lanes.inl"
#include "quantize/levels.inl"
#include "quantize/search_scale.inl"
#include "quantize/search_affine.inl"
#include "quantize/encode_float.inl"
#include "quantize/encode_block32.inl"
#include "quantize/encode_scaled_k.inl"
#include "quantize/encode_affine_k.inl"
#include "quantize/encode_ternary.inl"
// clang-format on

namespace quoin {

extern const EncoderTable QUOIN_ENCODER_TABLE;
const EncoderTable QUOIN_ENCODER_TABLE = {
#define QUOIN_ENCODER(dtype, function) &function,
    QUOIN_ENCODERS(QUOIN_ENCODER)
#undef QUOIN_ENCODER
};

}  // namespace quoin
