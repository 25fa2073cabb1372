// Callers of older and newer headers: structs shorter and longer than this library's.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "capi/capi_test.h"

#include <unistd.h>

namespace {

using namespace quoin::test;

// Bytes as a file, for as long as the object lives.
class TemporaryFile {
public:
    explicit TemporaryFile(const FileBytes& bytes)
        : path_(std::filesystem::temp_directory_path() / ("quoin-structs-" + std::to_string(getpid()) + ".gguf")) {
        std::ofstream file(path_, std::ios::binary);
        file.write(static_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { std::filesystem::remove(path_); }
    std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

// `size` bytes of their own, so that AddressSanitizer sees every byte that is read or written too many.
template <class Struct>
class Callers {
public:
    explicit Callers(size_t size, uint8_t fill = 0) : bytes_(new uint8_t[size]), size_(size) {
        std::memset(bytes_.get(), fill, size);
        std::memcpy(bytes_.get(), &size, sizeof(size));
    }
    void set(size_t offset, const void* value, size_t bytes) { std::memcpy(bytes_.get() + offset, value, bytes); }
    Struct* get() { return reinterpret_cast<Struct*>(bytes_.get()); }
    uint8_t at(size_t offset) const { return bytes_[offset]; }
    bool tail_is(size_t offset, uint8_t byte) const {
        for (size_t each = offset; each < size_; ++each) {
            if (bytes_[each] != byte) return false;
        }
        return true;
    }

private:
    std::unique_ptr<uint8_t[]> bytes_;
    size_t size_;
};

// Reads an options struct with `call` in every shape that callers of other versions have.
template <class Struct, class Call>
void check_options(const Call& call) {
    for (size_t size = sizeof(size_t); size <= sizeof(Struct); ++size) {
        Callers<Struct> older(size);
        CAPTURE(size);
        check_ok(call(older.get()));
    }
    for (const size_t more : {size_t{1}, size_t{8}, size_t{100}}) {
        Callers<Struct> newer(sizeof(Struct) + more);
        check_ok(call(newer.get()));
        const uint8_t one = 1;
        newer.set(sizeof(Struct) + more - 1, &one, 1);
        CHECK_THAT(check_fails(call(newer.get()), QUOIN_ERROR_UNSUPPORTED), contains("newer library"));
    }
    for (const size_t wrong : {size_t{0}, size_t{1}, sizeof(size_t) - 1, size_t{4097}, SIZE_MAX}) {
        Struct unset{};
        unset.struct_size = wrong;
        CHECK_THAT(check_fails(call(&unset), QUOIN_ERROR_INVALID_ARGUMENT), contains("struct_size"));
    }
}

// Fills an output struct with `call` in every size: nothing behind it, nothing of struct_size, the beginning always.
template <class Struct, class Call>
void check_output(const Call& call) {
    for (size_t size = sizeof(size_t); size <= sizeof(Struct) + 24; ++size) {
        Callers<Struct> out(size, 0xA5);
        CAPTURE(size);
        check_ok(call(out.get()));
        CHECK(out.get()->struct_size == size);
        if (size > sizeof(Struct)) CHECK(out.tail_is(sizeof(Struct), 0xA5));
    }
    for (const size_t wrong : {size_t{0}, sizeof(size_t) - 1, size_t{4097}, SIZE_MAX}) {
        Callers<Struct> out(sizeof(Struct), 0xA5);
        out.set(0, &wrong, sizeof(wrong));
        CHECK_THAT(check_fails(call(out.get()), QUOIN_ERROR_INVALID_ARGUMENT), contains("struct_size"));
        CHECK(out.tail_is(sizeof(size_t), 0xA5));
    }
}

}  // namespace

TEST_CASE("option structs of older and newer callers are read") {
    check_options<quoin_runtime_options>([](const auto* options) {
        quoin_runtime* made = nullptr;
        const quoin_status status = quoin_runtime_create(options, &made);
        quoin_runtime_destroy(made);
        return status;
    });
    check_options<quoin_sampler_options>([](const auto* options) {
        quoin_sampler* made = nullptr;
        const quoin_status status = quoin_sampler_create(options, &made);
        quoin_sampler_destroy(made);
        return status;
    });
    const RuntimeHandle runtime = one_thread();
    check_options<quoin_model_options>([&](const auto* options) {
        quoin_model* made = nullptr;
        const quoin_status status =
            quoin_model_load_memory(runtime.get(), small_bytes().data(), small_bytes().size(), options, &made);
        quoin_model_destroy(made);
        return status;
    });
    const ModelHandle model = load(runtime.get(), small_bytes());
    check_options<quoin_session_options>([&](const auto* options) {
        quoin_session* made = nullptr;
        const quoin_status status = quoin_session_create(model.get(), options, &made);
        quoin_session_destroy(made);
        return status;
    });
    check_options<quoin_context_options>([&](const auto* options) {
        quoin_context* made = nullptr;
        const quoin_status status = quoin_context_create(model.get(), options, &made);
        quoin_context_destroy(made);
        return status;
    });
    const ContextHandle context = make_context(model.get());
    check_options<quoin_sequence_options>([&](const auto* options) {
        quoin_sequence* made = nullptr;
        const quoin_status status = quoin_sequence_create(context.get(), options, &made);
        quoin_sequence_destroy(made);
        return status;
    });
    const TemporaryFile source(small_bytes());
    check_options<quoin_quantize_options>([&](const auto* options) {
        const std::string output = source.path() + ".out";
        const quoin_status status =
            quoin_model_quantize_file(runtime.get(), source.path().c_str(), QUOIN_STRLEN, "f16", QUOIN_STRLEN,
                                      output.c_str(), QUOIN_STRLEN, options, nullptr);
        std::remove(output.c_str());
        return status;
    });
    check_options<quoin_generate_options>([&](const auto* options) {
        const SequenceHandle sequence = make_sequence(context.get(), {1, 2});
        return quoin_sequence_generate(sequence.get(), nullptr, options, nullptr, nullptr, nullptr);
    });
}

TEST_CASE("a reserved field that is not zero is refused") {
    auto options = sized<quoin_runtime_options>();
    options.reserved = 7;
    quoin_runtime* made = nullptr;
    CHECK(check_fails(quoin_runtime_create(&options, &made), QUOIN_ERROR_INVALID_ARGUMENT).find("reserved is 7") !=
          std::string::npos);
}

TEST_CASE("a field that the caller's struct does not reach has its default") {
    // Up to `threads` only; what lies behind in memory is not the caller's.
    Callers<quoin_runtime_options> options(offsetof(quoin_runtime_options, reserved), 0);
    const int32_t threads = 2;
    options.set(offsetof(quoin_runtime_options, threads), &threads, sizeof(threads));
    quoin_runtime* made = nullptr;
    check_ok(quoin_runtime_create(options.get(), &made));
    CHECK(quoin_runtime_threads(made) == 2);
    quoin_runtime_destroy(made);
}

// Four layers of width 192, keys of width 64, 512 between the two halves of the feed-forward, 1,536 tokens.
TEST_CASE("the facts of a decoder count matrices before and behind the last attention") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    auto facts = sized<quoin_model_facts>();
    check_ok(quoin_model_info(model.get(), &facts));
    constexpr int64_t kBefore = (192 + 64 + 64) * 192;
    constexpr int64_t kBehind = 192 * 192 + 3 * 512 * 192;
    CHECK(facts.prompt_multiply_adds == 4 * kBefore + 3 * kBehind);
    CHECK(facts.logits_multiply_adds == kBehind + 1536 * 192);
}

TEST_CASE("output structs of any size are filled as far as they go") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    const ContextHandle context = make_context(model.get());
    check_output<quoin_cpu>([](auto* out) { return quoin_cpu_info(out); });
    check_output<quoin_model_facts>([&](auto* out) { return quoin_model_info(model.get(), out); });
    check_output<quoin_metadata_value>([&](auto* out) { return quoin_model_metadata_value(model.get(), 0, 0, out); });
    check_output<quoin_value_info>([&](auto* out) { return quoin_model_input_info(model.get(), 0, out); });
    check_output<quoin_value_info>([&](auto* out) { return quoin_model_output_info(model.get(), 0, out); });
    const TemporaryFile source(small_bytes());
    check_output<quoin_quantize_facts>([&](auto* out) {
        const std::string output = source.path() + ".out";
        const quoin_status status = quoin_model_quantize_file(nullptr, source.path().c_str(), QUOIN_STRLEN, "f16",
                                                              QUOIN_STRLEN, output.c_str(), QUOIN_STRLEN, nullptr, out);
        std::remove(output.c_str());
        return status;
    });
    check_output<quoin_metrics>([&](auto* out) { return quoin_context_metrics(context.get(), out); });
    check_output<quoin_result>([&](auto* out) {
        auto options = sized<quoin_generate_options>();
        options.max_tokens = 1;
        const SequenceHandle sequence = make_sequence(context.get(), {1, 2});
        return quoin_sequence_generate(sequence.get(), nullptr, &options, nullptr, nullptr, out);
    });
}

TEST_CASE("generating refuses a bad result struct before it does any work") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), small_bytes());
    const ContextHandle context = make_context(model.get());
    const SequenceHandle sequence = make_sequence(context.get(), {1, 2});
    for (const size_t wrong : {size_t{0}, size_t{4097}}) {
        quoin_result result{};
        result.struct_size = wrong;
        check_fails(quoin_sequence_generate(sequence.get(), nullptr, nullptr, nullptr, nullptr, &result),
                    QUOIN_ERROR_INVALID_ARGUMENT);
        CHECK(quoin_sequence_length(sequence.get()) == 2);
    }
}

TEST_CASE("keys and values are kept in the element type that was asked for") {
    const ModelHandle model = load(nullptr, tiny_bytes());
    struct Type {
        int32_t dtype;
        int64_t bytes;  // of 32 values
    };
    int64_t f32_bytes = 0;
    for (const Type& type : {Type{QUOIN_DTYPE_F32, 128}, Type{QUOIN_DTYPE_F16, 64}, Type{QUOIN_DTYPE_BF16, 64},
                             Type{QUOIN_DTYPE_Q8_0, 34}, Type{QUOIN_DTYPE_Q4_0, 18}}) {
        auto options = sized<quoin_context_options>();
        options.kv_tokens = 64;
        options.kv_dtype = type.dtype;
        quoin_context* made = nullptr;
        check_ok(quoin_context_create(model.get(), &options, &made));
        const ContextHandle context(made);
        auto metrics = sized<quoin_metrics>();
        check_ok(quoin_context_metrics(context.get(), &metrics));
        if (type.dtype == QUOIN_DTYPE_F32) f32_bytes = metrics.kv_bytes_per_token;
        CHECK(metrics.kv_bytes_per_token * 128 == f32_bytes * type.bytes);
        const SequenceHandle sequence = make_sequence(context.get(), {1, 2, 3});
        check_ok(quoin_sequence_evaluate(sequence.get(), 0, nullptr, 0, nullptr));
    }
    for (const int32_t dtype : {QUOIN_DTYPE_I8, QUOIN_DTYPE_Q4_1, QUOIN_DTYPE_F64}) {
        auto options = sized<quoin_context_options>();
        options.kv_dtype = dtype;
        quoin_context* made = nullptr;
        CHECK_THAT(check_fails(quoin_context_create(model.get(), &options, &made), QUOIN_ERROR_UNSUPPORTED),
                   contains("f32, f16, bf16, q8_0 and q4_0"));
        CHECK(made == nullptr);
    }
}
