// Models of tensors through the C header: dynamic shapes, strings, sequences, optional inputs, profile and plan.
#include <atomic>
#include <cstring>
#include <thread>

#include "capi/capi_test.h"
#include "support/onnx_writer.h"

namespace {

using namespace quoin::test;
using quoin::DType;

using ValueHandle = std::unique_ptr<quoin_value, Destroy<quoin_value, quoin_value_destroy>>;

ModelHandle load_onnx(const quoin_runtime* runtime, const OnnxModel& model) {
    const FileBytes bytes(model.write());
    quoin_model* made = nullptr;
    // Small tensors are copied at load, so the bytes may go.
    check_ok(quoin_model_load_memory(runtime, bytes.data(), bytes.size(), nullptr, &made));
    return ModelHandle(made);
}

SessionHandle session_of(const ModelHandle& model) {
    quoin_session* made = nullptr;
    check_ok(quoin_session_create(model.get(), nullptr, &made));
    return SessionHandle(made);
}

TensorHandle floats_of(const std::vector<int64_t>& dims, const std::vector<float>& values) {
    quoin_tensor* made = nullptr;
    check_ok(quoin_tensor_create(QUOIN_DTYPE_F32, static_cast<int32_t>(dims.size()), dims.data(), &made));
    REQUIRE(quoin_tensor_byte_size(made) == values.size() * sizeof(float));
    if (!values.empty()) std::memcpy(quoin_tensor_data(made), values.data(), values.size() * sizeof(float));
    return TensorHandle(made);
}

std::vector<float> values_of(const quoin_tensor* tensor) {
    const auto* const first = static_cast<const float*>(quoin_tensor_data_const(tensor));
    return {first, first + quoin_tensor_byte_size(tensor) / sizeof(float)};
}

const quoin_tensor* output_of(const SessionHandle& session, size_t index = 0) {
    const quoin_tensor* output = nullptr;
    check_ok(quoin_session_output(session.get(), index, &output));
    return output;
}

// y = x + x, any number of rows of three.
OnnxModel doubling() {
    OnnxModel model;
    model.inputs = {value_message("x", DType::F32, {"rows", "3"})};
    model.outputs = {value_message("y", DType::F32, {"rows", "3"})};
    model.nodes = {node_message("Add", {"x", "x"}, {"y"})};
    model.metadata = {{"author", "a test"}};
    return model;
}

// ValueInfoProto of a sequence of f32 tensors: name, type { sequence_type { elem_type { tensor_type { elem_type } } } }
Message sequence_value(std::string_view name) {
    const Message tensor = Message().message(1, Message().integer(1, 1));
    return Message().text(1, name).message(2, Message().message(4, Message().message(1, tensor)));
}

int32_t append(const char* text, size_t length, void* user_data) {
    static_cast<std::string*>(user_data)->append(text, length);
    return 0;
}

}  // namespace

TEST_CASE("a graph tells its inputs and outputs, its kind and metadata") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), doubling());
    CHECK(quoin_model_kind(model.get()) == QUOIN_MODEL_GRAPH);
    auto info = sized<quoin_value_info>();
    check_ok(quoin_model_input_info(model.get(), 0, &info));
    CHECK(std::string(info.name) == "x");
    CHECK(info.dtype == QUOIN_DTYPE_F32);
    CHECK(info.kind == QUOIN_VALUE_TENSOR);
    CHECK(info.optional == 0);
    REQUIRE(info.rank == 2);
    CHECK(info.dims[0] == -1);
    CHECK(std::string(info.dim_names[0]) == "rows");
    CHECK(info.dims[1] == 3);
    CHECK(quoin_model_output_count(model.get()) == 1);
    bool found = false;
    for (size_t index = 0; index < quoin_model_metadata_count(model.get()); ++index) {
        auto value = sized<quoin_metadata_value>();
        check_ok(quoin_model_metadata_value(model.get(), index, 0, &value));
        found =
            found || (value.type == QUOIN_METADATA_STRING && std::string(value.text, value.text_length) == "a test");
    }
    CHECK(found);
}

TEST_CASE("open dims may change from run to run, into buffers of the caller or the session's") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), doubling());
    const SessionHandle session = session_of(model);
    check_fails(quoin_session_run(session.get()), QUOIN_ERROR_INVALID_ARGUMENT);
    for (const int64_t rows : {2, 1, 5, 0, 2}) {
        std::vector<float> values(static_cast<size_t>(rows) * 3);
        for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
        const TensorHandle input = floats_of({rows, 3}, values);
        check_ok(quoin_session_set_input(session.get(), 0, input.get()));
        check_ok(quoin_session_run(session.get()));
        for (float& value : values) value *= 2;
        CHECK(values_of(output_of(session)) == values);
        CHECK(quoin_tensor_dims(output_of(session))[0] == rows);
    }
    const TensorHandle input = floats_of({1, 3}, {1, 2, 3});
    const TensorHandle bound = floats_of({1, 3}, {0, 0, 0});
    check_ok(quoin_session_set_input(session.get(), 0, input.get()));
    check_ok(quoin_session_bind_output(session.get(), 0, bound.get()));
    check_ok(quoin_session_run(session.get()));
    CHECK(values_of(bound.get()) == std::vector<float>{2, 4, 6});
    const TensorHandle wrong = floats_of({1, 4}, {0, 0, 0, 0});
    check_ok(quoin_session_set_input(session.get(), 0, wrong.get()));
    CHECK_THAT(check_fails(quoin_session_run(session.get()), QUOIN_ERROR_INVALID_ARGUMENT), contains("x"));
    const quoin_tensor* output = nullptr;
    check_fails(quoin_session_output(session.get(), 0, &output), QUOIN_ERROR_INVALID_STATE);
}

TEST_CASE("an output of a session is no input of the same session") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), doubling());
    const SessionHandle session = session_of(model);
    const SessionHandle other = session_of(model);
    const TensorHandle x = floats_of({1, 3}, {1, 2, 3});
    check_ok(quoin_session_set_input(session.get(), 0, x.get()));
    check_ok(quoin_session_run(session.get()));
    CHECK(check_fails(quoin_session_set_input(session.get(), 0, output_of(session)), QUOIN_ERROR_INVALID_ARGUMENT)
              .find("bind") != std::string::npos);
    const quoin_value* value = nullptr;
    check_ok(quoin_session_output_value(session.get(), 0, &value));
    check_fails(quoin_session_set_input_value(session.get(), 0, value), QUOIN_ERROR_INVALID_ARGUMENT);
    check_ok(quoin_session_set_input(other.get(), 0, output_of(session)));
    check_ok(quoin_session_run(other.get()));
    CHECK(values_of(output_of(other)) == std::vector<float>{4, 8, 12});
}

TEST_CASE("two tensors of the caller's memory carry a state from run to run") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), doubling());
    const SessionHandle session = session_of(model);
    std::vector<float> memory[2] = {{1, 2, 3}, {0, 0, 0}};
    TensorHandle states[2];
    const int64_t dims[] = {1, 3};
    for (size_t i = 0; i < 2; ++i) {
        quoin_tensor* made = nullptr;
        check_ok(quoin_tensor_wrap(memory[i].data(), 12, QUOIN_DTYPE_F32, 2, dims, &made));
        states[i].reset(made);
    }
    for (size_t step = 0; step < 3; ++step) {
        check_ok(quoin_session_set_input(session.get(), 0, states[step % 2].get()));
        check_ok(quoin_session_bind_output(session.get(), 0, states[1 - step % 2].get()));
        check_ok(quoin_session_run(session.get()));
    }
    CHECK(memory[1] == std::vector<float>{8, 16, 24});
}

TEST_CASE("a model that says something wrong of a value is refused with the value") {
    OnnxModel right;
    right.inputs = {value_message("x", DType::F32, {"3"})};
    right.nodes = {node_message("Relu", {"x"}, {"between"}), node_message("Shape", {"between"}, {"y"})};
    right.outputs = {value_message("y", DType::I64, {"1"})};
    right.value_infos = {value_message("between", DType::F32, {"3"})};
    const RuntimeHandle runtime = one_thread();
    const auto load = [&](const OnnxModel& onnx) {
        const FileBytes bytes(onnx.write());
        quoin_model* made = nullptr;
        const quoin_status status = quoin_model_load_memory(runtime.get(), bytes.data(), bytes.size(), nullptr, &made);
        const ModelHandle model(made);
        return status;
    };
    check_ok(load(right));
    OnnxModel output = right;
    output.outputs = {value_message("y", DType::F32, {"1"})};
    CHECK_THAT(check_fails(load(output), QUOIN_ERROR_INVALID_MODEL),
               contains("value 'y' has the element type i64 where the file says f32"));
    OnnxModel between = right;
    between.value_infos = {value_message("between", DType::F64, {"3"})};
    CHECK_THAT(check_fails(load(between), QUOIN_ERROR_INVALID_MODEL), contains("value 'between'"));
    OnnxModel input = right;
    input.outputs.push_back(value_message("x", DType::I32, {"3"}));
    CHECK_THAT(check_fails(load(input), QUOIN_ERROR_INVALID_MODEL), contains("value 'x'"));
    OnnxModel sequence = right;
    sequence.outputs = {sequence_value("between")};
    CHECK_THAT(check_fails(load(sequence), QUOIN_ERROR_INVALID_MODEL), contains("'between' is a tensor"));
    OnnxModel tensor = right;
    tensor.nodes = {node_message("SequenceConstruct", {"x"}, {"y"})};
    tensor.outputs = {value_message("y", DType::F32, {"3"})};
    CHECK_THAT(check_fails(load(tensor), QUOIN_ERROR_INVALID_MODEL), contains("'y' is a sequence"));
}

TEST_CASE("an initializer that is an input may be given where the caller asks for that") {
    // y = (x + w) + s; w and s of the file, w an input, too.
    OnnxModel onnx;
    onnx.inputs = {value_message("x", DType::F32, {"3"}), value_message("w", DType::F32, {"3"})};
    onnx.initializers = {floats_message("w", {3}, {1, 2, 3}), floats_message("s", {1}, {10})};
    onnx.nodes = {node_message("Add", {"x", "w"}, {"sum"}), node_message("Add", {"sum", "s"}, {"y"})};
    onnx.outputs = {value_message("y", DType::F32, {"3"})};
    const RuntimeHandle runtime = one_thread();
    CHECK(quoin_model_input_count(load_onnx(runtime.get(), onnx).get()) == 1);

    const FileBytes bytes(onnx.write());
    auto options = sized<quoin_model_options>();
    options.overridable_initializers = 2;
    quoin_model* made = nullptr;
    check_fails(quoin_model_load_memory(runtime.get(), bytes.data(), bytes.size(), &options, &made),
                QUOIN_ERROR_INVALID_ARGUMENT);
    options.overridable_initializers = 1;
    check_ok(quoin_model_load_memory(runtime.get(), bytes.data(), bytes.size(), &options, &made));
    const ModelHandle model(made);
    REQUIRE(quoin_model_input_count(model.get()) == 2);
    auto info = sized<quoin_value_info>();
    check_ok(quoin_model_input_info(model.get(), 0, &info));
    CHECK(info.has_default == 0);
    check_ok(quoin_model_input_info(model.get(), 1, &info));
    CHECK(info.has_default == 1);
    CHECK(info.optional == 0);

    const SessionHandle session = session_of(model);
    CHECK_THAT(check_fails(quoin_session_run(session.get()), QUOIN_ERROR_INVALID_ARGUMENT), contains("'x'"));
    const TensorHandle x = floats_of({3}, {100, 100, 100});
    check_ok(quoin_session_set_input(session.get(), 0, x.get()));
    check_ok(quoin_session_run(session.get()));
    CHECK(values_of(output_of(session)) == std::vector<float>{111, 112, 113});
    const TensorHandle w = floats_of({3}, {7, 8, 9});
    check_ok(quoin_session_set_input(session.get(), 1, w.get()));
    check_ok(quoin_session_run(session.get()));
    CHECK(values_of(output_of(session)) == std::vector<float>{117, 118, 119});
    check_ok(quoin_session_set_input_value(session.get(), 1, nullptr));
    check_ok(quoin_session_run(session.get()));
    CHECK(values_of(output_of(session)) == std::vector<float>{111, 112, 113});
}

TEST_CASE("tensors of strings hold copies of any bytes") {
    const int64_t dims[] = {2, 2};
    const char* const texts[] = {"one", "two\0and", "", "vier"};
    const size_t lengths[] = {QUOIN_STRLEN, 7, 0, QUOIN_STRLEN};
    quoin_tensor* made = nullptr;
    check_ok(quoin_tensor_create_strings(2, dims, texts, lengths, &made));
    const TensorHandle tensor(made);
    CHECK(quoin_tensor_dtype(tensor.get()) == QUOIN_DTYPE_STRING);
    CHECK(quoin_tensor_data(tensor.get()) == nullptr);
    CHECK(quoin_tensor_byte_size(tensor.get()) == 0);
    const auto at = [&](size_t index) {
        const char* text = nullptr;
        size_t length = 0;
        check_ok(quoin_tensor_string(tensor.get(), index, &text, &length));
        return std::string(text, length);
    };
    CHECK(at(0) == "one");
    CHECK(at(1) == std::string("two\0and", 7));
    CHECK(at(2).empty());
    CHECK(at(3) == "vier");
    const char* text = nullptr;
    size_t length = 0;
    check_fails(quoin_tensor_string(tensor.get(), 4, &text, &length), QUOIN_ERROR_NOT_FOUND);
    const TensorHandle numbers = floats_of({1}, {0});
    check_fails(quoin_tensor_string(numbers.get(), 0, &text, &length), QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(quoin_tensor_create_strings(2, dims, nullptr, nullptr, &made), QUOIN_ERROR_INVALID_ARGUMENT);
    const int64_t negative[] = {-1};
    check_fails(quoin_tensor_create_strings(1, negative, texts, nullptr, &made), QUOIN_ERROR_INVALID_ARGUMENT);
    const char* const hole[] = {"a", nullptr};
    check_fails(quoin_tensor_create_strings(1, dims, hole, nullptr, &made), QUOIN_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("strings go through a graph") {
    OnnxModel file;
    file.inputs = {value_message("x", DType::String, {"n"})};
    file.outputs = {value_message("y", DType::String, {"n"})};
    file.nodes = {node_message("Identity", {"x"}, {"y"})};
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), file);
    const SessionHandle session = session_of(model);
    const int64_t dim = 2;
    const char* const texts[] = {"gr\xc3\xbc\xc3\x9f", "dich"};
    quoin_tensor* made = nullptr;
    check_ok(quoin_tensor_create_strings(1, &dim, texts, nullptr, &made));
    const TensorHandle input(made);
    check_ok(quoin_session_set_input(session.get(), 0, input.get()));
    check_ok(quoin_session_run(session.get()));
    const char* text = nullptr;
    size_t length = 0;
    check_ok(quoin_tensor_string(output_of(session), 0, &text, &length));
    CHECK(std::string(text, length) == texts[0]);
    check_fails(quoin_session_bind_output(session.get(), 0, made), QUOIN_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("sequences are values, as inputs and as outputs") {
    OnnxModel file;
    file.inputs = {sequence_value("x"), value_message("more", DType::F32, {"n"})};
    file.outputs = {sequence_value("y")};
    file.nodes = {node_message("SequenceInsert", {"x", "more"}, {"y"})};
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), file);
    auto info = sized<quoin_value_info>();
    check_ok(quoin_model_input_info(model.get(), 0, &info));
    CHECK(info.kind == QUOIN_VALUE_SEQUENCE);
    const SessionHandle session = session_of(model);
    const TensorHandle first = floats_of({1}, {1});
    const TensorHandle second = floats_of({2}, {2, 3});
    const quoin_tensor* const items[] = {first.get()};
    quoin_value* made = nullptr;
    check_ok(quoin_value_create_sequence(QUOIN_DTYPE_F32, items, 1, &made));
    const ValueHandle sequence(made);
    CHECK(quoin_value_kind(sequence.get()) == QUOIN_VALUE_SEQUENCE);
    CHECK(quoin_value_count(sequence.get()) == 1);
    CHECK(quoin_value_tensor(sequence.get()) == nullptr);
    check_ok(quoin_session_set_input_value(session.get(), 0, sequence.get()));
    check_ok(quoin_session_set_input(session.get(), 1, second.get()));
    check_ok(quoin_session_run(session.get()));
    const quoin_tensor* tensor = nullptr;
    check_fails(quoin_session_output(session.get(), 0, &tensor), QUOIN_ERROR_UNSUPPORTED);
    const quoin_value* output = nullptr;
    check_ok(quoin_session_output_value(session.get(), 0, &output));
    REQUIRE(quoin_value_kind(output) == QUOIN_VALUE_SEQUENCE);
    REQUIRE(quoin_value_count(output) == 2);
    const quoin_value* item = nullptr;
    check_ok(quoin_value_item(output, 1, &item));
    REQUIRE(quoin_value_kind(item) == QUOIN_VALUE_TENSOR);
    CHECK(values_of(quoin_value_tensor(item)) == std::vector<float>{2, 3});
    check_fails(quoin_value_item(output, 2, &item), QUOIN_ERROR_NOT_FOUND);

    check_fails(quoin_value_create_sequence(QUOIN_DTYPE_I32, items, 1, &made), QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(quoin_value_create_sequence(QUOIN_DTYPE_F32, nullptr, 1, &made), QUOIN_ERROR_INVALID_ARGUMENT);
    check_fails(quoin_session_set_input_value(session.get(), 2, sequence.get()), QUOIN_ERROR_NOT_FOUND);
    // A required input that was taken away again is missing.
    check_ok(quoin_session_set_input_value(session.get(), 0, nullptr));
    CHECK_THAT(check_fails(quoin_session_run(session.get()), QUOIN_ERROR_INVALID_ARGUMENT), contains("x"));
}

TEST_CASE("a profile names every node, its op and kernel") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), doubling());
    const SessionHandle session = session_of(model);
    std::string text;
    check_fails(quoin_session_profile_write(session.get(), append, &text), QUOIN_ERROR_INVALID_STATE);
    const TensorHandle input = floats_of({1, 3}, {1, 2, 3});
    check_ok(quoin_session_set_input(session.get(), 0, input.get()));
    check_ok(quoin_session_profile_start(session.get()));
    check_ok(quoin_session_run(session.get()));
    check_ok(quoin_session_run(session.get()));
    check_ok(quoin_session_profile_stop(session.get()));
    check_ok(quoin_session_run(session.get()));  // not written down
    check_ok(quoin_session_profile_write(session.get(), append, &text));
    const auto count = [&](const std::string& part) {
        size_t found = 0;
        for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
        return found;
    };
    CHECK(count("\"traceEvents\"") == 1);
    CHECK(count("\"cat\":\"run\"") == 2);
    CHECK(count("\"op\":\"Add\"") == 2);
    CHECK(count("\"kernel\"") == 2);
    CHECK(count("\"dur\"") == 4);
    const auto stop = [](const char*, size_t, void*) -> int32_t { return 1; };
    check_fails(quoin_session_profile_write(session.get(), stop, nullptr), QUOIN_CANCELLED);
}

TEST_CASE("a session plans for the inputs that are set") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), doubling());
    const SessionHandle session = session_of(model);
    std::string text;
    const auto plan = [&] {
        return quoin_session_describe(session.get(), QUOIN_DESCRIBE_PLAN, QUOIN_FORMAT_TEXT, append, &text);
    };
    CHECK_THAT(check_fails(plan(), QUOIN_ERROR_INVALID_ARGUMENT), contains("x"));
    const TensorHandle input = floats_of({7, 3}, std::vector<float>(21));
    check_ok(quoin_session_set_input(session.get(), 0, input.get()));
    check_ok(plan());
    CHECK_THAT(text, contains("Add"));
    check_fails(quoin_session_describe(session.get(), QUOIN_DESCRIBE_GRAPH, QUOIN_FORMAT_TEXT, append, &text),
                QUOIN_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("a graph at work is cancelled from another thread", "[threaded]") {
    // y = x 200 times doubled.
    OnnxModel file;
    file.inputs = {value_message("x0", DType::F32, {"n"})};
    file.outputs = {value_message("x200", DType::F32, {"n"})};
    for (int i = 0; i < 200; ++i) {
        const std::string from = "x" + std::to_string(i);
        file.nodes.push_back(node_message("Add", {from, from}, {"x" + std::to_string(i + 1)}));
    }
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load_onnx(runtime.get(), file);
    const SessionHandle session = session_of(model);
    const TensorHandle input = floats_of({1 << 20}, std::vector<float>(1 << 20));
    check_ok(quoin_session_set_input(session.get(), 0, input.get()));
    std::atomic<bool> ended{false};
    std::thread other([&] {
        while (!ended.load()) {
            quoin_session_cancel(session.get());
            std::this_thread::yield();
        }
    });
    const quoin_status status = quoin_session_run(session.get());
    ended.store(true);
    other.join();
    CHECK(status == QUOIN_CANCELLED);
    quoin_session_cancel(session.get());  // too late for that run, nothing for the next
    check_ok(quoin_session_run(session.get()));
}
