// The container: what an honest file says is read exactly.
#include "load/gguf.h"

#include <algorithm>
#include <cstring>

#include "support/catch.h"
#include "support/gguf_writer.h"

namespace quoin::test {
namespace {

TEST_CASE("keys of every type keep their values") {
    const std::vector<std::byte> bytes = vocabulary_file().write();
    const Result<GgufFile> file = parse_gguf(wrap_memory(bytes));
    REQUIRE(file.ok());
    const Metadata& keys = file->metadata;
    CHECK(keys.entries().size() == 24);
    CHECK(keys.string("general.architecture", "").value() == "gpt2");
    CHECK(keys.require_integer("u8").value() == 200);
    CHECK(keys.require_integer("i8").value() == -100);
    CHECK(keys.require_integer("u16").value() == 60000);
    CHECK(keys.require_integer("i16").value() == -30000);
    CHECK(keys.require_integer("u32").value() == 4000000000);
    CHECK(keys.require_integer("i32").value() == -2000000000);
    CHECK(keys.require_integer("u64").value() == int64_t{1} << 40);
    CHECK(keys.require_integer("i64").value() == -(int64_t{1} << 40));
    CHECK(keys.require_number("f32").value() == 0.5);
    CHECK(keys.require_number("f64").value() == -0.25);
    CHECK(keys.boolean("bool", false).value());
    CHECK(std::get<std::vector<bool>>(*keys.find("bools")) == std::vector<bool>{true, false});
    CHECK(*keys.integers("u8s").value() == std::vector<int64_t>{1, 200});
    CHECK(*keys.integers("i8s").value() == std::vector<int64_t>{-1, 0, 1});
    CHECK(*keys.integers("u16s").value() == std::vector<int64_t>{60000});
    CHECK(*keys.integers("i16s").value() == std::vector<int64_t>{-30000});
    CHECK(*keys.integers("u32s").value() == std::vector<int64_t>{4000000000});
    CHECK(keys.integers("i32s").value()->empty());
    CHECK(*keys.integers("u64s").value() == std::vector<int64_t>{1, 2});
    CHECK(*keys.integers("i64s").value() == std::vector<int64_t>{-1});
    CHECK(*keys.numbers("f32s").value() == std::vector<double>{0.5});
    CHECK(*keys.numbers("f64s").value() == std::vector<double>{0.25});
    CHECK(*keys.strings("tokenizer.ggml.tokens").value() == std::vector<std::string_view>{"a", "b", "", "c"});
}

TEST_CASE("strings are views of the mapped bytes, not copies") {
    const std::vector<std::byte> bytes = vocabulary_file().write();
    const Result<GgufFile> file = parse_gguf(wrap_memory(bytes));
    REQUIRE(file.ok());
    const auto* const text =
        reinterpret_cast<const std::byte*>(file->metadata.string("general.architecture", "").value().data());
    CHECK((text >= bytes.data() && text < bytes.data() + bytes.size()));
}

TEST_CASE("tensors have row-major shapes and absolute offsets") {
    GgufWriter writer;
    writer.floats("a", {1, 2, 3}).tensor("b", {64, 3, 2}, kGgmlQ4_0).tensor("c", {5, 4, 3, 2}, kGgmlF16);
    const std::vector<std::byte> bytes = writer.write();
    const Result<GgufFile> file = parse_gguf(wrap_memory(bytes));
    REQUIRE(file.ok());
    REQUIRE(file->tensors.size() == 3);
    CHECK(file->tensors[0].name == "a");
    CHECK(file->tensors[0].dtype == DType::F32);
    CHECK(file->tensors[0].shape == Shape{3});
    CHECK(file->tensors[0].bytes == 12);
    CHECK(file->tensors[0].offset % 32 == 0);
    float second = 0;
    std::memcpy(&second, bytes.data() + file->tensors[0].offset + 4, sizeof(second));
    CHECK(second == 2);
    CHECK(file->tensors[1].dtype == DType::Q4_0);
    CHECK(file->tensors[1].shape == Shape{2, 3, 64});
    CHECK(file->tensors[1].bytes == 12 * 18);
    CHECK(file->tensors[2].shape == Shape{2, 3, 4, 5});
    CHECK(file->tensors[2].offset + file->tensors[2].bytes == bytes.size());
}

TEST_CASE("versions 2 and 3 are read alike") {
    GgufWriter writer = vocabulary_file();
    for (const uint32_t version : {2U, 3U}) {
        writer.version = version;
        const std::vector<std::byte> bytes = writer.write();
        CHECK(parse_gguf(wrap_memory(bytes)).ok());
    }
}

TEST_CASE("another alignment moves the data section") {
    for (const uint32_t alignment : {8U, 64U, 4096U, 1U << 20}) {
        GgufWriter writer;
        writer.alignment = alignment;
        writer.key("general.alignment", alignment).floats("a", {1}).floats("b", {2});
        const std::vector<std::byte> bytes = writer.write();
        const Result<GgufFile> file = parse_gguf(wrap_memory(bytes));
        REQUIRE(file.ok());
        const uint64_t data = (writer.header().size() + alignment - 1) / alignment * alignment;
        CHECK(file->tensors[0].offset == data);
        CHECK(file->tensors[1].offset == data + alignment);
    }
}

TEST_CASE("tensors may stand in the file in any order") {
    GgufWriter writer;
    writer.floats("a", {1}).floats("b", {2});
    writer.tensors[0].offset = 32;
    writer.tensors[1].offset = 0;
    const std::vector<std::byte> bytes = writer.write();
    CHECK(parse_gguf(wrap_memory(bytes)).ok());
}

TEST_CASE("names longer than ggml's 64 bytes are read") {
    GgufWriter writer;
    writer.key(std::string(65535, 'k'), true).floats(std::string(300, 't'), {1});
    const std::vector<std::byte> bytes = writer.write();
    const Result<GgufFile> file = parse_gguf(wrap_memory(bytes));
    REQUIRE(file.ok());
    CHECK(file->tensors[0].name.size() == 300);
}

TEST_CASE("a reader is asked for the header only, in at most twice its size of memory") {
    GgufWriter writer;
    writer.strings("tokens", std::vector<std::string>(30000, "token"));
    writer.tensor("weights", {1 << 20});
    const std::vector<std::byte> bytes = writer.write();
    const uint64_t header = writer.header().size();
    uint64_t furthest = 0;
    uint64_t asked = 0;
    const auto read_at = [&](uint64_t offset, std::span<std::byte> to) {
        furthest = std::max(furthest, offset + to.size());
        asked += to.size();
        std::memcpy(to.data(), bytes.data() + offset, to.size());
        return true;
    };
    // The budget is the proof: a larger window would be refused.
    const auto memory = std::make_shared<Memory>(2 * header + 1);
    const Result<GgufFile> file = parse_gguf(wrap_reader(bytes.size(), read_at, memory));
    REQUIRE(file.ok());
    CHECK(file->tensors[0].name == "weights");
    CHECK(file->metadata.strings("tokens").value()->back() == "token");
    CHECK(furthest <= 2 * header);
    CHECK(asked <= 4 * header);
    CHECK(memory->used_bytes() <= 2 * header);
}

TEST_CASE("a reader that fails gives its error") {
    const auto read_at = [](uint64_t, std::span<std::byte>) { return false; };
    const Result<GgufFile> file = parse_gguf(wrap_reader(1000, read_at, std::make_shared<Memory>()));
    CHECK(file.status().code() == StatusCode::Io);
}

TEST_CASE("a header for which there is no memory gives OutOfMemory") {
    const auto read_at = [](uint64_t, std::span<std::byte>) { return true; };
    const Result<GgufFile> file = parse_gguf(wrap_reader(1000, read_at, std::make_shared<Memory>(10)));
    CHECK(file.status().code() == StatusCode::OutOfMemory);
}

}  // namespace
}  // namespace quoin::test
