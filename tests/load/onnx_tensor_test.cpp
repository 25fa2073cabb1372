// TensorProto and the messages around it, in every form that elements can have.
#include "load/onnx_tensor.h"

#include "support/catch.h"
#include "support/onnx_writer.h"

namespace quoin::test {
namespace {

const std::shared_ptr<Memory> kMemory = std::make_shared<Memory>();

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

Result<NamedTensor> parse(const Message& message) {
    return parse_tensor_proto(bytes_of(message.bytes()), kMemory);
}

template <class T>
std::vector<T> elements(const Result<NamedTensor>& parsed) {
    if (!parsed.ok()) {
        UNSCOPED_INFO(parsed.status().message());
        return {};
    }
    const auto span = parsed->tensor.as<const T>();
    return {span.begin(), span.end()};
}

// TensorProto without elements.
Message header(DType dtype, const std::vector<int64_t>& dims) {
    Message tensor;
    tensor.integers(1, dims).integer(2, static_cast<int64_t>(dtype)).text(8, "t");
    return tensor;
}

TEST_CASE("elements as raw data are taken as they are") {
    const Result<NamedTensor> parsed = parse(floats_message("weights", {2, 1}, {1.5F, -2}));
    REQUIRE(parsed.ok());
    CHECK(parsed->name == "weights");
    CHECK(parsed->tensor.shape() == Shape{2, 1});
    CHECK(elements<float>(parsed) == std::vector<float>{1.5F, -2});
    CHECK(elements<int64_t>(parse(integers_message("i", {}, {-7}))) == std::vector<int64_t>{-7});
    CHECK(elements<uint8_t>(parse(tensor_message("b", DType::Bool, {3}, std::string_view("\0\2\1", 3)))) ==
          std::vector<uint8_t>{0, 1, 1});
    CHECK(elements<uint8_t>(parse(tensor_message("u", DType::U4, {3}, "\x21\x03"))) ==
          std::vector<uint8_t>{0x21, 0x03});
    CHECK(elements<float>(parse(floats_message("none", {0, 4}, {}))).empty());
}

TEST_CASE("elements in typed fields have the width of their type") {
    CHECK(elements<float>(parse(header(DType::F32, {2}).singles(4, {0.5F, 8}))) == std::vector<float>{0.5F, 8});
    CHECK(elements<float>(parse(header(DType::F32, {2}).single(4, 0.5F).single(4, 8))) == std::vector<float>{0.5F, 8});
    CHECK(elements<int32_t>(parse(header(DType::I32, {2}).integers(5, {-1, 70000}))) ==
          std::vector<int32_t>{-1, 70000});
    CHECK(elements<int64_t>(parse(header(DType::I64, {2}).integer(7, -1).integer(7, int64_t{1} << 40))) ==
          std::vector<int64_t>{-1, int64_t{1} << 40});
    CHECK(elements<int8_t>(parse(header(DType::I8, {2}).integers(5, {-128, 127}))) == std::vector<int8_t>{-128, 127});
    CHECK(elements<uint16_t>(parse(header(DType::U16, {1}).integers(5, {65535}))) == std::vector<uint16_t>{65535});
    CHECK(elements<uint64_t>(parse(header(DType::U64, {1}).integers(11, {-1}))) == std::vector<uint64_t>{~uint64_t{0}});
    CHECK(elements<uint32_t>(parse(header(DType::U32, {1}).integers(11, {4000000000}))) ==
          std::vector<uint32_t>{4000000000U});
    for (const DType half : {DType::F16, DType::BF16}) {
        CHECK(elements<uint16_t>(parse(header(half, {2}).integers(5, {0x3C00, 0xC000}))) ==
              std::vector<uint16_t>{0x3C00, 0xC000});
    }
    for (const DType small : {DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ, DType::F8E8M0}) {
        CHECK(elements<uint8_t>(parse(header(small, {2}).integers(5, {0x7F, 0xFF}))) ==
              std::vector<uint8_t>{0x7F, 0xFF});
    }
    // Two or four elements in each byte, a byte in each number.
    for (const DType packed : {DType::I4, DType::U4, DType::F4E2M1}) {
        CHECK(elements<uint8_t>(parse(header(packed, {3}).integers(5, {225, 3}))) == std::vector<uint8_t>{225, 3});
    }
    for (const DType packed : {DType::I2, DType::U2}) {
        CHECK(elements<uint8_t>(parse(header(packed, {5}).integers(5, {25, 1}))) == std::vector<uint8_t>{25, 1});
    }
    CHECK(elements<std::string>(parse(header(DType::String, {2}).text(6, "one").text(6, ""))) ==
          std::vector<std::string>{"one", ""});
}

TEST_CASE("tensors whose elements do not fit their shape are refused before anything is allocated") {
    const auto refused = [](const Message& message, std::string_view words) {
        const Status status = parse(message).status();
        UNSCOPED_INFO(status.message());
        return !status.ok() && status.message().find(words) != std::string::npos;
    };
    CHECK(refused(floats_message("t", {3}, {1, 2}), "has 8 bytes where f32[3] needs 12"));
    CHECK(refused(header(DType::F32, {3}).singles(4, {1, 2}), "has 2 elements where f32[3] needs 3"));
    CHECK(refused(header(DType::I4, {3}).integers(5, {1}), "has 1 bytes where i4[3] needs 2"));
    CHECK(refused(header(DType::F32, {int64_t{1} << 40, int64_t{1} << 40}), "no tensor can have the shape"));
    CHECK(refused(header(DType::F64, {int64_t{1} << 61}), "no tensor can have the shape"));
    CHECK(refused(header(DType::F32, {int64_t{1} << 40}), "has 0 elements"));
    CHECK(refused(header(DType::F32, {-1}), "no tensor can have the shape [-1]"));
    CHECK(refused(header(DType::F32, std::vector<int64_t>(13, 1)), "13 dimensions"));
    CHECK(refused(header(DType::String, {1}).text(9, "raw"), "strings cannot be raw data"));
    CHECK(refused(Message().integers(1, {1}).integer(2, 14), "type number 14"));  // complex64
    CHECK(refused(Message().integers(1, {1}).integer(2, 27), "type number 27"));
    CHECK(refused(Message().integers(1, {1}).integer(2, 139), "type number 139"));  // a block format is none of ONNX
    CHECK(refused(header(DType::F32, {0}).integer(14, 1), "in another file"));
    CHECK(refused(header(DType::F32, {0}).message(3, Message()), "segments"));
    CHECK(refused(Message().integer(8, 1), "malformed"));                 // a name that is a number
    CHECK(refused(header(DType::F32, {1}).text(4, "abc"), "malformed"));  // three quarters of a float
}

TEST_CASE("sequences, maps and optionals") {
    const Message one = floats_message("a", {1}, {1});
    const Message two = floats_message("b", {2}, {2, 3});
    const std::string list = Message().text(1, "s").integer(2, 1).message(3, one).message(3, two).bytes();
    const Result<NamedValue> sequence = parse_sequence_proto(bytes_of(list), kMemory);
    REQUIRE(sequence.ok());
    CHECK(sequence->kind == NamedValue::Kind::Sequence);
    CHECK(sequence->name == "s");
    CHECK(sequence->element_type == DType::F32);
    REQUIRE(sequence->items.size() == 2);
    CHECK(sequence->items[1].tensor.shape() == Shape{2});

    const std::string nothing = Message().text(1, "o").integer(2, 1).bytes();
    CHECK(parse_optional_proto(bytes_of(nothing), kMemory)->kind == NamedValue::Kind::None);
    const std::string some = Message().text(1, "o").integer(2, 1).message(3, one).bytes();
    CHECK(parse_optional_proto(bytes_of(some), kMemory)->kind == NamedValue::Kind::Tensor);

    Message nested;
    for (int depth = 0; depth < 100; ++depth) nested = Message().message(5, nested);
    CHECK_THAT(parse_sequence_proto(bytes_of(nested.bytes()), kMemory).status().message(), contains("nested deeper"));
}

}  // namespace
}  // namespace quoin::test
