// Memory that cannot be had: for weights, for KV pages, for the arena; by a budget or by the host's allocator.
#include "capi/capi_test.h"

namespace {

using namespace quoin::test;

constexpr int64_t kTokens = 64;

// What a model, its context and its first step take together, counted by the library.
struct Needs {
    uint64_t weights = 0;
    uint64_t pages = 0;  // weights included, and so on
    uint64_t arena = 0;

    Needs() {
        const RuntimeHandle runtime = one_thread();
        const ModelHandle model = load(runtime.get(), tiny_bytes());
        weights = quoin_runtime_memory_bytes(runtime.get());
        const ContextHandle context = make_context(model.get(), kTokens);
        pages = quoin_runtime_memory_bytes(runtime.get());
        const SequenceHandle sequence = make_sequence(context.get(), {1, 2, 3});
        check_ok(quoin_sequence_evaluate(sequence.get(), 0, nullptr, 0, nullptr));
        arena = quoin_runtime_memory_bytes(runtime.get());
    }
};

RuntimeHandle with_budget(uint64_t bytes) {
    quoin_runtime_options options{};
    options.threads = 1;
    options.memory_budget_bytes = bytes;
    return make_runtime(options);
}

}  // namespace

TEST_CASE("a budget too small for the weights fails the load and releases all") {
    const Needs needs;
    for (const uint64_t budget : {uint64_t{1}, needs.weights / 2, needs.weights - 1}) {
        CAPTURE(budget);
        const RuntimeHandle runtime = with_budget(budget);
        quoin_model* made = nullptr;
        const std::string sentence = check_fails(
            quoin_model_load_memory(runtime.get(), tiny_bytes().data(), tiny_bytes().size(), nullptr, &made),
            QUOIN_ERROR_OUT_OF_MEMORY);
        CHECK_THAT(sentence, contains("memory_budget_bytes"));
        CHECK_THAT(sentence, contains(".weight"));  // which tensor it was
        CHECK(made == nullptr);
        CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
    }
}

TEST_CASE("a budget too small for the KV pages fails the context") {
    const Needs needs;
    REQUIRE(needs.pages > needs.weights);
    for (const uint64_t budget : {needs.weights, needs.pages - 1}) {
        const RuntimeHandle runtime = with_budget(budget);
        const ModelHandle model = load(runtime.get(), tiny_bytes());
        auto options = sized<quoin_context_options>();
        options.kv_tokens = kTokens;
        quoin_context* made = nullptr;
        CHECK_THAT(check_fails(quoin_context_create(model.get(), &options, &made), QUOIN_ERROR_OUT_OF_MEMORY),
                   contains("KV cache"));
        CHECK(made == nullptr);
        CHECK(quoin_runtime_memory_bytes(runtime.get()) == needs.weights);
    }
}

TEST_CASE("a budget too small for the arena fails the step, and a smaller step may still work") {
    const Needs needs;
    REQUIRE(needs.arena > needs.pages);
    {
        const RuntimeHandle runtime = with_budget(needs.arena);
        const ModelHandle model = load(runtime.get(), tiny_bytes());
        const ContextHandle context = make_context(model.get(), kTokens);
        const SequenceHandle sequence = make_sequence(context.get(), std::vector<int32_t>(60, 5));
        check_fails(quoin_sequence_evaluate(sequence.get(), 0, nullptr, 0, nullptr), QUOIN_ERROR_OUT_OF_MEMORY);
        CHECK(quoin_sequence_length(sequence.get()) == 60);
        check_ok(quoin_sequence_trim(sequence.get(), 2));
        check_ok(quoin_sequence_evaluate(sequence.get(), 0, nullptr, 0, nullptr));
    }
    const RuntimeHandle runtime = with_budget(needs.pages);
    {
        const ModelHandle model = load(runtime.get(), tiny_bytes());
        const ContextHandle context = make_context(model.get(), kTokens);
        const SequenceHandle sequence = make_sequence(context.get(), {1});
        for (int attempt = 0; attempt < 2; ++attempt) {
            check_fails(quoin_sequence_evaluate(sequence.get(), 0, nullptr, 0, nullptr), QUOIN_ERROR_OUT_OF_MEMORY);
        }
        auto metrics = sized<quoin_metrics>();
        check_ok(quoin_context_metrics(context.get(), &metrics));
        CHECK(metrics.pages_used == 0);  // what was taken for the step is free again
    }
    CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
}

TEST_CASE("the host's functions get back every block with its size") {
    HostMemory host;
    {
        const RuntimeHandle runtime = make_runtime(host.options());
        const ModelHandle model = load(runtime.get(), tiny_bytes());
        static_cast<void>(logits_of(model.get(), {1, 2, 3, 4}));
        CHECK(host.taken() > 0);
        CHECK(quoin_runtime_memory_bytes(runtime.get()) == host.bytes_in_use());
    }
    CHECK(host.all_returned());
    CHECK(host.sizes_matched());
}

TEST_CASE("loading through a reader takes the model and one tensor at most") {
    HostMemory host;
    const RuntimeHandle runtime = make_runtime(host.options());
    TestReader reader(tiny_bytes());
    const quoin_reader functions = reader.functions();
    quoin_model* made = nullptr;
    check_ok(quoin_model_load_reader(runtime.get(), &functions, nullptr, &made));
    const ModelHandle model(made);
    CHECK(host.peak_bytes() <= host.bytes_in_use() + host.largest_returned());  // the tensor read last
    CHECK(host.largest_returned() < host.bytes_in_use() / 4);
}

TEST_CASE("a host that has no more memory at any block fails the call and gets all back") {
    for (size_t allowed = 0;; ++allowed) {
        CAPTURE(allowed);
        REQUIRE(allowed < 1000);
        HostMemory host;
        host.fail_after(allowed);
        quoin_status status = QUOIN_OK;
        {
            const RuntimeHandle runtime = make_runtime(host.options());
            quoin_model* model = nullptr;
            quoin_context* context = nullptr;
            quoin_sequence* sequence = nullptr;
            const int32_t ids[] = {1, 2, 3};
            TestReader reader(small_bytes());  // its bytes come from the host's memory, too
            const quoin_reader functions = reader.functions();
            status = quoin_model_load_reader(runtime.get(), &functions, nullptr, &model);
            if (status == QUOIN_OK) status = quoin_context_create(model, nullptr, &context);
            if (status == QUOIN_OK) status = quoin_sequence_create(context, nullptr, &sequence);
            if (status == QUOIN_OK) status = quoin_sequence_append_tokens(sequence, ids, 3);
            if (status == QUOIN_OK) status = quoin_sequence_evaluate(sequence, 0, nullptr, 0, nullptr);
            if (status != QUOIN_OK) check_fails(status, QUOIN_ERROR_OUT_OF_MEMORY);
            quoin_sequence_destroy(sequence);
            quoin_context_destroy(context);
            quoin_model_destroy(model);
        }
        CHECK(host.all_returned());
        CHECK(host.sizes_matched());
        if (status == QUOIN_OK) break;
    }
}

TEST_CASE("a file's size bounds what it can make the library allocate") {
    // A header that promises 4 TB of weights in a file of a kilobyte.
    GgufWriter file = smallest_model("llama");
    file.key("tokenizer.ggml.model", "no_vocab");
    file.find_tensor("token_embd.weight").ne = {int64_t{1} << 20, int64_t{1} << 20};
    const std::vector<std::byte> written = file.write();
    const FileBytes bytes(std::string(reinterpret_cast<const char*>(written.data()), written.size()));
    HostMemory host;
    const RuntimeHandle runtime = make_runtime(host.options());
    quoin_model* made = nullptr;
    check_fails(quoin_model_load_memory(runtime.get(), bytes.data(), bytes.size(), nullptr, &made),
                QUOIN_ERROR_INVALID_MODEL);
    CHECK(host.taken() == 0);
}
