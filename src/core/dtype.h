// Element types. Plain types carry the numbers of ONNX TensorProto.DataType, the block formats of GGUF 100 + their
// ggml type number, so both public specifications can be read beside this table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace quoin {

// X(enumerator, number, name, elements per block, bytes per block)
#define QUOIN_DTYPES(X)                                                          \
    X(F32, 1, "f32", 1, 4)                                                       \
    X(U8, 2, "u8", 1, 1)                                                         \
    X(I8, 3, "i8", 1, 1)                                                         \
    X(U16, 4, "u16", 1, 2)                                                       \
    X(I16, 5, "i16", 1, 2)                                                       \
    X(I32, 6, "i32", 1, 4)                                                       \
    X(I64, 7, "i64", 1, 8)                                                       \
    X(String, 8, "string", 1, 0) /* std::string: dtype.cpp puts its size here */ \
    X(Bool, 9, "bool", 1, 1)                                                     \
    X(F16, 10, "f16", 1, 2)                                                      \
    X(F64, 11, "f64", 1, 8)                                                      \
    X(U32, 12, "u32", 1, 4)                                                      \
    X(U64, 13, "u64", 1, 8)                                                      \
    X(BF16, 16, "bf16", 1, 2)                                                    \
    X(F8E4M3FN, 17, "f8e4m3fn", 1, 1)                                            \
    X(F8E4M3FNUZ, 18, "f8e4m3fnuz", 1, 1)                                        \
    X(F8E5M2, 19, "f8e5m2", 1, 1)                                                \
    X(F8E5M2FNUZ, 20, "f8e5m2fnuz", 1, 1)                                        \
    X(U4, 21, "u4", 2, 1)                                                        \
    X(I4, 22, "i4", 2, 1)                                                        \
    X(F4E2M1, 23, "f4e2m1", 2, 1)                                                \
    X(F8E8M0, 24, "f8e8m0", 1, 1)                                                \
    X(U2, 25, "u2", 4, 1)                                                        \
    X(I2, 26, "i2", 4, 1)                                                        \
    X(Q4_0, 102, "q4_0", 32, 18)                                                 \
    X(Q4_1, 103, "q4_1", 32, 20)                                                 \
    X(Q5_0, 106, "q5_0", 32, 22)                                                 \
    X(Q5_1, 107, "q5_1", 32, 24)                                                 \
    X(Q8_0, 108, "q8_0", 32, 34)                                                 \
    X(Q2_K, 110, "q2_k", 256, 84)                                                \
    X(Q3_K, 111, "q3_k", 256, 110)                                               \
    X(Q4_K, 112, "q4_k", 256, 144)                                               \
    X(Q5_K, 113, "q5_k", 256, 176)                                               \
    X(Q6_K, 114, "q6_k", 256, 210)                                               \
    X(IQ2_XXS, 116, "iq2_xxs", 256, 66)                                          \
    X(IQ2_XS, 117, "iq2_xs", 256, 74)                                            \
    X(IQ3_XXS, 118, "iq3_xxs", 256, 98)                                          \
    X(IQ1_S, 119, "iq1_s", 256, 50)                                              \
    X(IQ4_NL, 120, "iq4_nl", 32, 18)                                             \
    X(IQ3_S, 121, "iq3_s", 256, 110)                                             \
    X(IQ2_S, 122, "iq2_s", 256, 82)                                              \
    X(IQ4_XS, 123, "iq4_xs", 256, 136)                                           \
    X(IQ1_M, 129, "iq1_m", 256, 56)                                              \
    X(TQ1_0, 134, "tq1_0", 256, 54)                                              \
    X(TQ2_0, 135, "tq2_0", 256, 66)                                              \
    X(MXFP4, 139, "mxfp4", 32, 17)                                               \
    X(Q8Row, 200, "q8_row", 128, 228) /* activations quantised row by row, see kernels/layout.h */

enum class DType : uint8_t {
    Undefined = 0,
#define QUOIN_DTYPE(enumerator, number, name, elements, bytes) enumerator = number,
    QUOIN_DTYPES(QUOIN_DTYPE)
#undef QUOIN_DTYPE
};

struct DTypeInfo {
    DType dtype;
    std::string_view name;
    int32_t block_elements;
    int32_t block_bytes;
};

// The row of the table; Undefined and numbers that are no dtype give a row named "undefined" with block_bytes 0.
const DTypeInfo& dtype_info(DType dtype);
inline std::string_view dtype_name(DType dtype) {
    return dtype_info(dtype).name;
}
std::optional<DType> dtype_from_name(std::string_view name);
// Numbers as they stand in files: ONNX data types below 100, ggml types as 100 + type; nullopt when unknown.
std::optional<DType> dtype_from_number(uint32_t number);
// True for formats that store several elements with a common scale.
bool is_block_format(DType dtype);

// How a matrix of integers that is packed for products is scaled: value = (code - zero point) * scale, and `block`
// values of a row in turn share both.
struct CodeBlocks {
    int64_t block = 0;                     // a multiple of 16, at most 128
    DType scales = DType::F32;             // or F16, BF16
    DType zero_points = DType::Undefined;  // U8 or the type of a scale; Undefined: all are `zero_point`
    int32_t zero_point = 0;

    bool operator==(const CodeBlocks&) const = default;
};

// Bytes of `count` elements in whole blocks; nullopt when count is negative, no multiple of the block, or too large.
std::optional<size_t> byte_size(DType dtype, int64_t count);

}  // namespace quoin
