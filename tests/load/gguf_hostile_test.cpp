// The container again: lies, damage and the published advisories. Every case must give a status and a sentence.
#include <algorithm>
#include <cstring>
#include <limits>

#include "load/gguf.h"
#include "load/model.h"
#include "support/catch.h"
#include "support/gguf_writer.h"

namespace quoin::test {
namespace {

struct Refusal {
    StatusCode code;
    std::string message;
};

Refusal refusal(const std::vector<std::byte>& bytes) {
    const Result<GgufFile> file = parse_gguf(wrap_memory(bytes));
    return {file.status().code(), file.status().message()};
}

Refusal refusal(const GgufWriter& writer) {
    return refusal(writer.write());
}

bool says(const Refusal& refusal, std::string_view text) {
    UNSCOPED_INFO(refusal.message);
    return refusal.message.find(text) != std::string::npos;
}

// Header fields by hand, for what the writer cannot say.
Bytes start(uint64_t tensors, uint64_t keys) {
    return Bytes().put_raw("GGUF").put<uint32_t>(3).put(tensors).put(keys);
}

// ---- versions

TEST_CASE("GGUF version 1 is named and refused") {
    GgufWriter writer = vocabulary_file();
    writer.version = 1;
    CHECK(refusal(writer).code == StatusCode::Unsupported);
    CHECK(says(refusal(writer), "version 1"));
}

TEST_CASE("a newer GGUF version is named and refused") {
    GgufWriter writer = vocabulary_file();
    writer.version = 4;
    CHECK(refusal(writer).code == StatusCode::Unsupported);
    CHECK(says(refusal(writer), "version 4"));
}

TEST_CASE("a big-endian GGUF is recognised by its version") {
    GgufWriter writer = vocabulary_file();
    writer.version = 0x03000000;
    CHECK(refusal(writer).code == StatusCode::Unsupported);
    CHECK(says(refusal(writer), "big-endian"));
}

TEST_CASE("GGUF version 0 is invalid") {
    GgufWriter writer = vocabulary_file();
    writer.version = 0;
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
}

// ---- keys

TEST_CASE("a key that stands twice is refused by name") {
    GgufWriter writer = vocabulary_file();
    writer.keys.push_back({"u8", kU8, {std::byte{1}}});
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
    CHECK(says(refusal(writer), "'u8'"));
}

TEST_CASE("a key without a name is refused") {
    GgufWriter writer;
    writer.keys.push_back({"", kU32, Bytes().put<uint32_t>(1).get()});
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
}

TEST_CASE("a key of more than 65,535 bytes is refused") {
    GgufWriter writer;
    writer.key(std::string(65536, 'k'), true);
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
}

TEST_CASE("unknown value types are refused by key and number") {
    for (const uint32_t type : {13U, 0xFFFFFFFFU}) {
        GgufWriter writer;
        writer.raw_key("odd", type, std::vector<std::byte>(16));
        CHECK(refusal(writer).code == StatusCode::InvalidModel);
        CHECK(says(refusal(writer), "'odd'"));
        CHECK(says(refusal(writer), std::to_string(type)));
    }
}

TEST_CASE("unknown array element types are refused") {
    GgufWriter writer;
    writer.raw_key("odd", kArray, Bytes().put<uint32_t>(13).put<uint64_t>(0).get());
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
    CHECK(says(refusal(writer), "'odd'"));
}

TEST_CASE("arrays of arrays are refused") {
    GgufWriter writer;
    writer.raw_key("nested", kArray,
                   Bytes().put<uint32_t>(kArray).put<uint64_t>(1).put<uint32_t>(kU8).put<uint64_t>(0).get());
    CHECK(refusal(writer).code == StatusCode::Unsupported);
    CHECK(says(refusal(writer), "'nested'"));
}

TEST_CASE("a bool other than 0 and 1 is refused") {
    GgufWriter writer;
    writer.raw_key("flag", kBool, {std::byte{2}});
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
    GgufWriter array;
    array.raw_key("flags", kArray, Bytes().put<uint32_t>(kBool).put<uint64_t>(1).put<uint8_t>(2).get());
    CHECK(refusal(array).code == StatusCode::InvalidModel);
}

TEST_CASE("array elements above the largest signed integer are refused") {
    GgufWriter writer;
    writer.array("large", std::vector<uint64_t>{uint64_t{1} << 63});
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
}

TEST_CASE("string lengths past the end of the file are refused by key") {
    for (const uint64_t length : {uint64_t{100}, uint64_t{1} << 31, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 7}) {
        GgufWriter writer;
        writer.raw_key("text", kString, Bytes().put(length).put_raw("short").get());
        CHECK(refusal(writer).code == StatusCode::InvalidModel);
        CHECK(says(refusal(writer), "'text'"));
    }
}

TEST_CASE("array lengths past the end of the file are refused by key") {
    for (const uint32_t type : {kU8, kU32, kF64, kString, kBool}) {
        for (const uint64_t count : {uint64_t{1000}, uint64_t{1} << 32, uint64_t{1} << 61, UINT64_MAX}) {
            GgufWriter writer;
            writer.raw_key("list", kArray, Bytes().put(type).put(count).put<uint64_t>(0).get());
            CHECK(refusal(writer).code == StatusCode::InvalidModel);
            CHECK(says(refusal(writer), "'list'"));
        }
    }
}

TEST_CASE("an impossible alignment is refused") {
    for (const uint32_t alignment : {0U, 1U, 4U, 24U, 33U, 1U << 21, 1U << 31}) {
        GgufWriter writer;
        writer.key("general.alignment", alignment).floats("a", {1});
        CHECK(refusal(writer).code == StatusCode::InvalidModel);
        CHECK(says(refusal(writer), "general.alignment"));
    }
}

TEST_CASE("an alignment of another type is refused") {
    GgufWriter writer;
    writer.key("general.alignment", "32").floats("a", {1});
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
}

TEST_CASE("names in messages are short and printable") {
    GgufWriter writer;
    writer.raw_key(std::string("bad\0\x1B[31m", 9) + std::string(5000, 'x'), 99, {});
    const Refusal found = refusal(writer);
    CHECK(found.message.size() < 300);
    CHECK(std::ranges::all_of(found.message, [](char letter) { return letter >= ' ' && letter <= '~'; }));
}

TEST_CASE("65,536 keys are read, the last duplicate found, more are refused") {
    GgufWriter writer;
    for (int index = 0; index < 65535; ++index) {
        writer.keys.push_back({"k" + std::to_string(index), kBool, {std::byte{1}}});
    }
    writer.keys.push_back({"last", kBool, {std::byte{1}}});
    CHECK(refusal(writer).code == StatusCode::Ok);
    writer.keys.back().name = "k65534";
    CHECK(says(refusal(writer), "'k65534' stands in the file twice"));
    writer.keys.back().name = "last";
    writer.keys.push_back({"more", kBool, {std::byte{1}}});
    CHECK(refusal(writer).code == StatusCode::Unsupported);
}

// ---- tensors

TEST_CASE("unknown tensor types are refused by tensor and number") {
    // 4 was removed from ggml, 9 and 15 never stand in files, 100 would run into a number of our own.
    for (const uint32_t type : {4U, 9U, 15U, 31U, 100U, 255U, 0xFFFFFFFFU, 0x80000000U}) {
        GgufWriter writer;
        writer.tensor("odd", {256}).find_tensor("odd").type = type;
        CHECK(refusal(writer).code == StatusCode::Unsupported);
        CHECK(says(refusal(writer), "'odd'"));
        CHECK(says(refusal(writer), std::to_string(type)));
    }
}

TEST_CASE("zero and negative dimensions are refused") {
    for (const int64_t dim : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::min()}) {
        for (const size_t axis : {size_t{0}, size_t{1}}) {
            GgufWriter writer;
            writer.tensor("odd", {32, 2}).find_tensor("odd").ne[axis] = dim;
            CHECK(refusal(writer).code == StatusCode::InvalidModel);
            CHECK(says(refusal(writer), "'odd'"));
        }
    }
}

TEST_CASE("a tensor without dimensions is refused") {
    GgufWriter writer;
    writer.tensor("scalar", {});
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
}

TEST_CASE("rows that are not whole blocks are refused") {
    GgufWriter writer;
    writer.tensor("odd", {48, 2}, kGgmlQ4_0);
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
    CHECK(says(refusal(writer), "'odd'"));
}

TEST_CASE("an offset that is not aligned is refused") {
    GgufWriter writer;
    writer.tensor("odd", {32}).tensor("more", {32}).find_tensor("odd").offset = 4;
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
    CHECK(says(refusal(writer), "'odd': offset 4 is no multiple of the alignment 32"));
}

TEST_CASE("data past the end of the file is refused") {
    for (const uint64_t offset : {uint64_t{64}, uint64_t{1} << 40, uint64_t{1} << 63, UINT64_MAX - 31}) {
        GgufWriter writer;
        writer.tensor("odd", {8}).find_tensor("odd").offset = offset;
        CHECK(refusal(writer).code == StatusCode::InvalidModel);
        CHECK(says(refusal(writer), "'odd'"));
    }
}

TEST_CASE("overlapping tensors are refused") {
    GgufWriter writer;
    writer.tensor("a", {32}).tensor("b", {32}).tensor("c", {8});
    writer.find_tensor("c").offset = 96;
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
    CHECK(says(refusal(writer), "overlap"));
    writer.find_tensor("c").offset = 0;
    CHECK(says(refusal(writer), "overlap"));
}

TEST_CASE("a tensor name that stands twice is refused") {
    GgufWriter writer;
    writer.tensor("same", {8}).tensor("other", {8}).tensor("same", {8});
    CHECK(refusal(writer).code == StatusCode::InvalidModel);
    CHECK(says(refusal(writer), "'same'"));
}

TEST_CASE("ten thousand tensors are read and the last duplicate found") {
    GgufWriter writer;
    for (int index = 0; index < 10000; ++index) writer.tensor("t" + std::to_string(index), {1});
    CHECK(refusal(writer).code == StatusCode::Ok);
    writer.tensor("t9999", {1});
    CHECK(says(refusal(writer), "'t9999'"));
}

// ---- damage

TEST_CASE("a valid file cut at any byte is refused") {
    for (const std::vector<std::byte>& whole : {smallest_model("qwen2").write(), vocabulary_file().write()}) {
        REQUIRE(load_model(wrap_memory(whole)).ok());
        for (size_t size = 0; size < whole.size(); ++size) {
            // A copy of its own, so that the sanitizer sees a read past its end.
            const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            const Result<LoadedModel> model = load_model(wrap_memory(cut));
            INFO("cut at " << size);
            REQUIRE(!model.ok());
            REQUIRE(model.status().code() == StatusCode::InvalidModel);
            REQUIRE(!model.status().message().empty());
        }
    }
}

TEST_CASE("any byte of the header may be wrong without harm") {
    for (const GgufWriter& writer : {smallest_model("llama"), smallest_model("qwen3"), vocabulary_file()}) {
        const std::vector<std::byte> whole = writer.write();
        for (size_t place = 0; place < writer.header().size(); ++place) {
            for (const unsigned flip : {0x01U, 0x80U, 0xFFU, 0x20U, 0x7FU}) {
                std::vector<std::byte> damaged = whole;
                damaged[place] ^= static_cast<std::byte>(flip);
                const Result<LoadedModel> model = load_model(wrap_memory(damaged));
                INFO("byte " << place << " flipped by " << flip);
                if (model.ok()) {
                    REQUIRE(verify(model->graph).ok());
                } else {
                    REQUIRE(!model.status().message().empty());
                }
            }
        }
    }
}

// ---- advisories, each with what went wrong in the library it was found in

TEST_CASE("CVE-2024-21802: more dimensions than a tensor has places for") {
    for (const uint32_t rank : {5U, 12U, 13U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
        Bytes file = start(1, 0);
        file.put_string("tensor").put(rank);
        for (int word = 0; word < 64; ++word) file.put<uint64_t>(1);
        const Refusal found = refusal(file.get());
        CHECK(found.code == StatusCode::InvalidModel);
        CHECK(says(found, "dimensions"));
    }
}

TEST_CASE("counts that overflow when multiplied by the size of an entry (found with CVE-2024-21802)") {
    const uint64_t counts[] = {UINT64_MAX, UINT64_MAX / 2 + 1, (uint64_t{1} << 60) + 1, uint64_t{1} << 32, 1000};
    for (const uint64_t count : counts) {
        Bytes keys = start(0, count);
        keys.put_string("key").put<uint32_t>(kU8).put<uint8_t>(1);
        CHECK(refusal(keys.get()).code == StatusCode::InvalidModel);
        Bytes tensors = start(count, 0);
        tensors.put_string("tensor").put<uint32_t>(1).put<uint64_t>(1).put<uint32_t>(0).put<uint64_t>(0);
        CHECK(refusal(tensors.get()).code == StatusCode::InvalidModel);
    }
}

TEST_CASE("a string length whose successor is zero (found with CVE-2024-21802)") {
    // Length + 1 was allocated, length was read.
    Bytes key = start(0, 1);
    key.put(UINT64_MAX).put_raw(std::string(64, 'a'));
    CHECK(refusal(key.get()).code == StatusCode::InvalidModel);
    Bytes tensor = start(1, 0);
    tensor.put(UINT64_MAX).put_raw(std::string(64, 'a'));
    CHECK(refusal(tensor.get()).code == StatusCode::InvalidModel);
}

TEST_CASE("CVE-2025-49847: a token of the vocabulary longer than 2^31") {
    // The length became a negative int32 and passed the check before a copy. Here it must be in the file, and stays
    // an unsigned 64-bit size.
    for (const uint64_t length : {(uint64_t{1} << 31) + 1, UINT64_MAX, uint64_t{0xFFFFFFFF}}) {
        GgufWriter writer = vocabulary_file();
        Bytes tokens;
        tokens.put<uint32_t>(kString).put<uint64_t>(2).put_string("a").put(length).put_raw("tail of the file");
        writer.raw_key("tokenizer.ggml.tokens", kArray, tokens.get());
        const Refusal found = refusal(writer);
        CHECK(found.code == StatusCode::InvalidModel);
        CHECK(says(found, "'tokenizer.ggml.tokens'"));
    }
}

TEST_CASE("CVE-2025-53630: sizes of tensors whose sum wraps around") {
    // Each size is representable, their padded sum was not; the data buffer came out small.
    GgufWriter writer;
    writer.tensor("a", {8}).tensor("b", {8}).tensor("c", {8});
    for (GgufWriter::Tensor& tensor : writer.tensors) tensor.ne = {int64_t{1} << 30, int64_t{1} << 31};
    writer.tensors[1].offset = uint64_t{1} << 63;
    writer.tensors[2].offset = 0;
    const Refusal found = refusal(writer);
    CHECK(found.code == StatusCode::InvalidModel);
    CHECK(says(found, "larger than the file"));
}

TEST_CASE("CVE-2026-27940: a size that wraps when bookkeeping or padding is added") {
    // The check of the sum above was passed with a size just below 2^64, to which the tensors' own records and the
    // padding were added afterwards.
    const std::vector<int64_t> shapes[] = {
        {(int64_t{1} << 62) - 1},                                       // f32: 2^64 - 4 bytes
        {4, (int64_t{1} << 30) - 1, (int64_t{1} << 30) + 1},            // f32: 2^64 - 16 bytes
        {std::numeric_limits<int64_t>::max()},                          // does not fit in bytes
        {int64_t{1} << 32, int64_t{1} << 32},                           // elements wrap to 0
        {(int64_t{1} << 42) + 1, int64_t{1} << 22, 1, 1},               // elements wrap to 2^22
        {std::numeric_limits<int64_t>::max(), 2, 1, 1},                 // elements wrap to -2
        {int64_t{1} << 16, int64_t{1} << 16, int64_t{1} << 16, 65536},  // all four dimensions together
    };
    for (const std::vector<int64_t>& shape : shapes) {
        GgufWriter writer;
        writer.tensor("first", {64}).tensor("huge", {64}).find_tensor("huge").ne = shape;
        const Refusal found = refusal(writer);
        CHECK(found.code == StatusCode::InvalidModel);
        CHECK(says(found, "'huge'"));
    }
}

}  // namespace
}  // namespace quoin::test
