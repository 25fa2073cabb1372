// Objects keep alive what they were made from: every order of destruction is right and leaves nothing behind.
#include <algorithm>

#include "capi/capi_test.h"

namespace {

using namespace quoin::test;

enum class Kind { Runtime, Model, Context, Sequence, Session };

struct Objects {
    HostMemory host;
    quoin_runtime* runtime = nullptr;
    quoin_model* model = nullptr;
    quoin_context* context = nullptr;
    quoin_sequence* sequence = nullptr;
    quoin_session* session = nullptr;

    Objects() {
        quoin_runtime_options options = host.options();
        options.struct_size = sizeof(options);
        check_ok(quoin_runtime_create(&options, &runtime));
        check_ok(quoin_model_load_memory(runtime, small_bytes().data(), small_bytes().size(), nullptr, &model));
        context = make_context(model).release();
        sequence = make_sequence(context, {1, 2, 3}).release();
        check_ok(quoin_session_create(model, nullptr, &session));
    }
    void destroy(Kind kind) {
        switch (kind) {
            case Kind::Runtime: return quoin_runtime_destroy(runtime);
            case Kind::Model: return quoin_model_destroy(model);
            case Kind::Context: return quoin_context_destroy(context);
            case Kind::Sequence: return quoin_sequence_destroy(sequence);
            case Kind::Session: return quoin_session_destroy(session);
        }
    }
    void use(Kind kind) const {
        if (kind == Kind::Sequence) check_ok(quoin_sequence_evaluate(sequence, 0, nullptr, 0, nullptr));
        if (kind == Kind::Session) {
            int32_t ids[] = {1, 2};
            const int64_t dim = 2;
            quoin_tensor* tokens = nullptr;
            check_ok(quoin_tensor_wrap(ids, sizeof(ids), QUOIN_DTYPE_I32, 1, &dim, &tokens));
            check_ok(quoin_session_set_input(session, 0, tokens));
            quoin_tensor_destroy(tokens);
            check_ok(quoin_session_run(session));
        }
    }
};

}  // namespace

TEST_CASE("runtime, model, context, sequence and session may be destroyed in every order") {
    std::vector<Kind> order = {Kind::Runtime, Kind::Model, Kind::Context, Kind::Sequence, Kind::Session};
    do {
        Objects objects;
        for (size_t index = 0; index < order.size(); ++index) {
            // What is still there works, whatever is gone.
            for (size_t left = index; left < order.size(); ++left) objects.use(order[left]);
            objects.destroy(order[index]);
        }
        CHECK(objects.host.all_returned());
        CHECK(objects.host.sizes_matched());
    } while (std::ranges::next_permutation(order).found);
}

TEST_CASE("a runtime counts its memory and has none when all is destroyed") {
    const RuntimeHandle runtime = one_thread();
    CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
    ModelHandle model = load(runtime.get(), small_bytes());
    const uint64_t weights = quoin_runtime_memory_bytes(runtime.get());
    CHECK(weights > 0);
    ContextHandle context = make_context(model.get());
    const uint64_t with_pages = quoin_runtime_memory_bytes(runtime.get());
    auto metrics = sized<quoin_metrics>();
    check_ok(quoin_context_metrics(context.get(), &metrics));
    CHECK(with_pages == weights + static_cast<uint64_t>(metrics.memory_bytes));
    SequenceHandle sequence = make_sequence(context.get(), {1, 2, 3});
    check_ok(quoin_sequence_evaluate(sequence.get(), 0, nullptr, 0, nullptr));
    // Now with the arena, which the metrics count, too.
    check_ok(quoin_context_metrics(context.get(), &metrics));
    CHECK(quoin_runtime_memory_bytes(runtime.get()) == weights + static_cast<uint64_t>(metrics.memory_bytes));
    model.reset();
    context.reset();
    CHECK(quoin_runtime_memory_bytes(runtime.get()) > 0);  // the sequence holds them
    sequence.reset();
    CHECK(quoin_runtime_memory_bytes(runtime.get()) == 0);
}

TEST_CASE("a model of a destroyed runtime and a context of a destroyed model go on") {
    RuntimeHandle runtime = one_thread();
    ModelHandle model = load(runtime.get(), small_bytes());
    const std::vector<float> before = logits_of(model.get(), {1, 2, 3});
    runtime.reset();
    CHECK(logits_of(model.get(), {1, 2, 3}) == before);
    ContextHandle context = make_context(model.get());
    model.reset();
    const SequenceHandle sequence = make_sequence(context.get(), {1, 2, 3});
    context.reset();
    std::vector<float> logits(before.size());
    check_ok(quoin_sequence_evaluate(sequence.get(), 3, logits.data(), logits.size(), nullptr));
    CHECK(logits == before);
}

TEST_CASE("an input tensor's handle may be destroyed while the session reads its values") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), small_bytes());
    quoin_session* made = nullptr;
    check_ok(quoin_session_create(model.get(), nullptr, &made));
    const SessionHandle session(made);
    const int64_t dim = 3;
    quoin_tensor* tokens = nullptr;
    check_ok(quoin_tensor_create(QUOIN_DTYPE_I32, 1, &dim, &tokens));  // the session's alone after the next lines
    check_ok(quoin_session_set_input(made, 0, tokens));
    quoin_tensor_destroy(tokens);
    check_ok(quoin_session_run(made));
}
