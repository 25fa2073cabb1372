// A decoder as a session: tokens in, logits out.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "capi/capi_test.h"

namespace {

using namespace quoin::test;

TensorHandle wrap(std::vector<int32_t>& ids) {
    const auto dim = static_cast<int64_t>(ids.size());
    quoin_tensor* made = nullptr;
    check_ok(quoin_tensor_wrap(ids.data(), ids.size() * sizeof(int32_t), QUOIN_DTYPE_I32, 1, &dim, &made));
    return TensorHandle(made);
}

TensorHandle zeros(int32_t dtype, const std::vector<int64_t>& dims) {
    quoin_tensor* made = nullptr;
    check_ok(quoin_tensor_create(dtype, static_cast<int32_t>(dims.size()), dims.data(), &made));
    return TensorHandle(made);
}

SessionHandle make_session(const quoin_model* model) {
    quoin_session* made = nullptr;
    check_ok(quoin_session_create(model, nullptr, &made));
    return SessionHandle(made);
}

std::vector<float> floats(const quoin_tensor* tensor) {
    const auto* const first = static_cast<const float*>(quoin_tensor_data_const(tensor));
    return {first, first + quoin_tensor_byte_size(tensor) / sizeof(float)};
}

std::vector<float> output_of(const quoin_session* session) {
    const quoin_tensor* output = nullptr;
    check_ok(quoin_session_output(session, 0, &output));
    return floats(output);
}

// An allocator that cancels a session when it is asked for one block more than `blocks`.
struct CancellingMemory {
    const quoin_session* session = nullptr;
    int64_t blocks = 0;

    quoin_runtime_options options() {
        quoin_runtime_options made{};
        made.threads = 1;
        made.allocate = allocate;
        made.release = [](void* block, size_t, void*) { std::free(block); };
        made.allocator_user_data = this;
        return made;
    }
    static void* allocate(size_t bytes, size_t alignment, void* user_data) {
        auto& memory = *static_cast<CancellingMemory*>(user_data);
        if (memory.session != nullptr && memory.blocks-- == 0) quoin_session_cancel(memory.session);
        return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    }
};

}  // namespace

TEST_CASE("a decoder names its input and output") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    REQUIRE(quoin_model_input_count(model.get()) == 1);
    REQUIRE(quoin_model_output_count(model.get()) == 1);
    auto info = sized<quoin_value_info>();
    check_ok(quoin_model_input_info(model.get(), 0, &info));
    CHECK(std::string(info.name) == "tokens");
    CHECK(info.dtype == QUOIN_DTYPE_I32);
    REQUIRE(info.rank == 1);
    CHECK(info.dims[0] == -1);
    const std::string symbol = info.dim_names[0];
    check_ok(quoin_model_output_info(model.get(), 0, &info));
    CHECK(std::string(info.name) == "logits");
    REQUIRE(info.rank == 2);
    CHECK(symbol == info.dim_names[0]);  // as many rows as tokens
    CHECK(info.dims[1] > 0);
    size_t index = 99;
    check_ok(quoin_model_input_find(model.get(), "tokens", QUOIN_STRLEN, &index));
    CHECK(index == 0);
    check_fails(quoin_model_output_find(model.get(), "tokens", QUOIN_STRLEN, &index), QUOIN_ERROR_NOT_FOUND);
    check_fails(quoin_model_input_info(model.get(), 1, &info), QUOIN_ERROR_NOT_FOUND);
}

TEST_CASE("a session gives the logits that a sequence gives") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    std::vector<int32_t> ids = {1, 50, 300, 7};
    const TensorHandle tokens = wrap(ids);
    const SessionHandle session = make_session(model.get());
    const quoin_tensor* output = nullptr;
    check_fails(quoin_session_output(session.get(), 0, &output), QUOIN_ERROR_INVALID_STATE);
    check_ok(quoin_session_set_input(session.get(), 0, tokens.get()));
    check_ok(quoin_session_run(session.get()));
    CHECK(output_of(session.get()) == logits_of(model.get(), ids));
    ids = {9, 8, 7, 6};  // read anew by the next run, which begins a new text
    check_ok(quoin_session_run(session.get()));
    CHECK(output_of(session.get()) == logits_of(model.get(), ids));
    std::vector<int32_t> longer(100, 5);
    const TensorHandle more = wrap(longer);
    check_ok(quoin_session_set_input(session.get(), 0, more.get()));
    check_ok(quoin_session_run(session.get()));
    CHECK(quoin_tensor_dims((check_ok(quoin_session_output(session.get(), 0, &output)), output))[0] == 100);
}

TEST_CASE("a bound output is written in place") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    std::vector<int32_t> ids = {1, 50};
    const std::vector<float> expected = logits_of(model.get(), ids);
    const auto vocabulary = static_cast<int64_t>(expected.size() / ids.size());
    const TensorHandle tokens = wrap(ids);
    const TensorHandle logits = zeros(QUOIN_DTYPE_F32, {2, vocabulary});
    const SessionHandle session = make_session(model.get());
    check_ok(quoin_session_set_input(session.get(), 0, tokens.get()));
    check_ok(quoin_session_bind_output(session.get(), 0, logits.get()));
    check_ok(quoin_session_run(session.get()));
    CHECK(floats(logits.get()) == expected);
    const quoin_tensor* output = nullptr;
    check_ok(quoin_session_output(session.get(), 0, &output));
    CHECK(quoin_tensor_data_const(output) == quoin_tensor_data_const(logits.get()));
    // Unbound, the next run writes elsewhere.
    std::memset(quoin_tensor_data(logits.get()), 0, quoin_tensor_byte_size(logits.get()));
    check_ok(quoin_session_bind_output(session.get(), 0, nullptr));
    check_ok(quoin_session_run(session.get()));
    CHECK(output_of(session.get()) == expected);
    CHECK(floats(logits.get()) == std::vector<float>(expected.size()));
}

TEST_CASE("tensors that do not fit are refused with what would fit") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    const SessionHandle session = make_session(model.get());
    const auto run_with = [&](const TensorHandle& input) {
        check_ok(quoin_session_set_input(session.get(), 0, input.get()));
        return quoin_session_run(session.get());
    };
    check_fails(run_with(zeros(QUOIN_DTYPE_F32, {3})), QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(run_with(zeros(QUOIN_DTYPE_I64, {3})), QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(run_with(zeros(QUOIN_DTYPE_I32, {3, 1})), QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(run_with(zeros(QUOIN_DTYPE_I32, {0})), QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(run_with(zeros(QUOIN_DTYPE_I32, {})), QUOIN_ERROR_INVALID_ARGUMENT);
    std::vector<int32_t> unknown = {1, 1 << 30};
    check_fails(run_with(wrap(unknown)), QUOIN_ERROR_INVALID_ARGUMENT);
    std::vector<int32_t> negative = {-1};
    check_fails(run_with(wrap(negative)), QUOIN_ERROR_INVALID_ARGUMENT);
    const quoin_tensor* output = nullptr;
    check_fails(quoin_session_output(session.get(), 0, &output), QUOIN_ERROR_INVALID_STATE);

    std::vector<int32_t> ids = {1, 2};
    const TensorHandle tokens = wrap(ids);
    const TensorHandle small = zeros(QUOIN_DTYPE_F32, {1, 7});
    check_ok(quoin_session_bind_output(session.get(), 0, small.get()));
    CHECK_THAT(check_fails(run_with(wrap(ids)), QUOIN_ERROR_INVALID_ARGUMENT), contains("logits"));
    CHECK(floats(small.get()) == std::vector<float>(7));
    check_ok(quoin_session_bind_output(session.get(), 0, nullptr));
    check_ok(run_with(wrap(ids)));  // after all these failures
    check_fails(quoin_session_set_input(session.get(), 1, tokens.get()), QUOIN_ERROR_NOT_FOUND);
    check_fails(quoin_session_bind_output(session.get(), 1, nullptr), QUOIN_ERROR_NOT_FOUND);
    check_fails(quoin_session_output(session.get(), 1, &output), QUOIN_ERROR_NOT_FOUND);
}

TEST_CASE("a session at work is cancelled from another thread", "[threaded]") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    const SessionHandle session = make_session(model.get());
    std::vector<int32_t> ids(4000, 5);  // several steps
    const TensorHandle tokens = wrap(ids);
    check_ok(quoin_session_set_input(session.get(), 0, tokens.get()));
    std::atomic<bool> ended{false};
    std::thread other([&] {
        while (!ended.load()) {
            quoin_session_cancel(session.get());
            std::this_thread::yield();
        }
    });
    const quoin_status status = quoin_session_run(session.get());
    const std::string sentence = quoin_last_error();
    ended.store(true);
    other.join();
    CHECK(status == QUOIN_CANCELLED);
    CHECK(!sentence.empty());
    // What came too late cancels nothing later.
    quoin_session_cancel(session.get());
    std::vector<int32_t> few = {1, 2};
    const TensorHandle next = wrap(few);
    check_ok(quoin_session_set_input(session.get(), 0, next.get()));
    check_ok(quoin_session_run(session.get()));
}

TEST_CASE("a run is cancelled whenever it asks for memory, KV pages included") {
    CancellingMemory memory;
    const RuntimeHandle runtime = make_runtime(memory.options());
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    std::vector<int32_t> ids = {1, 2};
    const TensorHandle tokens = wrap(ids);
    int64_t blocks = 0;
    while (true) {
        const SessionHandle session = make_session(model.get());
        check_ok(quoin_session_set_input(session.get(), 0, tokens.get()));
        memory = {session.get(), blocks};
        const quoin_status status = quoin_session_run(session.get());
        const bool cancelled = memory.blocks < 0;
        memory = {};
        CAPTURE(blocks);
        REQUIRE(status == (cancelled ? QUOIN_CANCELLED : QUOIN_OK));
        check_ok(quoin_session_run(session.get()));
        if (!cancelled) break;
        ++blocks;
    }
    CHECK(blocks > 2);  // at least logits, KV pages and what is between the layers
}
