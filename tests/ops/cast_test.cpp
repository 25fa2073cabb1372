// Cast, CastLike, BitCast: values from the ONNX specification.
#include <limits>

#include "core/half.h"
#include "op_test.h"

namespace quoin::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

template <class T>
std::vector<T> cast_to(const Tensor& x, DType dtype, Attributes attributes = {}) {
    attributes.emplace_back("to", static_cast<int64_t>(dtype));
    const Tensor y = result_of(Op::Cast, {given(x)}, attributes);
    CHECK(y.dtype() == dtype);
    const auto values = y.as<T>();
    return {values.begin(), values.end()};
}

TEST_CASE("casts between integers keep the low bits, those of floats drop the fraction") {
    const Tensor x = tensor_of<int16_t>(DType::I16, {4}, {200, -1, 256, 7});
    CHECK(cast_to<int8_t>(x, DType::I8) == std::vector<int8_t>{-56, -1, 0, 7});
    CHECK(cast_to<uint8_t>(x, DType::Bool) == std::vector<uint8_t>{1, 1, 1, 1});
    const Tensor y = floats({5}, {2.9F, -2.9F, 0.0F, kNaN, 1e30F});
    CHECK(cast_to<int32_t>(y, DType::I32)[0] == 2);
    CHECK(cast_to<int32_t>(y, DType::I32)[1] == -2);
    CHECK(cast_to<int64_t>(y, DType::I64)[4] == std::numeric_limits<int64_t>::max());
    CHECK(cast_to<uint8_t>(y, DType::Bool) == std::vector<uint8_t>{1, 1, 0, 1, 1});
    CHECK(cast_to<double>(tensor_of<uint8_t>(DType::Bool, {2}, {0, 1}), DType::F64) == std::vector<double>{0, 1});
}

TEST_CASE("a double becomes the nearest half in one step") {
    // Just above the middle of two halves; rounded to a float first it would be the middle, and then go down.
    const Tensor x = tensor_of<double>(DType::F64, {2}, {1.0 + 0x1p-11 + 0x1p-40, 1.0 + 0x1p-11});
    CHECK(cast_to<uint16_t>(x, DType::F16) == std::vector<uint16_t>{0x3C01, 0x3C00});
}

TEST_CASE("float8 saturates unless told otherwise") {
    const Tensor x = floats({8}, {0.0F, 1.0F, 448.0F, 464.0F, 1000.0F, kInf, kNaN, -0x1p-9F});
    CHECK(cast_to<uint8_t>(x, DType::F8E4M3FN) == std::vector<uint8_t>{0, 0x38, 0x7E, 0x7E, 0x7E, 0x7E, 0x7F, 0x81});
    CHECK(cast_to<uint8_t>(x, DType::F8E4M3FN, {{"saturate", int64_t{0}}}) ==
          std::vector<uint8_t>{0, 0x38, 0x7E, 0x7E, 0x7F, 0x7F, 0x7F, 0x81});
    const Tensor y = floats({5}, {57344.0F, 1e6F, -kInf, kNaN, -0.0F});
    CHECK(cast_to<uint8_t>(y, DType::F8E5M2) == std::vector<uint8_t>{0x7B, 0x7B, 0xFB, 0x7F, 0x80});
    CHECK(cast_to<uint8_t>(y, DType::F8E5M2, {{"saturate", int64_t{0}}}) ==
          std::vector<uint8_t>{0x7B, 0x7C, 0xFC, 0x7F, 0x80});
    CHECK(cast_to<uint8_t>(y, DType::F8E5M2FNUZ) == std::vector<uint8_t>{0x7F, 0x7F, 0xFF, 0x80, 0});
    CHECK(cast_to<uint8_t>(y, DType::F8E4M3FNUZ, {{"saturate", int64_t{0}}}) ==
          std::vector<uint8_t>{0x80, 0x80, 0x80, 0x80, 0});
}

TEST_CASE("every float8 survives the way to f32 and back") {
    std::vector<uint8_t> codes(256);
    for (size_t index = 0; index < codes.size(); ++index) codes[index] = static_cast<uint8_t>(index);
    for (const DType dtype : {DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ}) {
        const Tensor x = tensor_of(dtype, {256}, codes);
        const std::vector<float> numbers = cast_to<float>(x, DType::F32);
        const std::vector<uint8_t> back = cast_to<uint8_t>(floats({256}, numbers), dtype, {{"saturate", int64_t{0}}});
        int changed = 0;
        for (size_t index = 0; index < codes.size(); ++index)
            changed += !std::isnan(numbers[index]) && back[index] != codes[index];
        CAPTURE(dtype_name(dtype));
        CHECK(changed == 0);
    }
    CHECK(cast_to<float>(tensor_of<uint8_t>(DType::F8E4M3FNUZ, {2}, {0x7F, 0x01}), DType::F32) ==
          std::vector<float>{240, 0x1p-10F});
}

TEST_CASE("f4e2m1 and f8e8m0 round as the specification says") {
    const Tensor x = floats({7}, {0.25F, 0.75F, 5.0F, 5.1F, -kInf, -0.1F, 2.5F});
    CHECK(cast_to<uint8_t>(x, DType::F4E2M1) == std::vector<uint8_t>{0x20, 0x76, 0x8F, 0x04});
    const Tensor packed = tensor_of<uint8_t>(DType::F4E2M1, {3}, {0x21, 0x0F});
    CHECK(cast_to<float>(packed, DType::F32) == std::vector<float>{0.5F, 1, -6});
    const Tensor y = floats({4}, {1.0F, 1.4F, 1.5F, 0.0F});
    CHECK(cast_to<uint8_t>(y, DType::F8E8M0) == std::vector<uint8_t>{127, 128, 128, 0});
    CHECK(cast_to<uint8_t>(y, DType::F8E8M0, {{"round_mode", std::string("down")}}) ==
          std::vector<uint8_t>{127, 127, 127, 0});
    CHECK(cast_to<uint8_t>(y, DType::F8E8M0, {{"round_mode", std::string("nearest")}}) ==
          std::vector<uint8_t>{127, 127, 128, 0});
    CHECK(cast_to<float>(tensor_of<uint8_t>(DType::F8E8M0, {2}, {126, 130}), DType::F32) ==
          std::vector<float>{0.5F, 8});
}

TEST_CASE("integers of four and two bits lie in order from the low bits on") {
    const Tensor x = floats({5}, {1, -2, 7, -8, 3});
    CHECK(cast_to<uint8_t>(x, DType::I4) == std::vector<uint8_t>{0xE1, 0x87, 0x03});
    CHECK(cast_to<float>(tensor_of<uint8_t>(DType::I4, {5}, {0xE1, 0x87, 0x03}), DType::F32) == values_of(x));
    CHECK(cast_to<int8_t>(tensor_of<uint8_t>(DType::U4, {3}, {0xE1, 0x07}), DType::I8) ==
          std::vector<int8_t>{1, 14, 7});
    CHECK(cast_to<int8_t>(tensor_of<uint8_t>(DType::I2, {5}, {0xE4, 0x03}), DType::I8) ==
          std::vector<int8_t>{0, 1, -2, -1, -1});
    CHECK(cast_to<uint8_t>(tensor_of<uint8_t>(DType::I2, {4}, {0xE4}), DType::I4) == std::vector<uint8_t>{0x10, 0xFE});
}

TEST_CASE("CastLike takes the type of its second input, BitCast keeps the bits") {
    const Operand x = given(floats({2}, {1, -2}));
    const Tensor like = result_of(Op::CastLike, {x, given(longs({0}, {}))});
    CHECK(like.as<int64_t>()[1] == -2);
    const Attributes to_i32 = {{"to", static_cast<int64_t>(DType::I32)}};
    const Tensor bits = result_of(Op::BitCast, {x}, to_i32);
    CHECK(bits.as<uint32_t>()[0] == 0x3F800000U);
    const Attributes to_i64 = {{"to", static_cast<int64_t>(DType::I64)}};
    CHECK_THAT(run_op(Op::BitCast, {x}, to_i64).status().message(), contains("have not the size of i64"));
}

TEST_CASE("texts become numbers and numbers texts") {
    const Tensor words = tensor_of<std::string>(DType::String, {6}, {"3.5", "1e-5", "+INF", "-inf", "NaN", "1000"});
    const std::vector<float> numbers = cast_to<float>(words, DType::F32);
    CHECK(numbers[0] == 3.5F);
    CHECK(numbers[1] == 1e-5F);
    CHECK(numbers[2] == kInf);
    CHECK(numbers[3] == -kInf);
    CHECK(std::isnan(numbers[4]));
    const Tensor large = tensor_of<std::string>(DType::String, {2}, {"9007199254740993", "-4"});
    CHECK(cast_to<int64_t>(large, DType::I64) == std::vector<int64_t>{9007199254740993, -4});
    const Tensor no_number = tensor_of<std::string>(DType::String, {1}, {"Hello"});
    CHECK_THAT(run_op(Op::Cast, {given(no_number)}, {{"to", int64_t{1}}}).status().message(),
               contains("'Hello' is no number"));
}

}  // namespace
}  // namespace quoin::test
