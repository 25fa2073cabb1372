// quoin_model_quantize_file: what goes through the header. What is written is tested in tests/quantize.
#include <quoin/quoin.hpp>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "capi/capi_test.h"

#include <unistd.h>

namespace {

using namespace quoin::test;
namespace fs = std::filesystem;

// A small model in f32 as a file, and a path beside it to write to; gone at the end.
class Files {
public:
    Files() : folder_(fs::temp_directory_path() / ("quoin-capi-quantize-" + std::to_string(getpid()))) {
        fs::remove_all(folder_);
        fs::create_directory(folder_);
        std::ofstream file(source(), std::ios::binary);
        file.write(static_cast<const char*>(small_bytes().data()), static_cast<std::streamsize>(small_bytes().size()));
    }
    Files(const Files&) = delete;
    Files& operator=(const Files&) = delete;
    ~Files() { fs::remove_all(folder_); }
    std::string source() const { return (folder_ / "in.gguf").string(); }
    std::string output() const { return (folder_ / "out.gguf").string(); }
    bool written() const { return fs::exists(output()); }

private:
    fs::path folder_;
};

quoin_status quantize(const Files& files, const char* type, const quoin_quantize_options* options,
                      quoin_quantize_facts* facts = nullptr) {
    const std::string output = files.output();
    return quoin_model_quantize_file(nullptr, files.source().c_str(), QUOIN_STRLEN, type, QUOIN_STRLEN, output.data(),
                                     output.size(), options, facts);
}

struct Seen {
    double fraction = -1;
    int64_t tensors = 0;
    uint64_t bytes = 0;
    int32_t stop_progress = 0;
    int32_t stop_tensor = 0;
};
int32_t on_progress(double fraction, void* user_data) {
    Seen& seen = *static_cast<Seen*>(user_data);
    CHECK(fraction >= seen.fraction);
    seen.fraction = fraction;
    return seen.stop_progress;
}
int32_t on_tensor(const quoin_quantized_tensor* tensor, void* user_data) {
    Seen& seen = *static_cast<Seen*>(user_data);
    CHECK(tensor->struct_size == sizeof(*tensor));
    CHECK(tensor->name_length > 0);
    CHECK(tensor->rank >= 1);
    CHECK(tensor->dims[0] > 0);
    CHECK(tensor->dtype != QUOIN_DTYPE_UNDEFINED);
    CHECK((tensor->bytes == tensor->source_bytes) == (tensor->dtype == tensor->source_dtype));
    ++seen.tensors;
    seen.bytes += tensor->bytes;
    return seen.stop_tensor;
}

quoin_quantize_options with_callbacks(Seen& seen) {
    auto options = sized<quoin_quantize_options>();
    options.progress = on_progress;
    options.progress_user_data = &seen;
    options.tensor = on_tensor;
    options.tensor_user_data = &seen;
    return options;
}

TEST_CASE("a model is quantised, with progress and facts") {
    const Files files;
    Seen seen;
    const quoin_quantize_options options = with_callbacks(seen);
    auto facts = sized<quoin_quantize_facts>();
    check_ok(quantize(files, "f16", &options, &facts));
    CHECK(facts.source_bytes == fs::file_size(files.source()));
    CHECK(facts.output_bytes == fs::file_size(files.output()));
    CHECK(facts.tensors == seen.tensors);
    CHECK(facts.unfit == 0);
    CHECK(seen.fraction == 1);
    CHECK(seen.bytes < facts.output_bytes);

    quoin_model* made = nullptr;
    check_ok(quoin_model_load_file(nullptr, files.output().c_str(), QUOIN_STRLEN, nullptr, &made));
    const ModelHandle model(made);
    CHECK(quoin_model_kind(made) == QUOIN_MODEL_DECODER);
}

TEST_CASE("callbacks stop the work") {
    const Files files;
    for (const bool by_tensor : {false, true}) {
        Seen seen;
        (by_tensor ? seen.stop_tensor : seen.stop_progress) = 1;
        const quoin_quantize_options options = with_callbacks(seen);
        auto facts = sized<quoin_quantize_facts>();
        facts.tensors = 4711;
        check_fails(quantize(files, "f32", &options, &facts), QUOIN_CANCELLED);
        CHECK(facts.tensors == 4711);
        CHECK_FALSE(files.written());
    }
}

TEST_CASE("an unknown type is answered with the known ones") {
    const Files files;
    const std::string sentence = check_fails(quantize(files, "q9_9", nullptr), QUOIN_ERROR_INVALID_ARGUMENT);
    CHECK_THAT(sentence, contains("q9_9"));
    CHECK_THAT(sentence, contains("q4_k_m"));
    auto options = sized<quoin_quantize_options>();
    options.mmap_mode = 7;
    check_fails(quantize(files, "f16", &options), QUOIN_ERROR_INVALID_ARGUMENT);
    const std::string zero("x\0y", 3);
    check_fails(quoin_model_quantize_file(nullptr, files.source().c_str(), QUOIN_STRLEN, "f16", 3, zero.data(),
                                          zero.size(), nullptr, nullptr),
                QUOIN_ERROR_INVALID_ARGUMENT);
    CHECK_FALSE(files.written());
}

TEST_CASE("exceptions of the C++ callbacks come out of the call") {
    const Files files;
    quoin::QuantizeOptions options;
    auto fail = [](const quoin_quantized_tensor&) { throw std::runtime_error("enough"); };
    const quoin::TensorProgress tensors(fail, options);
    CHECK_THROWS_AS(quoin::quantize_file(files.source(), "f16", files.output(), options), quoin::Error);
    CHECK_THROWS_WITH(tensors.rethrow(), contains("enough"));
    CHECK(quoin::quantize_file(files.source(), "f16", files.output()).tensors > 0);
}

}  // namespace
