// NULL and numbers without a meaning, for every function: a status with a sentence, never a crash.
#include <functional>
#include <limits>

#include "capi/capi_test.h"

namespace {

using namespace quoin::test;

struct Refused {
    const char* call;
    std::function<quoin_status()> function;
};

void check_all_refused(const std::vector<Refused>& calls, quoin_status expected) {
    for (const Refused& each : calls) {
        CAPTURE(each.call);
        check_fails(each.function(), expected);
    }
}

}  // namespace

#define REFUSED(expression)                     \
    Refused {                                   \
#expression, [&] { return expression; } \
    }

TEST_CASE("NULL in place of an object or an output is an invalid argument") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model_handle = load(runtime.get(), tiny_bytes());
    const quoin_model* const model = model_handle.get();
    const ContextHandle context = make_context(model);
    const SequenceHandle sequence_handle = make_sequence(context.get(), {1});
    quoin_sequence* const sequence = sequence_handle.get();
    const quoin_tokenizer* const tokenizer = quoin_model_tokenizer(model);
    quoin_session* session = nullptr;
    check_ok(quoin_session_create(model, nullptr, &session));
    const SessionHandle session_handle(session);
    const int64_t dim = 1;
    float value = 0;
    auto reader = sized<quoin_reader>();
    auto metrics = sized<quoin_metrics>();
    auto facts = sized<quoin_model_facts>();
    auto metadata = sized<quoin_metadata_value>();
    auto info = sized<quoin_value_info>();
    const quoin_write_callback write = [](const char*, size_t, void*) -> int32_t { return 0; };

    quoin_runtime* runtime_out = nullptr;
    quoin_model* model_out = nullptr;
    quoin_context* context_out = nullptr;
    quoin_sequence* sequence_out = nullptr;
    quoin_session* session_out = nullptr;
    quoin_tensor* tensor_out = nullptr;
    const quoin_tensor* borrowed_out = nullptr;
    const char* text_out = nullptr;
    size_t size_out = 4711;
    const void* const data = small_bytes().data();
    const size_t size = small_bytes().size();

    check_all_refused(
        {
            REFUSED(quoin_cpu_info(nullptr)),
            REFUSED(quoin_runtime_create(nullptr, nullptr)),
            REFUSED(quoin_runtime_measure_limits(runtime.get(), nullptr)),
            REFUSED(quoin_model_load_file(nullptr, nullptr, 0, nullptr, &model_out)),
            REFUSED(quoin_model_load_file(nullptr, nullptr, QUOIN_STRLEN, nullptr, &model_out)),
            REFUSED(quoin_model_load_file(nullptr, "x", 1, nullptr, nullptr)),
            REFUSED(quoin_model_load_memory(nullptr, nullptr, 0, nullptr, &model_out)),
            REFUSED(quoin_model_load_memory(nullptr, nullptr, size, nullptr, &model_out)),
            REFUSED(quoin_model_load_memory(nullptr, data, size, nullptr, nullptr)),
            REFUSED(quoin_model_load_reader(nullptr, nullptr, nullptr, &model_out)),
            REFUSED(quoin_model_load_reader(nullptr, &reader, nullptr, &model_out)),  // read is NULL
            REFUSED(quoin_model_load_reader(nullptr, &reader, nullptr, nullptr)),
            REFUSED(quoin_model_quantize_file(nullptr, nullptr, 0, "q4_0", 4, "x", 1, nullptr, nullptr)),
            REFUSED(quoin_model_quantize_file(nullptr, "x", 1, nullptr, 0, "x", 1, nullptr, nullptr)),
            REFUSED(quoin_model_quantize_file(nullptr, "x", 1, "q4_0", 4, nullptr, 0, nullptr, nullptr)),
            REFUSED(quoin_model_quantize_file(nullptr, "x", 1, "q4_0", 4, "", 0, nullptr, nullptr)),
            REFUSED(quoin_model_info(nullptr, &facts)),
            REFUSED(quoin_model_info(model, nullptr)),
            REFUSED(quoin_model_metadata_key(nullptr, 0, &text_out, &size_out)),
            REFUSED(quoin_model_metadata_key(model, 0, nullptr, &size_out)),
            REFUSED(quoin_model_metadata_key(model, 0, &text_out, nullptr)),
            REFUSED(quoin_model_metadata_find(nullptr, "x", 1, &size_out)),
            REFUSED(quoin_model_metadata_find(model, nullptr, 1, &size_out)),
            REFUSED(quoin_model_metadata_find(model, "x", 1, nullptr)),
            REFUSED(quoin_model_metadata_value(nullptr, 0, 0, &metadata)),
            REFUSED(quoin_model_metadata_value(model, 0, 0, nullptr)),
            REFUSED(quoin_model_input_info(nullptr, 0, &info)),
            REFUSED(quoin_model_input_info(model, 0, nullptr)),
            REFUSED(quoin_model_input_find(nullptr, "x", 1, &size_out)),
            REFUSED(quoin_model_input_find(model, nullptr, 1, &size_out)),
            REFUSED(quoin_model_input_find(model, "x", 1, nullptr)),
            REFUSED(quoin_model_output_info(nullptr, 0, &info)),
            REFUSED(quoin_model_output_info(model, 0, nullptr)),
            REFUSED(quoin_model_output_find(nullptr, "x", 1, &size_out)),
            REFUSED(quoin_model_output_find(model, nullptr, 1, &size_out)),
            REFUSED(quoin_model_output_find(model, "x", 1, nullptr)),
            REFUSED(quoin_model_describe(nullptr, QUOIN_DESCRIBE_PLAN, QUOIN_FORMAT_TEXT, write, nullptr)),
            REFUSED(quoin_model_describe(model, QUOIN_DESCRIBE_PLAN, QUOIN_FORMAT_TEXT, nullptr, nullptr)),
            REFUSED(quoin_tensor_create(QUOIN_DTYPE_F32, 1, nullptr, &tensor_out)),
            REFUSED(quoin_tensor_create(QUOIN_DTYPE_F32, 1, &dim, nullptr)),
            REFUSED(quoin_tensor_wrap(nullptr, sizeof(value), QUOIN_DTYPE_F32, 1, &dim, &tensor_out)),
            REFUSED(quoin_tensor_wrap(&value, sizeof(value), QUOIN_DTYPE_F32, 1, nullptr, &tensor_out)),
            REFUSED(quoin_tensor_wrap(&value, sizeof(value), QUOIN_DTYPE_F32, 1, &dim, nullptr)),
            REFUSED(quoin_session_create(nullptr, nullptr, &session_out)),
            REFUSED(quoin_session_create(model, nullptr, nullptr)),
            REFUSED(quoin_session_set_input(nullptr, 0, nullptr)),
            REFUSED(quoin_session_set_input(session, 0, nullptr)),
            REFUSED(quoin_session_bind_output(nullptr, 0, nullptr)),
            REFUSED(quoin_session_run(nullptr)),
            REFUSED(quoin_session_run(session)),  // without an input
            REFUSED(quoin_session_output(nullptr, 0, &borrowed_out)),
            REFUSED(quoin_session_output(session, 0, nullptr)),
            REFUSED(quoin_tokenizer_encode(nullptr, "x", 1, 0, nullptr, 0, &size_out)),
            REFUSED(quoin_tokenizer_encode(tokenizer, nullptr, 1, 0, nullptr, 0, &size_out)),
            REFUSED(quoin_tokenizer_encode(tokenizer, nullptr, QUOIN_STRLEN, 0, nullptr, 0, &size_out)),
            REFUSED(quoin_tokenizer_decode(nullptr, nullptr, 0, 0, nullptr, 0, &size_out)),
            REFUSED(quoin_tokenizer_decode(tokenizer, nullptr, 1, 0, nullptr, 0, &size_out)),
            REFUSED(quoin_tokenizer_token_text(nullptr, 0, &text_out, &size_out)),
            REFUSED(quoin_tokenizer_token_text(tokenizer, 0, nullptr, &size_out)),
            REFUSED(quoin_tokenizer_token_text(tokenizer, 0, &text_out, nullptr)),
            REFUSED(quoin_context_create(nullptr, nullptr, &context_out)),
            REFUSED(quoin_context_create(model, nullptr, nullptr)),
            REFUSED(quoin_context_metrics(nullptr, &metrics)),
            REFUSED(quoin_context_metrics(context.get(), nullptr)),
            REFUSED(quoin_sequence_create(nullptr, nullptr, &sequence_out)),
            REFUSED(quoin_sequence_create(context.get(), nullptr, nullptr)),
            REFUSED(quoin_sequence_append_tokens(nullptr, nullptr, 0)),
            REFUSED(quoin_sequence_append_tokens(sequence, nullptr, 1)),
            REFUSED(quoin_sequence_append_text(nullptr, "x", 1, 0)),
            REFUSED(quoin_sequence_append_text(sequence, nullptr, 1, 0)),
            REFUSED(quoin_sequence_tokens(nullptr, nullptr, 0, &size_out)),
            REFUSED(quoin_sequence_fork(nullptr, &sequence_out)),
            REFUSED(quoin_sequence_fork(sequence, nullptr)),
            REFUSED(quoin_sequence_trim(nullptr, 0)),
            REFUSED(quoin_sequence_evaluate(nullptr, 0, nullptr, 0, &size_out)),
            REFUSED(quoin_sequence_generate(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr)),
            REFUSED(quoin_sampler_create(nullptr, nullptr)),
        },
        QUOIN_ERROR_INVALID_ARGUMENT);
    CHECK(runtime_out == nullptr);
    CHECK(model_out == nullptr);
    CHECK(context_out == nullptr);
    CHECK(sequence_out == nullptr);
    CHECK(session_out == nullptr);
    CHECK(tensor_out == nullptr);
    CHECK(borrowed_out == nullptr);
    CHECK(text_out == nullptr);
    CHECK(size_out == 4711);
}

TEST_CASE("functions without a status answer NULL with nothing") {
    quoin_runtime_destroy(nullptr);
    quoin_model_destroy(nullptr);
    quoin_tensor_destroy(nullptr);
    quoin_session_destroy(nullptr);
    quoin_context_destroy(nullptr);
    quoin_sequence_destroy(nullptr);
    quoin_sampler_destroy(nullptr);
    quoin_sampler_reset(nullptr);
    quoin_session_cancel(nullptr);
    quoin_sequence_cancel(nullptr);
    CHECK(quoin_runtime_threads(nullptr) == 0);
    CHECK(quoin_runtime_isa(nullptr) != nullptr);
    CHECK(quoin_runtime_memory_bytes(nullptr) == 0);
    CHECK(quoin_model_kind(nullptr) == 0);
    CHECK(quoin_model_metadata_count(nullptr) == 0);
    CHECK(quoin_model_input_count(nullptr) == 0);
    CHECK(quoin_model_output_count(nullptr) == 0);
    CHECK(quoin_model_tokenizer(nullptr) == nullptr);
    CHECK(quoin_tensor_dtype(nullptr) == QUOIN_DTYPE_UNDEFINED);
    CHECK(quoin_tensor_rank(nullptr) == 0);
    CHECK(quoin_tensor_dims(nullptr) == nullptr);
    CHECK(quoin_tensor_byte_size(nullptr) == 0);
    CHECK(quoin_tensor_data(nullptr) == nullptr);
    CHECK(quoin_tensor_data_const(nullptr) == nullptr);
    CHECK(quoin_tokenizer_vocabulary_size(nullptr) == 0);
    CHECK(quoin_tokenizer_special(nullptr, QUOIN_TOKEN_BEGIN) == -1);
    CHECK(quoin_tokenizer_is_end(nullptr, 0) == 0);
    CHECK(quoin_sequence_length(nullptr) == 0);
    CHECK(quoin_dtype_from_name(nullptr, 3) == QUOIN_DTYPE_UNDEFINED);
}

TEST_CASE("numbers and names without a meaning are invalid arguments") {
    const auto runtime = [](auto change) {
        auto options = sized<quoin_runtime_options>();
        change(options);
        quoin_runtime* made = nullptr;
        return quoin_runtime_create(&options, &made);
    };
    const auto sampler = [](auto change) {
        auto options = sized<quoin_sampler_options>();
        change(options);
        quoin_sampler* made = nullptr;
        return quoin_sampler_create(&options, &made);
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    const int32_t processor = -1;
    check_all_refused(
        {
            REFUSED(quoin_log_set(-1, nullptr, nullptr)),
            REFUSED(quoin_log_set(5, nullptr, nullptr)),
            REFUSED(runtime([](auto& options) { options.threads = -1; })),
            REFUSED(runtime([](auto& options) { options.threads = 1 << 20; })),
            REFUSED(runtime([](auto& options) { options.affinity_count = 1; })),
            REFUSED(runtime([&](auto& options) {
                options.affinity = &processor;
                options.affinity_count = 1;
            })),
            REFUSED(runtime([](auto& options) {
                options.isa = "sse9";
                options.isa_length = QUOIN_STRLEN;
            })),
            REFUSED(runtime(
                [](auto& options) { options.allocate = [](size_t, size_t, void*) -> void* { return nullptr; }; })),
            REFUSED(runtime([](auto& options) { options.release = [](void*, size_t, void*) {}; })),
            REFUSED(sampler([&](auto& options) { options.temperature = nan; })),
            REFUSED(sampler([&](auto& options) { options.temperature = infinity; })),
            REFUSED(sampler([](auto& options) { options.temperature = -1; })),
            REFUSED(sampler([&](auto& options) { options.top_p = nan; })),
            REFUSED(sampler([](auto& options) { options.top_p = 1.5F; })),
            REFUSED(sampler([](auto& options) { options.min_p = -0.5F; })),
            REFUSED(sampler([](auto& options) { options.top_k = -1; })),
            REFUSED(sampler([](auto& options) { options.repetition_penalty = -1; })),
            REFUSED(sampler([](auto& options) { options.penalty_window = -2; })),
            REFUSED(sampler([&](auto& options) { options.frequency_penalty = infinity; })),
            REFUSED(sampler([&](auto& options) { options.presence_penalty = nan; })),
        },
        QUOIN_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("a tensor is made only of a type and a shape that can be") {
    const auto create = [](int32_t dtype, std::vector<int64_t> dims) {
        quoin_tensor* made = nullptr;
        const quoin_status status = quoin_tensor_create(dtype, static_cast<int32_t>(dims.size()), dims.data(), &made);
        quoin_tensor_destroy(made);
        return status;
    };
    check_ok(create(QUOIN_DTYPE_F32, {}));
    check_ok(create(QUOIN_DTYPE_I64, {2, 0, 3}));
    check_ok(create(QUOIN_DTYPE_Q4_0, {3, 64}));
    check_all_refused(
        {
            REFUSED(create(QUOIN_DTYPE_UNDEFINED, {1})),
            REFUSED(create(QUOIN_DTYPE_STRING, {1})),
            REFUSED(create(-1, {1})),
            REFUSED(create(9999, {1})),
            REFUSED(create(QUOIN_DTYPE_F32, {-1})),
            REFUSED(create(QUOIN_DTYPE_F32, {INT64_MAX, 2})),
            REFUSED(create(QUOIN_DTYPE_F64, {INT64_MAX / 4})),
            REFUSED(create(QUOIN_DTYPE_F32, std::vector<int64_t>(100, 1))),
            REFUSED(create(QUOIN_DTYPE_Q4_0, {33})),
        },
        QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(create(QUOIN_DTYPE_U8, {int64_t{1} << 61}), QUOIN_ERROR_OUT_OF_MEMORY);
}

TEST_CASE("no name is a name that nothing has") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), small_bytes());
    size_t index = 0;
    check_fails(quoin_model_metadata_find(model.get(), nullptr, 0, &index), QUOIN_ERROR_NOT_FOUND);
    check_fails(quoin_model_input_find(model.get(), nullptr, 0, &index), QUOIN_ERROR_NOT_FOUND);
    check_fails(quoin_model_output_find(model.get(), nullptr, 0, &index), QUOIN_ERROR_NOT_FOUND);
}

TEST_CASE("a bug report can say what the library was built with") {
    const std::string info = quoin_build_info();
    INFO(info);
    CHECK(info.find("quoin 0.1.0") == 0);
    CHECK(info.find("instruction sets baseline") != std::string::npos);
    CHECK(info.find("native") != std::string::npos);
    CHECK(info.find("pictures in ") != std::string::npos);
}

TEST_CASE("every status and every element type has a name") {
    for (const quoin_status status :
         {0, -100, -101, -102, -103, -200, -201, -202, -300, -301, -400, -900, 7, INT32_MIN}) {
        CHECK(std::string(quoin_status_string(status)) != "");
    }
    for (int32_t dtype = -2; dtype < 300; ++dtype) {
        const std::string name = quoin_dtype_name(dtype);
        CAPTURE(dtype, name);
        if (dtype != QUOIN_DTYPE_UNDEFINED) {
            CHECK((name == "undefined") == (quoin_dtype_from_name(name.c_str(), QUOIN_STRLEN) != dtype));
        }
    }
    CHECK(quoin_dtype_from_name("no type", QUOIN_STRLEN) == QUOIN_DTYPE_UNDEFINED);
    CHECK(std::string(quoin_dtype_name(QUOIN_DTYPE_MXFP4)) == "mxfp4");
    // How the library keeps activations between two steps is its own affair.
    CHECK(quoin_dtype_from_name("q8_row", QUOIN_STRLEN) == QUOIN_DTYPE_UNDEFINED);
}
