#include "quantize/encoders.h"

namespace quoin {

// Each defined by encoders_isa.cpp, compiled for that instruction set.
extern const EncoderTable encoder_table_baseline;
#if defined(__x86_64__) || defined(_M_X64)
extern const EncoderTable encoder_table_avx2;
extern const EncoderTable encoder_table_avx512;
#endif

namespace {

const EncoderTable& table_of([[maybe_unused]] Isa isa) {
#if defined(__x86_64__) || defined(_M_X64)
    if (isa >= Isa::Avx512) return encoder_table_avx512;
    if (isa >= Isa::Avx2) return encoder_table_avx2;
#endif
    return encoder_table_baseline;
}

}  // namespace

EncodeFunction encoder(DType dtype, Isa isa) {
    const EncoderTable& table = table_of(isa);
    switch (dtype) {
#define QUOIN_ENCODER(format, function) \
    case DType::format: return table.function;
        QUOIN_ENCODERS(QUOIN_ENCODER)
#undef QUOIN_ENCODER
        default: return nullptr;
    }
}

}  // namespace quoin
