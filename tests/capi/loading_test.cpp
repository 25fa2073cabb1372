// The three ways to load, and all the ways in which they fail.
#include <filesystem>

#include "capi/capi_test.h"

namespace {

using namespace quoin::test;

struct Progress {
    std::vector<double> fractions;
    size_t stop_after = SIZE_MAX;

    static int32_t report(double fraction, void* user_data) {
        auto& progress = *static_cast<Progress*>(user_data);
        progress.fractions.push_back(fraction);
        return progress.fractions.size() > progress.stop_after ? 1 : 0;
    }
    quoin_model_options options() {
        auto made = sized<quoin_model_options>();
        made.progress = report;
        made.progress_user_data = this;
        return made;
    }
};

ModelHandle load_file(const quoin_runtime* runtime, int32_t mmap_mode) {
    auto options = sized<quoin_model_options>();
    options.mmap_mode = mmap_mode;
    quoin_model* made = nullptr;
    check_ok(quoin_model_load_file(runtime, tiny_path().c_str(), QUOIN_STRLEN, &options, &made));
    return ModelHandle(made);
}

}  // namespace

TEST_CASE("path, memory and reader give the same model") {
    const RuntimeHandle runtime = one_thread();
    const std::vector<int32_t> ids = {1, 50, 300, 7, 1200};
    const std::vector<float> expected = logits_of(load(runtime.get(), tiny_bytes()).get(), ids);
    CHECK(logits_of(load_file(runtime.get(), QUOIN_MMAP_AUTO).get(), ids) == expected);
    CHECK(logits_of(load_file(runtime.get(), QUOIN_MMAP_NEVER).get(), ids) == expected);
    TestReader reader(tiny_bytes());
    const quoin_reader functions = reader.functions();
    quoin_model* made = nullptr;
    check_ok(quoin_model_load_reader(runtime.get(), &functions, nullptr, &made));
    const ModelHandle read(made);
    const size_t reads = reader.reads();
    CHECK(logits_of(made, ids) == expected);
    CHECK(reader.reads() == reads);  // called during the load only
    CHECK(reader.in_bounds());
}

TEST_CASE("a reader that fails at any read fails the load and leaves nothing") {
    TestReader whole(small_bytes());
    {
        const quoin_reader functions = whole.functions();
        quoin_model* made = nullptr;
        check_ok(quoin_model_load_reader(nullptr, &functions, nullptr, &made));
        quoin_model_destroy(made);
    }
    REQUIRE(whole.reads() > 5);
    const RuntimeHandle runtime = one_thread();
    for (size_t failing = 0; failing < whole.reads(); ++failing) {
        CAPTURE(failing);
        TestReader reader(small_bytes());
        reader.fail_at(failing);
        const quoin_reader functions = reader.functions();
        quoin_model* made = nullptr;
        check_fails(quoin_model_load_reader(runtime.get(), &functions, nullptr, &made), QUOIN_ERROR_IO);
        CHECK(made == nullptr);
        CHECK(reader.reads() == failing + 1);  // and it is not asked again
        CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
    }
}

TEST_CASE("progress rises to 1 and a non-zero return stops the load") {
    const RuntimeHandle runtime = one_thread();
    Progress whole;
    quoin_model_options options = whole.options();
    quoin_model* made = nullptr;
    check_ok(quoin_model_load_memory(runtime.get(), tiny_bytes().data(), tiny_bytes().size(), &options, &made));
    quoin_model_destroy(made);
    REQUIRE(whole.fractions.size() > 10);
    CHECK(std::ranges::is_sorted(whole.fractions));
    CHECK(whole.fractions.front() >= 0.0);
    CHECK(whole.fractions.front() < 0.5);
    CHECK(whole.fractions.back() == 1.0);
    for (size_t stop = 0; stop < whole.fractions.size(); ++stop) {
        CAPTURE(stop);
        Progress stopped;
        stopped.stop_after = stop;
        options = stopped.options();
        made = nullptr;
        check_fails(quoin_model_load_memory(runtime.get(), tiny_bytes().data(), tiny_bytes().size(), &options, &made),
                    QUOIN_CANCELLED);
        CHECK(made == nullptr);
        CHECK(stopped.fractions.size() == stop + 1);
        CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
    }
}

TEST_CASE("files that cannot be read say so with their name") {
    const auto load_path = [](const std::string& path) {
        quoin_model* made = nullptr;
        const quoin_status status = quoin_model_load_file(nullptr, path.data(), path.size(), nullptr, &made);
        CHECK(made == nullptr);
        return status;
    };
    CHECK_THAT(check_fails(load_path("no/such/model.gguf"), QUOIN_ERROR_IO), contains("no/such/model.gguf"));
    const std::string folder = source_file("examples").string();
    CHECK_THAT(check_fails(load_path(folder), QUOIN_ERROR_IO), contains(folder));
    check_fails(load_path(""), QUOIN_ERROR_IO);
    const std::string text = source_file("CMakeLists.txt").string();
    CHECK_THAT(check_fails(load_path(text), QUOIN_ERROR_INVALID_MODEL), contains(text));
    // A length ends the path, whatever follows in memory.
    CHECK_THAT(check_fails(load_path(tiny_path() + "x"), QUOIN_ERROR_IO), contains("quoin-tiny.ggufx"));
    const std::string longer = tiny_path() + "x";
    quoin_model* made = nullptr;
    check_ok(quoin_model_load_file(nullptr, longer.data(), longer.size() - 1, nullptr, &made));
    quoin_model_destroy(made);
}

TEST_CASE("a path with a zero byte is refused, not cut") {
    const std::string path = tiny_path() + std::string("\0x", 2);
    quoin_model* made = nullptr;
    check_fails(quoin_model_load_file(nullptr, path.data(), path.size(), nullptr, &made), QUOIN_ERROR_INVALID_ARGUMENT);
    CHECK(made == nullptr);
}

TEST_CASE("memory that is not aligned is refused") {
    quoin_model* made = nullptr;
    const auto* const shifted = static_cast<const char*>(small_bytes().data()) + 1;
    check_fails(quoin_model_load_memory(nullptr, shifted, small_bytes().size() - 1, nullptr, &made),
                QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(quoin_model_load_memory(nullptr, small_bytes().data(), 0, nullptr, &made), QUOIN_ERROR_INVALID_MODEL);
    CHECK(made == nullptr);
}

TEST_CASE("a model cut short anywhere is refused") {
    const RuntimeHandle runtime = one_thread();
    for (size_t size = 1; size < small_bytes().size(); size += size < 2000 ? 37 : 997) {
        CAPTURE(size);
        quoin_model* made = nullptr;
        const quoin_status status = quoin_model_load_memory(runtime.get(), small_bytes().data(), size, nullptr, &made);
        check_fails(status, QUOIN_ERROR_INVALID_MODEL);
        CHECK(made == nullptr);
    }
    CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
}

TEST_CASE("a provider and an arithmetic are asked for by name") {
    const auto try_to_load = [](const char* provider, const char* arithmetic, const quoin_runtime* runtime) {
        auto options = sized<quoin_model_options>();
        options.provider = provider;
        options.provider_length = provider == nullptr ? 0 : QUOIN_STRLEN;
        options.arithmetic = arithmetic;
        options.arithmetic_length = arithmetic == nullptr ? 0 : QUOIN_STRLEN;
        quoin_model* made = nullptr;
        const quoin_status status = quoin_model_load_file(runtime, tiny_path().c_str(), QUOIN_STRLEN, &options, &made);
        CHECK((made != nullptr) == (status == QUOIN_OK));
        quoin_model_destroy(made);
        return status;
    };
    for (const char* const provider : {"native", "reference", "best"}) {
        check_ok(try_to_load(provider, "f32", nullptr));
    }
    CHECK(check_fails(try_to_load("abacus", nullptr, nullptr), QUOIN_ERROR_INVALID_ARGUMENT).find("native") !=
          std::string::npos);
    CHECK(check_fails(try_to_load(nullptr, "f8", nullptr), QUOIN_ERROR_INVALID_ARGUMENT).find("bf16") !=
          std::string::npos);
    auto slow = sized<quoin_runtime_options>();
    slow.threads = 1;
    slow.isa = "baseline";
    slow.isa_length = QUOIN_STRLEN;
    quoin_runtime* made = nullptr;
    check_ok(quoin_runtime_create(&slow, &made));
    const RuntimeHandle runtime(made);
    CHECK(check_fails(try_to_load(nullptr, "bf16", made), QUOIN_ERROR_UNSUPPORTED).find("baseline") !=
          std::string::npos);
}

TEST_CASE("metadata alone loads whatever tokenizer the file has") {
    auto options = sized<quoin_model_options>();
    options.metadata_only = 1;
    for (const char* const tokenizer : {"bert", "none"}) {
        GgufWriter writer = vocabulary_file();
        writer.key("tokenizer.ggml.model", tokenizer);
        const std::vector<std::byte> bytes = writer.write();
        quoin_model* made = nullptr;
        check_ok(quoin_model_load_memory(nullptr, bytes.data(), bytes.size(), &options, &made));
        const ModelHandle model(made);
        CHECK(quoin_model_tokenizer(made) == nullptr);
        CHECK(quoin_model_metadata_count(made) > 0);
    }
}

TEST_CASE("metadata alone loads without weights, context or session") {
    auto options = sized<quoin_model_options>();
    options.metadata_only = 1;
    const RuntimeHandle runtime = one_thread();
    quoin_model* made = nullptr;
    check_ok(quoin_model_load_file(runtime.get(), tiny_path().c_str(), QUOIN_STRLEN, &options, &made));
    const ModelHandle model(made);
    CHECK(quoin_model_kind(made) == QUOIN_MODEL_VOCABULARY);
    CHECK(quoin_model_metadata_count(made) > 0);
    CHECK(quoin_tokenizer_vocabulary_size(quoin_model_tokenizer(made)) > 0);
    auto facts = sized<quoin_model_facts>();
    check_ok(quoin_model_info(made, &facts));
    CHECK(std::string_view(facts.architecture) == "llama");
    CHECK(quoin_model_input_count(made) == 0);
    CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
    quoin_context* context = nullptr;
    check_fails(quoin_context_create(made, nullptr, &context), QUOIN_ERROR_UNSUPPORTED);
    quoin_session* session = nullptr;
    check_fails(quoin_session_create(made, nullptr, &session), QUOIN_ERROR_UNSUPPORTED);
}
