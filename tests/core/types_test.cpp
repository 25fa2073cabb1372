// Status, element types, shapes and the 16-bit floats.
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "core/dtype.h"
#include "core/half.h"
#include "core/shape.h"
#include "core/status.h"
#include "support/catch.h"

namespace quoin::test {
namespace {

// ---- Status and Result

TEST_CASE("success has no code and no text") {
    const Status status;
    CHECK(status.ok());
    CHECK(status.code() == StatusCode::Ok);
    CHECK(status.message().empty());
}

TEST_CASE("an error carries its code and all parts of its sentence") {
    const Status status = error(StatusCode::Io, "cannot read ", 3, " bytes of '", "a.gguf", "'");
    CHECK_FALSE(status.ok());
    CHECK(status.code() == StatusCode::Io);
    CHECK(status.message() == "cannot read 3 bytes of 'a.gguf'");
}

TEST_CASE("copies of an error are independent of the original") {
    Status original = error(StatusCode::NotFound, "no x");
    const Status copy = original;
    original = Status();
    CHECK(original.ok());
    CHECK(copy.code() == StatusCode::NotFound);
    CHECK(copy.message() == "no x");
}

TEST_CASE("context is put in front of an error and leaves success alone") {
    const Status status = with_context(error(StatusCode::InvalidModel, "too short"), "a.gguf: ");
    CHECK(status.code() == StatusCode::InvalidModel);
    CHECK(status.message() == "a.gguf: too short");
    CHECK(with_context(Status(), "a.gguf: ").ok());
}

TEST_CASE("every status code has its own name") {
    CHECK(std::string(to_string(StatusCode::Ok)) == "ok");
    CHECK(std::string(to_string(StatusCode::OutOfMemory)) == "out of memory");
    CHECK(std::string(to_string(StatusCode::Cancelled)) == "cancelled");
    CHECK(std::string(to_string(static_cast<StatusCode>(12345))) == "unknown status");
}

Result<int> half_of(int number) {
    if (number % 2 != 0) return error(StatusCode::InvalidArgument, number, " is odd");
    return number / 2;
}

Result<int> quarter_of(int number) {
    QUOIN_ASSIGN_OR_RETURN(const int half, half_of(number));
    return half_of(half);
}

Status check_even(int number) {
    QUOIN_RETURN_IF_ERROR(half_of(number).status());
    return {};
}

TEST_CASE("a result is a value or the reason why there is none") {
    CHECK(quarter_of(12).value() == 3);
    CHECK(quarter_of(12).status().ok());
    CHECK_FALSE(quarter_of(6).ok());
    CHECK(quarter_of(6).status().message() == "3 is odd");
    CHECK(quarter_of(5).status().message() == "5 is odd");
    CHECK(check_even(4).ok());
    CHECK(check_even(7).message() == "7 is odd");
}

// ---- Element types

struct Row {
    DType dtype;
    uint32_t number;
    const char* name;
    int32_t block_elements;
    int32_t block_bytes;
};

// Numbers below 100: TensorProto.DataType of onnx.proto. From 100 on: 100 + ggml_type; the bytes of a block are the
// sums of the fields of ggml's block_* structs (scales, minima, high bits, low bits), as the GGUF specification lists
// them.
constexpr auto kSpecification = std::to_array<Row>({
    {DType::F32, 1, "f32", 1, 4},
    {DType::U8, 2, "u8", 1, 1},
    {DType::I8, 3, "i8", 1, 1},
    {DType::U16, 4, "u16", 1, 2},
    {DType::I16, 5, "i16", 1, 2},
    {DType::I32, 6, "i32", 1, 4},
    {DType::I64, 7, "i64", 1, 8},
    {DType::String, 8, "string", 1, 32},  // of our own: ONNX gives strings no size
    {DType::Bool, 9, "bool", 1, 1},
    {DType::F16, 10, "f16", 1, 2},
    {DType::F64, 11, "f64", 1, 8},
    {DType::U32, 12, "u32", 1, 4},
    {DType::U64, 13, "u64", 1, 8},
    {DType::BF16, 16, "bf16", 1, 2},
    {DType::F8E4M3FN, 17, "f8e4m3fn", 1, 1},
    {DType::F8E4M3FNUZ, 18, "f8e4m3fnuz", 1, 1},
    {DType::F8E5M2, 19, "f8e5m2", 1, 1},
    {DType::F8E5M2FNUZ, 20, "f8e5m2fnuz", 1, 1},
    {DType::U4, 21, "u4", 2, 1},
    {DType::I4, 22, "i4", 2, 1},
    {DType::F4E2M1, 23, "f4e2m1", 2, 1},
    {DType::F8E8M0, 24, "f8e8m0", 1, 1},
    {DType::U2, 25, "u2", 4, 1},
    {DType::I2, 26, "i2", 4, 1},
    {DType::Q4_0, 100 + 2, "q4_0", 32, 2 + 32 / 2},
    {DType::Q4_1, 100 + 3, "q4_1", 32, 2 + 2 + 32 / 2},
    {DType::Q5_0, 100 + 6, "q5_0", 32, 2 + 32 / 8 + 32 / 2},
    {DType::Q5_1, 100 + 7, "q5_1", 32, 2 + 2 + 32 / 8 + 32 / 2},
    {DType::Q8_0, 100 + 8, "q8_0", 32, 2 + 32},
    {DType::Q2_K, 100 + 10, "q2_k", 256, 256 / 16 + 256 / 4 + 2 + 2},
    {DType::Q3_K, 100 + 11, "q3_k", 256, 256 / 8 + 256 / 4 + 12 + 2},
    {DType::Q4_K, 100 + 12, "q4_k", 256, 2 + 2 + 12 + 256 / 2},
    {DType::Q5_K, 100 + 13, "q5_k", 256, 2 + 2 + 12 + 256 / 8 + 256 / 2},
    {DType::Q6_K, 100 + 14, "q6_k", 256, 256 / 2 + 256 / 4 + 256 / 16 + 2},
    {DType::IQ2_XXS, 100 + 16, "iq2_xxs", 256, 2 + 256 / 8 * 2},
    {DType::IQ2_XS, 100 + 17, "iq2_xs", 256, 2 + 256 / 8 * 2 + 256 / 32},
    {DType::IQ3_XXS, 100 + 18, "iq3_xxs", 256, 2 + 3 * 256 / 8},
    {DType::IQ1_S, 100 + 19, "iq1_s", 256, 2 + 256 / 8 + 256 / 32 * 2},
    {DType::IQ4_NL, 100 + 20, "iq4_nl", 32, 2 + 32 / 2},
    {DType::IQ3_S, 100 + 21, "iq3_s", 256, 2 + 256 / 4 + 256 / 32 + 256 / 8 + 256 / 64},
    {DType::IQ2_S, 100 + 22, "iq2_s", 256, 2 + 256 / 4 + 256 / 32 + 256 / 32},
    {DType::IQ4_XS, 100 + 23, "iq4_xs", 256, 2 + 2 + 256 / 64 + 256 / 2},
    {DType::IQ1_M, 100 + 29, "iq1_m", 256, 256 / 8 + 256 / 16 + 256 / 32},
    {DType::TQ1_0, 100 + 34, "tq1_0", 256, (256 - 4 * 256 / 64) / 5 + 256 / 64 + 2},
    {DType::TQ2_0, 100 + 35, "tq2_0", 256, 256 / 4 + 2},
    {DType::MXFP4, 100 + 39, "mxfp4", 32, 1 + 32 / 2},
    {DType::Q8Row, 200, "q8_row", 128, 128 + 24 * 4 + 4},  // of our own: int8, sums in two forms, a float scale
});

TEST_CASE("every element type has the number, name and block of its specification") {
#define QUOIN_DTYPE(enumerator, number, name, elements, bytes) +1
    REQUIRE(kSpecification.size() == size_t{0 QUOIN_DTYPES(QUOIN_DTYPE)});
#undef QUOIN_DTYPE
    for (const Row& row : kSpecification) {
        CAPTURE(row.name);
        const DTypeInfo& info = dtype_info(row.dtype);
        CHECK(info.dtype == row.dtype);
        CHECK(static_cast<uint32_t>(row.dtype) == row.number);
        CHECK(info.name == row.name);
        CHECK(info.block_elements == row.block_elements);
        CHECK(info.block_bytes == row.block_bytes);
        CHECK(dtype_from_number(row.number) == row.dtype);
        CHECK(dtype_from_name(row.name) == row.dtype);
        CHECK(is_block_format(row.dtype) == (row.block_elements >= 32));
        CHECK(byte_size(row.dtype, row.block_elements * 6) == static_cast<size_t>(row.block_bytes * 6));
    }
}

TEST_CASE("numbers and names that are no element type are not found") {
    for (const uint32_t number : {0U, 14U, 15U, 27U, 104U, 105U, 109U, 115U, 199U, 255U, 256U + 1U, 0xFFFFFFFFU}) {
        CAPTURE(number);
        CHECK(dtype_from_number(number) == std::nullopt);
    }
    CHECK(dtype_from_name("F32") == std::nullopt);
    CHECK(dtype_from_name("") == std::nullopt);
    CHECK(dtype_info(static_cast<DType>(99)).name == "undefined");
    CHECK(dtype_info(DType::Undefined).block_bytes == 0);
}

TEST_CASE("a byte size is whole blocks and half a byte of int4, or nothing") {
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    CHECK(byte_size(DType::F32, 0) == 0U);
    CHECK(byte_size(DType::F32, 3) == 12U);
    CHECK(byte_size(DType::I4, 5) == 3U);
    CHECK(byte_size(DType::Q4_0, 64) == 36U);
    CHECK(byte_size(DType::Q4_0, 63) == std::nullopt);
    CHECK(byte_size(DType::Q6_K, 128) == std::nullopt);
    CHECK(byte_size(DType::F32, -1) == std::nullopt);
    CHECK(byte_size(DType::Undefined, 4) == std::nullopt);
    CHECK(byte_size(DType::F32, kMost / 4) == static_cast<size_t>(kMost / 4 * 4));
    CHECK(byte_size(DType::F32, kMost / 4 + 1) == std::nullopt);
    CHECK(byte_size(DType::U8, kMost) == static_cast<size_t>(kMost));
    CHECK(byte_size(DType::U4, kMost) == static_cast<size_t>(kMost / 2 + 1));
    CHECK(byte_size(DType::Q8_0, kMost / 32 * 32) == std::nullopt);
    CHECK(byte_size(DType::Q8_0, kMost) == std::nullopt);
}

// ---- Shapes

TEST_CASE("a shape counts its elements unless the product does not fit") {
    constexpr int64_t kTwo32 = int64_t{1} << 32;
    CHECK(Shape{}.element_count() == 1);
    CHECK(Shape{2, 3, 4}.element_count() == 24);
    CHECK(Shape{2, 0, 4}.element_count() == 0);
    CHECK(Shape{2, -1}.element_count() == std::nullopt);
    CHECK(Shape{kTwo32, kTwo32 / 4}.element_count() == kTwo32 * (kTwo32 / 4));
    CHECK(Shape{kTwo32, kTwo32 / 2}.element_count() == std::nullopt);
    CHECK(Shape{kTwo32, kTwo32}.element_count() == std::nullopt);  // 2^64: 0 in wrapping arithmetic
}

TEST_CASE("shapes compare and print by their dimensions") {
    CHECK(Shape{2, 3} == Shape{2, 3});
    CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
    CHECK_FALSE(Shape{2} == Shape{2, 1});
    CHECK(to_string(Shape{}) == "[]");
    CHECK(to_string(Shape{2, 3}) == "[2, 3]");
    CHECK(Shape{2, 3}.back() == 3);
}

// ---- 16-bit floats

// By the definition of binary16: sign, 5 bits of exponent with bias 15, 10 bits of fraction.
double half_value(uint16_t half) {
    const int exponent = (half >> 10) & 0x1F;
    const int fraction = half & 0x3FF;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

bool is_half_nan(uint16_t half) {
    return (half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0;
}

TEST_CASE("every half has its value as a float and comes back as itself") {
    int wrong = 0;
    for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const float value = f16_to_f32(half);
        if (is_half_nan(half)) {
            wrong += !std::isnan(value) || !is_half_nan(f32_to_f16(value)) ? 1 : 0;
        } else if ((half & 0x7C00) == 0x7C00) {
            wrong += !std::isinf(value) || std::signbit(value) != (half >= 0x8000) || f32_to_f16(value) != half ? 1 : 0;
        } else {
            const bool same = double{value} == half_value(half) && std::signbit(value) == (half >= 0x8000);
            wrong += !same || f32_to_f16(value) != half ? 1 : 0;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("every bf16 is the upper half of a float and comes back as itself") {
    int wrong = 0;
    for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const float value = bf16_to_f32(half);
        if (std::isnan(std::bit_cast<float>(bits << 16))) {
            const uint16_t back = f32_to_bf16(value);
            wrong += !std::isnan(value) || back != (half | 0x40) ? 1 : 0;
        } else {
            wrong += std::bit_cast<uint32_t>(value) != bits << 16 || f32_to_bf16(value) != half ? 1 : 0;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("between two halves the nearer one is taken and the even one at a tie") {
    int wrong = 0;
    for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {  // all positive finite halves and their successors
        const auto below = static_cast<uint16_t>(bits);
        const auto above = static_cast<uint16_t>(bits + 1);
        const auto even = static_cast<uint16_t>((bits & 1) == 0 ? bits : bits + 1);
        // Exact: the middle of two halves needs one bit more than a half has.
        const auto middle = static_cast<float>((half_value(below) + half_value(above)) / 2);
        wrong += f32_to_f16(middle) != even || f32_to_f16(-middle) != (even | 0x8000) ? 1 : 0;
        wrong += f32_to_f16(std::nextafter(middle, 0.0F)) != below ? 1 : 0;
        wrong += f32_to_f16(std::nextafter(middle, 1e9F)) != above ? 1 : 0;
    }
    CHECK(wrong == 0);
}

TEST_CASE("floats beyond the largest half become infinite, those below half the smallest become zero") {
    CHECK(f32_to_f16(65504.0F) == 0x7BFF);
    CHECK(f32_to_f16(std::nextafter(65520.0F, 0.0F)) == 0x7BFF);
    CHECK(f32_to_f16(65520.0F) == 0x7C00);
    CHECK(f32_to_f16(-1e30F) == 0xFC00);
    CHECK(f32_to_f16(0x1p-25F) == 0x0000);  // a tie between 0 and the smallest subnormal: 0 is even
    CHECK(f32_to_f16(std::nextafter(0x1p-25F, 1.0F)) == 0x0001);
    CHECK(f32_to_f16(-1e-30F) == 0x8000);
    CHECK(f32_to_f16(std::numeric_limits<float>::denorm_min()) == 0x0000);
    CHECK(is_half_nan(f32_to_f16(std::numeric_limits<float>::quiet_NaN())));
    CHECK(is_half_nan(f32_to_f16(std::bit_cast<float>(0x7F800001U))));  // the payload is below the kept bits
}

TEST_CASE("bf16 rounds to nearest even and overflows to infinity") {
    CHECK(f32_to_bf16(std::bit_cast<float>(0x3F808000U)) == 0x3F80);  // tie, even below
    CHECK(f32_to_bf16(std::bit_cast<float>(0x3F818000U)) == 0x3F82);  // tie, even above
    CHECK(f32_to_bf16(std::bit_cast<float>(0x3F808001U)) == 0x3F81);
    CHECK(f32_to_bf16(std::bit_cast<float>(0xBF817FFFU)) == 0xBF81);
    CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
    CHECK(f32_to_bf16(-std::numeric_limits<float>::max()) == 0xFF80);
    CHECK(f32_to_bf16(std::bit_cast<float>(0x00008000U)) == 0x0000);  // subnormal tie
    CHECK(f32_to_bf16(std::bit_cast<float>(0x00018000U)) == 0x0002);
    CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7F800001U)))));
    CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0xFFFFFFFFU)))));
}

}  // namespace
}  // namespace quoin::test
