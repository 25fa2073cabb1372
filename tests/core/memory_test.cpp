// Bytes: the bounded reader, counted memory, tensors, and the sources a model comes from.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/byte_reader.h"
#include "core/memory.h"
#include "core/source.h"
#include "core/tensor.h"
#include "support/catch.h"

#include <unistd.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace quoin::test {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---- ByteReader

TEST_CASE("the reader takes little-endian values one after the other") {
    const std::vector<std::byte> bytes = bytes_of({"\x01\x02\x03\x04\xFF\x00\x00\x80\x3F", 9});
    ByteReader reader(bytes);
    CHECK(reader.read<uint32_t>() == 0x04030201U);
    CHECK(reader.read<int8_t>() == -1);
    CHECK(reader.read<float>() == 1.0F);
    CHECK(reader.position() == 9);
    CHECK(reader.remaining() == 0);
}

TEST_CASE("a value that does not fit any more is not read and moves nothing") {
    const std::vector<std::byte> bytes = bytes_of("abc");
    ByteReader reader(bytes);
    CHECK(reader.read<uint32_t>() == std::nullopt);
    CHECK(reader.position() == 0);
    CHECK(reader.read<uint16_t>() == 0x6261);
    CHECK(reader.read<uint16_t>() == std::nullopt);
    CHECK(reader.read<uint8_t>() == 0x63);
    CHECK(reader.read<uint8_t>() == std::nullopt);
    CHECK(reader.position() == 3);
}

TEST_CASE("a string longer than the rest is not read, however long it claims to be") {
    const std::vector<std::byte> bytes = bytes_of("abcd");
    ByteReader reader(bytes);
    CHECK(reader.read_string(1) == "a");
    CHECK(reader.read_string(4) == std::nullopt);
    CHECK(reader.read_string(UINT64_MAX) == std::nullopt);
    CHECK(reader.read_string(UINT64_MAX - 1) == std::nullopt);
    CHECK(reader.position() == 1);
    CHECK(reader.read_string(3) == "bcd");
    CHECK(reader.read_string(0) == "");
}

TEST_CASE("an empty span has nothing to read") {
    ByteReader reader({});
    CHECK(reader.remaining() == 0);
    CHECK(reader.read<uint8_t>() == std::nullopt);
    CHECK(reader.read_string(0) == "");
}

// ---- Memory and Buffer

TEST_CASE("memory counts what its buffers hold until they end") {
    const auto memory = std::make_shared<Memory>();
    {
        const Buffer first = Buffer::allocate(memory, 1000, "first").value();
        Buffer second = Buffer::allocate(memory, 24, "second").value();
        CHECK(memory->used_bytes() == 1024);
        CHECK(reinterpret_cast<uintptr_t>(first.data()) % Memory::kAlignment == 0);
        Buffer moved = std::move(second);
        CHECK(memory->used_bytes() == 1024);
        moved = Buffer();
        CHECK(memory->used_bytes() == 1000);
    }
    CHECK(memory->used_bytes() == 0);
}

TEST_CASE("buffers of many megabytes are aligned and counted like small ones") {
    constexpr size_t kBytes = (size_t{9} << 20) + 5;
    const auto memory = std::make_shared<Memory>();
    const Buffer buffer = Buffer::allocate(memory, kBytes, "large").value();
    CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % Memory::kAlignment == 0);
    CHECK(memory->used_bytes() == kBytes);
    buffer.data()[kBytes - 1] = std::byte{1};
}

TEST_CASE("a buffer keeps its memory alive") {
    auto memory = std::make_shared<Memory>();
    const std::weak_ptr<Memory> watched = memory;
    {
        const Buffer buffer = Buffer::allocate(memory, 8, "x").value();
        memory.reset();
        CHECK_FALSE(watched.expired());
    }
    CHECK(watched.expired());
}

TEST_CASE("beyond the budget there is no memory and the message says for what") {
    const auto memory = std::make_shared<Memory>(1000);
    CHECK(memory->budget_bytes() == 1000);
    const Buffer first = Buffer::allocate(memory, 600, "first").value();
    const Result<Buffer> refused = Buffer::allocate(memory, 401, "the KV cache");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::OutOfMemory);
    CHECK_THAT(refused.status().message(), contains("no 401 bytes for the KV cache"));
    CHECK_THAT(refused.status().message(), contains("600 bytes of the budget of 1000"));
    CHECK(memory->used_bytes() == 600);
    CHECK(Buffer::allocate(memory, 400, "exactly the rest").ok());
    CHECK_FALSE(Buffer::allocate(memory, SIZE_MAX, "more than can be counted").ok());
    CHECK(memory->used_bytes() == 600);
}

TEST_CASE("the host's functions are asked for every block and given back the same block and size") {
    std::vector<std::pair<size_t, size_t>> asked;
    std::vector<std::pair<void*, size_t>> returned;
    const auto memory = std::make_shared<Memory>(
        0,
        [&](size_t bytes, size_t alignment) {
            asked.emplace_back(bytes, alignment);
            return std::aligned_alloc(alignment, 128);
        },
        [&](void* block, size_t bytes) {
            returned.emplace_back(block, bytes);
            std::free(block);
        });
    void* block = nullptr;
    {
        const Buffer buffer = Buffer::allocate(memory, 100, "x").value();
        block = buffer.data();
        CHECK(Buffer::allocate(memory, 0, "nothing").value().data() == nullptr);
    }
    CHECK(asked == std::vector<std::pair<size_t, size_t>>{{100, 64}});
    CHECK(returned == std::vector<std::pair<void*, size_t>>{{block, 100}});
}

TEST_CASE("when the host has no memory the message names the purpose and nothing is counted") {
    const auto memory = std::make_shared<Memory>(0, [](size_t, size_t) -> void* { return nullptr; });
    const Result<Buffer> refused = Buffer::allocate(memory, 7, "tensor 'w'");
    CHECK(refused.status().code() == StatusCode::OutOfMemory);
    CHECK(refused.status().message() == "no 7 bytes for tensor 'w'");
    CHECK(memory->used_bytes() == 0);
}

TEST_CASE("tensors are counted bytes, and copies share them") {
    const auto memory = std::make_shared<Memory>();
    Tensor tensor = Tensor::allocate(memory, DType::F16, {2, 3}, "x").value();
    CHECK(tensor.byte_size() == 12);
    CHECK(tensor.as<uint16_t>().size() == 6);
    const Tensor copy = tensor;
    tensor = Tensor();
    copy.as<uint16_t>()[5] = 1;
    CHECK(memory->used_bytes() == 12);
}

TEST_CASE("a tensor whose shape cannot be has no bytes") {
    const auto memory = std::make_shared<Memory>();
    for (const Shape& shape : {Shape{2, 33}, Shape{-32}, Shape{int64_t{1} << 40, int64_t{1} << 40}}) {
        const Result<Tensor> tensor = Tensor::allocate(memory, DType::Q4_0, shape, "weight");
        CHECK(tensor.status().code() == StatusCode::InvalidArgument);
        CHECK_THAT(tensor.status().message(),
                   contains("weight: no tensor of q4_0 can have the shape " + to_string(shape)));
    }
}

// ---- Sources

// A file in the system's folder for such things, gone with the object.
class TemporaryFile {
public:
    explicit TemporaryFile(std::string_view content)
        : path_((std::filesystem::temp_directory_path() / "quoin-source-XXXXXX").string()) {
        close(mkstemp(path_.data()));
        std::ofstream(path_, std::ios::binary) << content;
    }
    ~TemporaryFile() { std::filesystem::remove(path_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

void check_reads_past_the_end(const Source& source) {
    const auto refused = [&](uint64_t offset, uint64_t count) {
        const Result<SourceBytes> bytes = source.read(offset, count);
        CHECK(bytes.status().code() == StatusCode::InvalidModel);
        CHECK_THAT(bytes.status().message(), contains(source.name() + ": " + std::to_string(count)));
    };
    const uint64_t size = source.size();
    refused(0, size + 1);
    refused(size, 1);
    refused(size + 1, 0);
    refused(1, UINT64_MAX);
    refused(UINT64_MAX, 2);
    CHECK(source.read(size, 0).ok());
}

TEST_CASE("a file gives the same bytes mapped and read") {
    const TemporaryFile file("0123456789");
    const auto memory = std::make_shared<Memory>();
    for (const bool use_mmap : {true, false}) {
        CAPTURE(use_mmap);
        const SourcePtr source = open_file(file.path(), use_mmap, memory).value();
        CHECK(source->name() == file.path());
        CHECK(source->size() == 10);
        CHECK(source->is_mapped() == use_mmap);
        const SourceBytes bytes = source->read(2, 5).value();
        CHECK(text_of(bytes.bytes) == "23456");
        CHECK(memory->used_bytes() == (use_mmap ? 0 : 5));
        source->release(0, 10);
        CHECK(text_of(source->read(7, 3)->bytes) == "789");
        check_reads_past_the_end(*source);
    }
    CHECK(memory->used_bytes() == 0);
}

#if defined(__linux__)
TEST_CASE("a file that the system cannot map is read") {
    constexpr int64_t kSize = int64_t{1} << 60;  // more than any address space; nearly all of it holes
    const int descriptor = memfd_create("large", 0);
    REQUIRE(descriptor >= 0);
    REQUIRE(ftruncate(descriptor, kSize) == 0);
    REQUIRE(pwrite(descriptor, "0123456789", 10, kSize - 10) == 10);
    const auto memory = std::make_shared<Memory>();
    const Result<SourcePtr> source = open_file("/proc/self/fd/" + std::to_string(descriptor), true, memory);
    close(descriptor);
    INFO(source.status().message());
    REQUIRE(source.ok());
    CHECK_FALSE((*source)->is_mapped());
    CHECK((*source)->size() == kSize);
    CHECK(text_of((*source)->read(kSize - 8, 5)->bytes) == "23456");
    check_reads_past_the_end(**source);
}
#endif

TEST_CASE("bytes of a mapped file outlive their source") {
    const TemporaryFile file("0123456789");
    SourcePtr source = open_file(file.path(), true, std::make_shared<Memory>()).value();
    const SourceBytes bytes = source->read(0, 10).value();
    source.reset();
    CHECK(text_of(bytes.bytes) == "0123456789");
}

TEST_CASE("released pages of a mapped file can be read again") {
    const std::string content(40000, 'x');
    const TemporaryFile file(content);
    const SourcePtr source = open_file(file.path(), true, std::make_shared<Memory>()).value();
    CHECK(text_of(source->read(0, 40000)->bytes) == content);
    source->release(100, 39000);
    CHECK(text_of(source->read(0, 40000)->bytes) == content);
}

TEST_CASE("a file that is missing, a folder or empty is refused with the reason") {
    const auto memory = std::make_shared<Memory>();
    const TemporaryFile empty("");
    const Status missing = open_file("no/such/file", true, memory).status();
    CHECK(missing.code() == StatusCode::Io);
    CHECK_THAT(missing.message(), contains("cannot open 'no/such/file': No such file"));
    CHECK_THAT(open_file(".", true, memory).status().message(), contains("'.' is not a regular file"));
    CHECK(open_file(empty.path(), true, memory).status().code() == StatusCode::InvalidModel);
    CHECK_THAT(open_file(empty.path(), false, memory).status().message(), contains("the file is empty"));
}

TEST_CASE("a file that became shorter fails to read instead of giving other bytes") {
    const TemporaryFile file("0123456789");
    const SourcePtr source = open_file(file.path(), false, std::make_shared<Memory>()).value();
    std::filesystem::resize_file(file.path(), 4);
    CHECK(text_of(source->read(0, 4)->bytes) == "0123");
    const Status status = source->read(2, 5).status();
    CHECK(status.code() == StatusCode::Io);
    CHECK_THAT(status.message(), contains("reading 5 bytes at offset 2 failed"));
}

TEST_CASE("memory of the caller is used where it lies") {
    const std::vector<std::byte> bytes = bytes_of("abcdef");
    const SourcePtr source = wrap_memory(bytes);
    CHECK(source->name() == "<memory>");
    CHECK(source->is_mapped());
    CHECK(source->read(1, 3)->bytes.data() == bytes.data() + 1);
    source->release(0, 6);
    CHECK(text_of(source->read(3, 3)->bytes) == "def");
    check_reads_past_the_end(*source);
}

TEST_CASE("a reader function is asked for exactly the bytes that are wanted") {
    std::vector<std::pair<uint64_t, size_t>> asked;
    const auto memory = std::make_shared<Memory>();
    const SourcePtr source = wrap_reader(
        1000,
        [&](uint64_t offset, std::span<std::byte> bytes) {
            asked.emplace_back(offset, bytes.size());
            std::ranges::fill(bytes, static_cast<std::byte>('a' + offset % 26));
            return true;
        },
        memory);
    CHECK_FALSE(source->is_mapped());
    CHECK(text_of(source->read(2, 3)->bytes) == "ccc");
    CHECK(asked == std::vector<std::pair<uint64_t, size_t>>{{2, 3}});
    check_reads_past_the_end(*source);
    CHECK(memory->used_bytes() == 0);
}

TEST_CASE("a reader function that fails gives an input error that says where") {
    const auto memory = std::make_shared<Memory>();
    const SourcePtr source = wrap_reader(
        1000, [](uint64_t, std::span<std::byte>) { return false; }, memory);
    const Status status = source->read(16, 32).status();
    CHECK(status.code() == StatusCode::Io);
    CHECK(status.message() == "<reader>: reading 32 bytes at offset 16 failed");
    CHECK(memory->used_bytes() == 0);
}

TEST_CASE("a block that is refused keeps no other from what fits", "[threaded]") {
    const auto memory = std::make_shared<Memory>(1000);
    std::atomic<bool> done{false};
    int granted = 0;
    std::thread other([&] {
        while (!done) granted += Buffer::allocate(memory, 1001, "too much").ok() ? 1 : 0;
    });
    int refused = 0;
    for (int turn = 0; turn < 20000; ++turn) refused += Buffer::allocate(memory, 10, "a little").ok() ? 0 : 1;
    done = true;
    other.join();
    CHECK(granted == 0);
    CHECK(refused == 0);
    CHECK(memory->used_bytes() == 0);
}

TEST_CASE("a reader whose bytes do not fit into the budget is out of memory") {
    const SourcePtr source = wrap_reader(
        1000, [](uint64_t, std::span<std::byte>) { return true; }, std::make_shared<Memory>(100));
    CHECK(source->read(0, 100).ok());
    CHECK(source->read(0, 101).status().code() == StatusCode::OutOfMemory);
}

}  // namespace
}  // namespace quoin::test
