// Whole files: what is kept, what is converted, and that nothing is left when something goes wrong.
#include "quantize/quantize.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/half.h"
#include "core/log.h"
#include "kernels/worse.h"
#include "load/gguf.h"
#include "quantize/decoders.h"
#include "quantize/folder.h"
#include "quantize/weights.h"
#include "support/catch.h"
#include "support/gguf_writer.h"

namespace quoin::test {
namespace {

namespace fs = std::filesystem;

RuntimePtr make_runtime(int threads) {
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>();
    runtime->team = std::make_unique<Team>(threads);
    runtime->isa = effective_isa({});
    return runtime;
}

Result<QuantizeResult> quantize(const std::string& from, const std::string& to, const std::string& type,
                                int threads = 2, QuantizeOptions options = {}, bool use_mmap = true) {
    options.type = type;
    const RuntimePtr runtime = make_runtime(threads);
    const Result<SourcePtr> source = open_file(from, use_mmap, runtime->memory);
    if (!source.ok()) return source.status();
    Result<QuantizeResult> result = quantize_file(*source, to, runtime, options);
    CHECK(runtime->memory->used_bytes() == 0);
    return result;
}

std::vector<std::byte> bytes_of(const std::vector<float>& weights, DType dtype) {
    std::vector<std::byte> bytes;
    for (const float weight : weights) {
        std::byte element[4];
        const uint16_t half = dtype == DType::F16 ? f32_to_f16(weight) : f32_to_bf16(weight);
        const size_t size = dtype == DType::F32 ? 4 : 2;
        std::memcpy(element, dtype == DType::F32 ? static_cast<const void*>(&weight) : &half, size);
        bytes.insert(bytes.end(), element, element + size);
    }
    return bytes;
}

// Two layers of a llama, 256 wide, random weights.
GgufWriter small_llama(uint32_t type = kGgmlF32) {
    GgufWriter writer = make_model({.type = type,
                                    .width = 256,
                                    .layers = 2,
                                    .heads = 8,
                                    .kv_heads = 2,
                                    .head_size = 32,
                                    .inner = 512,
                                    .vocabulary = 64,
                                    .tied = false});
    for (GgufWriter::Tensor& tensor : writer.tensors) {
        size_t count = 1;
        for (const int64_t n : tensor.ne) count *= static_cast<size_t>(n);
        const DType dtype = tensor.type == kGgmlF32 ? DType::F32 : tensor.type == kGgmlF16 ? DType::F16 : DType::BF16;
        tensor.data = bytes_of(make_weights("gaussian", count), dtype);
        tensor.data_bytes = tensor.data.size();
    }
    return writer;
}

GgufFile parse(const std::vector<std::byte>& bytes) {
    Result<GgufFile> file = parse_gguf(wrap_memory(bytes));
    INFO(file.status().message());
    REQUIRE(file.ok());
    return *std::move(file);
}

void check_fails(const Result<QuantizeResult>& result, StatusCode code, const std::string& part) {
    REQUIRE_FALSE(result.ok());
    INFO(result.status().message());
    CHECK(result.status().code() == code);
    CHECK_THAT(result.status().message(), contains(part));
}

// ---- What is written

TEST_CASE("keys are kept bit for bit, but for the two that tell the type") {
    const Folder folder;
    GgufWriter writer = small_llama();
    writer.key("general.file_type", uint32_t{0});
    writer.key("odd.u8", uint8_t{200}).key("odd.i8", int8_t{-3}).key("odd.u16", uint16_t{60000});
    writer.key("odd.i16", int16_t{-3}).key("odd.f64", 0.1).key("odd.u64", std::numeric_limits<uint64_t>::max());
    writer.key("odd.bool", true).key("odd.text", std::string_view("a\0b\xff", 4));
    writer.array("odd.numbers", std::vector<int16_t>{1, -2, 3}).strings("odd.strings", {"", "x", "\xc3\xa4"});
    write_file(folder / "in.gguf", writer.write());
    REQUIRE(quantize(folder / "in.gguf", folder / "out.gguf", "q4_k_m").ok());

    const std::vector<std::byte> before = read_file(folder / "in.gguf");
    const std::vector<std::byte> after = read_file(folder / "out.gguf");
    const GgufFile source = parse(before);
    const GgufFile made = parse(after);
    REQUIRE(made.metadata.entries().size() == source.metadata.entries().size() + 1);
    for (size_t i = 0; i < source.metadata.entries().size(); ++i) {
        const std::string_view key = source.metadata.entries()[i].key;
        CAPTURE(key);
        CHECK(made.metadata.entries()[i].key == key);
        if (key == "general.file_type") continue;
        CHECK(std::ranges::equal(made.key_bytes[i], source.key_bytes[i]));
    }
    CHECK(*made.metadata.integer("general.file_type", -1) == 15);
    CHECK(*made.metadata.integer("general.quantization_version", -1) == 2);
}

TEST_CASE("tensors keep their order, names and shapes; norms keep their bits") {
    const Folder folder;
    write_file(folder / "in.gguf", small_llama().write());
    const auto result = quantize(folder / "in.gguf", folder / "out.gguf", "q8_0");
    REQUIRE(result.ok());
    const std::vector<std::byte> before = read_file(folder / "in.gguf");
    const std::vector<std::byte> after = read_file(folder / "out.gguf");
    const GgufFile source = parse(before);
    const GgufFile made = parse(after);
    REQUIRE(made.tensors.size() == source.tensors.size());
    int64_t converted = 0;
    for (size_t i = 0; i < made.tensors.size(); ++i) {
        const GgufTensor& tensor = made.tensors[i];
        CAPTURE(tensor.name);
        CHECK(tensor.name == source.tensors[i].name);
        CHECK(tensor.shape == source.tensors[i].shape);
        if (tensor.shape.rank() == 1) {
            CHECK(tensor.dtype == DType::F32);
            CHECK(std::memcmp(after.data() + tensor.offset, before.data() + source.tensors[i].offset, tensor.bytes) ==
                  0);
            continue;
        }
        ++converted;
        CHECK(tensor.dtype == DType::Q8_0);
        const auto begin = after.begin() + static_cast<ptrdiff_t>(tensor.offset);
        const std::vector<double> got = decode(tensor.dtype, {begin, begin + static_cast<ptrdiff_t>(tensor.bytes)});
        const std::vector<float> wanted = make_weights("gaussian", got.size());
        double worst = 0;
        for (size_t e = 0; e < got.size(); ++e) {
            worst = worse(worst, std::abs(got[e] - static_cast<double>(wanted[e])));
        }
        CHECK(worst < 0.02 * 6 / 127);
    }
    CHECK(result->tensors == static_cast<int64_t>(made.tensors.size()));
    CHECK(result->converted == converted);
    CHECK(result->source_bytes == before.size());
    CHECK(result->output_bytes == after.size());
}

TEST_CASE("every type can be written from every float type, and read again") {
    const Folder folder;
    for (const uint32_t type : {uint32_t{kGgmlF32}, uint32_t{kGgmlF16}, uint32_t{kGgmlBF16}}) {
        write_file(folder / "in.gguf", small_llama(type).write());
        for (const char* const name :
             {"q4_0",   "q4_1",   "q5_0",      "q5_1",   "q8_0",   "q2_k",   "q2_k_s", "q3_k_s",
              "q3_k_m", "q3_k_l", "q4_k_s",    "q4_k_m", "q5_k_s", "q5_k_m", "q6_k",   "iq4_nl",
              "iq4_xs", "mxfp4",  "mxfp4_moe", "tq1_0",  "tq2_0",  "bf16",   "f16",    "f32"}) {
            CAPTURE(type, name);
            const auto result = quantize(folder / "in.gguf", folder / "out.gguf", name);
            INFO(result.status().message());
            REQUIRE(result.ok());
            const std::vector<std::byte> bytes = read_file(folder / "out.gguf");
            CHECK(parse(bytes).tensors.size() == static_cast<size_t>(result->tensors));
            CHECK(bytes.size() == result->output_bytes);
            CHECK(bytes.size() % 32 == 0);
        }
    }
}

TEST_CASE("the alignment of the source is kept") {
    const Folder folder;
    for (const uint32_t alignment : {8U, 64U, 4096U}) {
        GgufWriter writer = small_llama();
        writer.alignment = alignment;
        writer.key("general.alignment", alignment);
        write_file(folder / "in.gguf", writer.write());
        REQUIRE(quantize(folder / "in.gguf", folder / "out.gguf", "q4_k_s").ok());
        const std::vector<std::byte> bytes = read_file(folder / "out.gguf");
        const GgufFile made = parse(bytes);
        CHECK(made.alignment == alignment);
        for (const GgufTensor& tensor : made.tensors) CHECK(tensor.offset % alignment == 0);
    }
}

TEST_CASE("the bytes do not depend on threads or on how the file is read", "[threaded]") {
    const Folder folder;
    // More than one piece, and a last task that is not full.
    GgufWriter writer;
    writer.key("general.architecture", "llama").key("llama.block_count", uint32_t{1});
    writer.tensor("blk.0.ffn_up.weight", {2080, 2500});
    writer.tensors[0].data = bytes_of(make_weights("heavy tails", size_t{2080} * 2500), DType::F32);
    writer.tensors[0].data_bytes = writer.tensors[0].data.size();
    write_file(folder / "in.gguf", writer.write());
    REQUIRE(quantize(folder / "in.gguf", folder / "one.gguf", "q8_0", 1).ok());
    const std::vector<std::byte> wanted = read_file(folder / "one.gguf");
    for (const int threads : {2, 5}) {
        REQUIRE(quantize(folder / "in.gguf", folder / "more.gguf", "q8_0", threads).ok());
        CHECK(read_file(folder / "more.gguf") == wanted);
    }
    REQUIRE(quantize(folder / "in.gguf", folder / "read.gguf", "q8_0", 2, {}, false).ok());
    CHECK(read_file(folder / "read.gguf") == wanted);
}

TEST_CASE("rows that are no whole blocks get another type, and a warning says so") {
    const Folder folder;
    write_file(folder / "in.gguf", make_model({.width = 96, .heads = 6, .kv_heads = 2, .inner = 288}).write());
    std::vector<std::string> warnings;
    set_log(LogLevel::Warning, [&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
    const auto result = quantize(folder / "in.gguf", folder / "out.gguf", "q4_k_s");
    set_log(LogLevel::Error, {});
    REQUIRE(result.ok());
    CHECK(result->unfit > 0);
    REQUIRE(warnings.size() == static_cast<size_t>(result->unfit));
    CHECK_THAT(warnings[0], contains("96 are not whole blocks of q"));
}

TEST_CASE("quantised tensors of the wanted type are copied") {
    const Folder folder;
    write_file(folder / "in.gguf", small_llama().write());
    REQUIRE(quantize(folder / "in.gguf", folder / "first.gguf", "q4_0").ok());
    const auto again = quantize(folder / "first.gguf", folder / "second.gguf", "q4_0");
    REQUIRE(again.ok());
    CHECK(again->converted == 0);
    CHECK(read_file(folder / "first.gguf") == read_file(folder / "second.gguf"));
}

// ---- What is refused, and what is left then

TEST_CASE("wrong requests are refused with a sentence, and nothing is written") {
    const Folder folder;
    const std::string in = folder / "in.gguf";
    write_file(in, small_llama().write());
    REQUIRE(quantize(in, folder / "q4.gguf", "q4_0").ok());
    const size_t files = folder.files();
    check_fails(quantize(in, folder / "out.gguf", "q4"), StatusCode::InvalidArgument, "q4_k_m");
    check_fails(quantize(in, in, "q4_0"), StatusCode::InvalidArgument, "the file that is read");
    fs::create_symlink(in, folder / "link.gguf");
    check_fails(quantize(in, folder / "link.gguf", "q4_0"), StatusCode::InvalidArgument, "the file that is read");
    fs::remove(folder / "link.gguf");
    fs::create_hard_link(in, folder / "link.gguf");
    check_fails(quantize(in, folder / "link.gguf", "q4_0"), StatusCode::InvalidArgument, "the file that is read");
    fs::remove(folder / "link.gguf");
    check_fails(quantize(folder / "q4.gguf", folder / "out.gguf", "q8_0"), StatusCode::Unsupported, "rounding twice");
    check_fails(quantize(in, folder / "no/such/folder.gguf", "q4_0"), StatusCode::Io, "folder.gguf");
    check_fails(quantize(in, folder / "", "q4_0"), StatusCode::Io, "not a regular file");

    GgufWriter part = small_llama();
    part.key("split.count", uint16_t{3});
    write_file(folder / "part.gguf", part.write());
    check_fails(quantize(folder / "part.gguf", folder / "out.gguf", "q4_0"), StatusCode::Unsupported, "3 parts");
    fs::remove(folder / "part.gguf");
    write_file(folder / "empty.gguf", vocabulary_file().write());
    check_fails(quantize(folder / "empty.gguf", folder / "out.gguf", "q4_0"), StatusCode::Unsupported, "no tensors");
    fs::remove(folder / "empty.gguf");
    CHECK(folder.files() == files);
}

TEST_CASE("weights that are no numbers are refused, with their place") {
    const Folder folder;
    for (const uint32_t type : {uint32_t{kGgmlF32}, uint32_t{kGgmlF16}, uint32_t{kGgmlBF16}}) {
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()}) {
            GgufWriter writer = small_llama(type);
            GgufWriter::Tensor& tensor = writer.find_tensor("blk.1.ffn_up.weight");
            const DType dtype = type == kGgmlF32 ? DType::F32 : type == kGgmlF16 ? DType::F16 : DType::BF16;
            for (const size_t at : {70000U, 100000U}) {
                const std::vector<std::byte> element = bytes_of({bad}, dtype);
                std::ranges::copy(element, tensor.data.begin() + static_cast<ptrdiff_t>(at * element.size()));
            }
            write_file(folder / "in.gguf", writer.write());
            const auto result = quantize(folder / "in.gguf", folder / "out.gguf", "q4_k_m");
            check_fails(result, StatusCode::InvalidModel, "'blk.1.ffn_up.weight': element 70000 is NaN or infinite");
            CHECK(folder.files() == 1);
        }
    }
}

TEST_CASE("a file that ends too early leaves no output") {
    const Folder folder;
    const std::vector<std::byte> whole = small_llama().write();
    for (size_t size = 1; size < whole.size(); size += size < 4000 ? 61 : 40009) {
        write_file(folder / "in.gguf", {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)});
        CAPTURE(size);
        CHECK_FALSE(quantize(folder / "in.gguf", folder / "out.gguf", "q4_0").ok());
        CHECK(folder.files() == 1);
    }
}

TEST_CASE("a stopped run leaves what was there before") {
    const Folder folder;
    write_file(folder / "in.gguf", small_llama().write());
    write_file(folder / "out.gguf", std::vector<std::byte>(5, std::byte{7}));
    for (int stop = 0; stop < 12; ++stop) {
        QuantizeOptions options;
        int calls = 0;
        double last = 0;
        options.progress = [&](double fraction) {
            CHECK(fraction >= last);
            last = fraction;
            return calls++ < stop;
        };
        check_fails(quantize(folder / "in.gguf", folder / "out.gguf", "q4_0", 2, options), StatusCode::Cancelled,
                    "stopped");
        CHECK(read_file(folder / "out.gguf") == std::vector<std::byte>(5, std::byte{7}));
        CHECK(folder.files() == 2);
    }
    QuantizeOptions options;
    double last = 0;
    int64_t seen = 0;
    options.progress = [&](double fraction) {
        last = fraction;
        return true;
    };
    options.tensor_done = [&](const QuantizedTensor& tensor) {
        ++seen;
        CHECK(tensor.source_dtype == DType::F32);
        return true;
    };
    const auto result = quantize(folder / "in.gguf", folder / "out.gguf", "q4_0", 2, options);
    REQUIRE(result.ok());
    CHECK(last == 1);
    CHECK(seen == result->tensors);
    CHECK(fs::file_size(folder / "out.gguf") == result->output_bytes);

    options.tensor_done = [](const QuantizedTensor&) { return false; };
    check_fails(quantize(folder / "in.gguf", folder / "other.gguf", "q4_0", 2, options), StatusCode::Cancelled,
                "stopped");
    CHECK(folder.files() == 2);
}

TEST_CASE("an output that is a link is written through it") {
    const Folder folder;
    write_file(folder / "in.gguf", small_llama().write());
    write_file(folder / "target.gguf", {});
    fs::create_symlink("target.gguf", folder / "link.gguf");
    REQUIRE(quantize(folder / "in.gguf", folder / "link.gguf", "q4_0").ok());
    CHECK(fs::is_symlink(folder / "link.gguf"));
    CHECK(fs::file_size(folder / "target.gguf") > 1000);
}

}  // namespace
}  // namespace quoin::test
