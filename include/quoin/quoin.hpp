// quoin.hpp: quoin.h in C++17 and later. Header-only, thin, and nothing in it that the C header does not have: handles
// are move-only objects, failures are quoin::Error, callbacks are lambdas, strings are std::string_view.
// What a function means, and what may be called from which thread, stands in quoin.h.
//
//     quoin::Model model = quoin::Model::load_file("model.gguf");
//     quoin::Context context(model);
//     quoin::Sequence sequence(context);
//     sequence.append_text("Once upon a time");
//     sequence.generate([](const quoin_piece& piece) { std::cout << quoin::text(piece) << std::flush; });
//
// Callbacks return nothing, or false to stop. They may throw: the work is stopped, and the exception comes out of the
// call that started it.
#ifndef QUOIN_QUOIN_HPP
#define QUOIN_QUOIN_HPP

#include <quoin/quoin.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace quoin {
// The inline namespace keeps these names apart from the library's own and from those of another release of this header.
inline namespace api_0_1 {

class Error : public std::runtime_error {
public:
    Error(quoin_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
    quoin_status status() const noexcept { return status_; }

private:
    quoin_status status_;
};

inline void check(quoin_status status) {
    if (status < 0) throw Error(status, quoin_last_error());
}

// A struct of quoin.h, zero but for its size: `ContextOptions options; options.kv_tokens = 2048;`
template <class Struct>
struct Sized : Struct {
    Sized() : Struct() { this->struct_size = sizeof(Struct); }
};
using Cpu = Sized<quoin_cpu>;
using RuntimeOptions = Sized<quoin_runtime_options>;
using Limits = Sized<quoin_limits>;
using ModelOptions = Sized<quoin_model_options>;
using ModelFacts = Sized<quoin_model_facts>;
using MetadataValue = Sized<quoin_metadata_value>;
using ValueInfo = Sized<quoin_value_info>;
using QuantizeOptions = Sized<quoin_quantize_options>;
using QuantizeFacts = Sized<quoin_quantize_facts>;
using SessionOptions = Sized<quoin_session_options>;
using ContextOptions = Sized<quoin_context_options>;
using Metrics = Sized<quoin_metrics>;
using SequenceOptions = Sized<quoin_sequence_options>;
using SamplerOptions = Sized<quoin_sampler_options>;
using GenerateOptions = Sized<quoin_generate_options>;
using Result = Sized<quoin_result>;

namespace detail {

struct Destroy {
    void operator()(quoin_runtime* object) const { quoin_runtime_destroy(object); }
    void operator()(quoin_model* object) const { quoin_model_destroy(object); }
    void operator()(quoin_tensor* object) const { quoin_tensor_destroy(object); }
    void operator()(quoin_value* object) const { quoin_value_destroy(object); }
    void operator()(quoin_session* object) const { quoin_session_destroy(object); }
    void operator()(quoin_context* object) const { quoin_context_destroy(object); }
    void operator()(quoin_sequence* object) const { quoin_sequence_destroy(object); }
    void operator()(quoin_sampler* object) const { quoin_sampler_destroy(object); }
};

template <class Object>
class Handle {
public:
    explicit Handle(Object* object) : object_(object) {}
    Object* get() const noexcept { return object_.get(); }  // for calls of quoin.h; stays owned

private:
    std::unique_ptr<Object, Destroy> object_;
};

// A C++ function behind a C callback. Exceptions wait here until the C call is over.
template <class Function>
class Callback {
public:
    explicit Callback(Function& function) : function_(function) {}

    template <class... Arguments>
    int32_t call(Arguments&&... arguments) noexcept {
        try {
            if constexpr (std::is_void_v<std::invoke_result_t<Function&, Arguments...>>) {
                function_(std::forward<Arguments>(arguments)...);
                return 0;
            } else {
                return function_(std::forward<Arguments>(arguments)...) ? 0 : 1;
            }
        } catch (...) {
            exception_ = std::current_exception();
            return 1;
        }
    }
    void rethrow() const {
        if (exception_) std::rethrow_exception(exception_);
    }

private:
    Function& function_;
    std::exception_ptr exception_;
};

// Asks for the count, makes room, asks again.
template <class Container, class Ask>
Container collect(Ask&& ask) {
    Container container;
    size_t count = 0;
    check(ask(nullptr, 0, &count));
    container.resize(count);
    if (count > 0) check(ask(&container[0], count, &count));
    return container;
}

}  // namespace detail

// ---- Library

inline Cpu cpu_info() {
    Cpu out;
    check(quoin_cpu_info(&out));
    return out;
}

using LogFunction = std::function<void(int32_t level, std::string_view text)>;

// Not from two threads at once. What the function throws is lost: there is nobody to catch it.
inline void set_log(int32_t level, LogFunction function) {
    static LogFunction* current = nullptr;  // never destroyed at exit, when other threads may still log
    std::unique_ptr<LogFunction> next = function ? std::make_unique<LogFunction>(std::move(function)) : nullptr;
    const auto call = [](int32_t message_level, const char* text, size_t length, void* user_data) {
        try {
            (*static_cast<LogFunction*>(user_data))(message_level, std::string_view(text, length));
        } catch (...) {  // NOLINT(bugprone-empty-catch)
        }
    };
    quoin_log_callback callback = nullptr;
    if (next) callback = call;
    check(quoin_log_set(level, callback, next.get()));
    delete current;
    current = next.release();
}

inline std::string_view text(const quoin_piece& piece) {
    return {piece.text, piece.text_length};
}

// ---- Runtime

class Runtime : public detail::Handle<quoin_runtime> {
public:
    explicit Runtime(const quoin_runtime_options& options = RuntimeOptions()) : Handle(create(options)) {}

    int32_t threads() const { return quoin_runtime_threads(get()); }
    std::string_view isa() const { return quoin_runtime_isa(get()); }
    uint64_t memory_bytes() const { return quoin_runtime_memory_bytes(get()); }
    Limits measure_limits() const {
        Limits out;
        check(quoin_runtime_measure_limits(get(), &out));
        return out;
    }

private:
    static quoin_runtime* create(const quoin_runtime_options& options) {
        quoin_runtime* out = nullptr;
        check(quoin_runtime_create(&options, &out));
        return out;
    }
};

// ---- Tokenizer: borrowed from its model

class Tokenizer {
public:
    explicit Tokenizer(const quoin_tokenizer* tokenizer) : tokenizer_(tokenizer) {}
    const quoin_tokenizer* get() const noexcept { return tokenizer_; }

    std::vector<int32_t> encode(std::string_view text, int32_t flags = 0) const {
        return detail::collect<std::vector<int32_t>>([&](int32_t* ids, size_t capacity, size_t* count) {
            return quoin_tokenizer_encode(tokenizer_, text.data(), text.size(), flags, ids, capacity, count);
        });
    }
    std::string decode(const int32_t* ids, size_t count, int32_t flags = 0) const {
        return detail::collect<std::string>([&](char* text, size_t capacity, size_t* length) {
            return quoin_tokenizer_decode(tokenizer_, ids, count, flags, text, capacity, length);
        });
    }
    std::string decode(const std::vector<int32_t>& ids, int32_t flags = 0) const {
        return decode(ids.data(), ids.size(), flags);
    }
    int32_t vocabulary_size() const { return quoin_tokenizer_vocabulary_size(tokenizer_); }
    std::string_view token_text(int32_t id) const {
        const char* text = nullptr;
        size_t length = 0;
        check(quoin_tokenizer_token_text(tokenizer_, id, &text, &length));
        return {text, length};
    }
    std::optional<int32_t> special(int32_t role) const {
        const int32_t id = quoin_tokenizer_special(tokenizer_, role);
        return id < 0 ? std::nullopt : std::optional<int32_t>(id);
    }
    bool is_end(int32_t id) const { return quoin_tokenizer_is_end(tokenizer_, id) != 0; }

private:
    const quoin_tokenizer* tokenizer_;
};

// ---- Model

class Model : public detail::Handle<quoin_model> {
public:
    static Model load_file(std::string_view path, const quoin_model_options& options = ModelOptions(),
                           const Runtime* runtime = nullptr) {
        quoin_model* out = nullptr;
        check(quoin_model_load_file(raw(runtime), path.data(), path.size(), &options, &out));
        return Model(out);
    }
    // The bytes must outlive the model and everything made from it.
    static Model load_memory(const void* data, size_t size, const quoin_model_options& options = ModelOptions(),
                             const Runtime* runtime = nullptr) {
        quoin_model* out = nullptr;
        check(quoin_model_load_memory(raw(runtime), data, size, &options, &out));
        return Model(out);
    }
    // read(uint64_t offset, void* buffer, size_t length) fills the buffer, or returns false.
    template <class Read>
    static Model load_reader(uint64_t size, Read&& read, const quoin_model_options& options = ModelOptions(),
                             const Runtime* runtime = nullptr) {
        using Callback = detail::Callback<std::remove_reference_t<Read>>;
        Callback callback(read);
        Sized<quoin_reader> reader;
        reader.size = size;
        reader.user_data = &callback;
        reader.read = [](uint64_t offset, void* buffer, size_t length, void* user_data) {
            return static_cast<Callback*>(user_data)->call(offset, buffer, length);
        };
        quoin_model* out = nullptr;
        const quoin_status status = quoin_model_load_reader(raw(runtime), &reader, &options, &out);
        callback.rethrow();
        check(status);
        return Model(out);
    }

    int32_t kind() const { return quoin_model_kind(get()); }
    ModelFacts info() const {
        ModelFacts out;
        check(quoin_model_info(get(), &out));
        return out;
    }
    // Throws Error(QUOIN_ERROR_NOT_FOUND) when the model has none.
    Tokenizer tokenizer() const {
        const quoin_tokenizer* const tokenizer = quoin_model_tokenizer(get());
        if (tokenizer == nullptr) throw Error(QUOIN_ERROR_NOT_FOUND, "the model has no tokenizer");
        return Tokenizer(tokenizer);
    }

    size_t metadata_count() const { return quoin_model_metadata_count(get()); }
    std::string_view metadata_key(size_t index) const {
        const char* key = nullptr;
        size_t length = 0;
        check(quoin_model_metadata_key(get(), index, &key, &length));
        return {key, length};
    }
    MetadataValue metadata_value(size_t index, uint64_t element = 0) const {
        MetadataValue out;
        check(quoin_model_metadata_value(get(), index, element, &out));
        return out;
    }
    std::optional<MetadataValue> metadata(std::string_view key, uint64_t element = 0) const {
        size_t index = 0;
        const quoin_status status = quoin_model_metadata_find(get(), key.data(), key.size(), &index);
        if (status == QUOIN_ERROR_NOT_FOUND) return std::nullopt;
        check(status);
        return metadata_value(index, element);
    }

    size_t input_count() const { return quoin_model_input_count(get()); }
    ValueInfo input_info(size_t index) const {
        ValueInfo out;
        check(quoin_model_input_info(get(), index, &out));
        return out;
    }
    size_t input_index(std::string_view name) const {
        size_t index = 0;
        check(quoin_model_input_find(get(), name.data(), name.size(), &index));
        return index;
    }
    size_t output_count() const { return quoin_model_output_count(get()); }
    ValueInfo output_info(size_t index) const {
        ValueInfo out;
        check(quoin_model_output_info(get(), index, &out));
        return out;
    }
    size_t output_index(std::string_view name) const {
        size_t index = 0;
        check(quoin_model_output_find(get(), name.data(), name.size(), &index));
        return index;
    }

    // write(std::string_view) gets the description in pieces.
    template <class Write>
    void describe(int32_t what, int32_t format, Write&& write) const {
        using Callback = detail::Callback<std::remove_reference_t<Write>>;
        Callback callback(write);
        const quoin_status status = quoin_model_describe(
            get(), what, format,
            [](const char* text, size_t length, void* user_data) {
                return static_cast<Callback*>(user_data)->call(std::string_view(text, length));
            },
            &callback);
        callback.rethrow();
        check(status);
    }
    std::string describe(int32_t what, int32_t format = QUOIN_FORMAT_TEXT) const {
        std::string out;
        describe(what, format, [&out](std::string_view text) { out += text; });
        return out;
    }

private:
    explicit Model(quoin_model* model) : Handle(model) {}
    static const quoin_runtime* raw(const Runtime* runtime) { return runtime == nullptr ? nullptr : runtime->get(); }
};

// Sets the progress callback of a load or a quantisation; keep it alive until that is over. If progress(double
// fraction) throws, call rethrow() after the failure with QUOIN_CANCELLED.
template <class Function>
class Progress : public detail::Callback<Function> {
public:
    Progress(Function& function, quoin_model_options& options) : detail::Callback<Function>(function) {
        options.progress_user_data = this;
        options.progress = [](double fraction, void* user_data) {
            return static_cast<Progress*>(user_data)->call(fraction);
        };
    }
    Progress(Function& function, quoin_quantize_options& options) : detail::Callback<Function>(function) {
        options.progress_user_data = this;
        options.progress = [](double fraction, void* user_data) {
            return static_cast<Progress*>(user_data)->call(fraction);
        };
    }
};

// The same for quoin_quantize_options::tensor; the function takes a const quoin_quantized_tensor&.
template <class Function>
class TensorProgress : public detail::Callback<Function> {
public:
    TensorProgress(Function& function, quoin_quantize_options& options) : detail::Callback<Function>(function) {
        options.tensor_user_data = this;
        options.tensor = [](const quoin_quantized_tensor* tensor, void* user_data) {
            return static_cast<TensorProgress*>(user_data)->call(*tensor);
        };
    }
};

inline QuantizeFacts quantize_file(std::string_view path, std::string_view type, std::string_view output,
                                   const quoin_quantize_options& options = QuantizeOptions(),
                                   const Runtime* runtime = nullptr) {
    QuantizeFacts out;
    check(quoin_model_quantize_file(runtime == nullptr ? nullptr : runtime->get(), path.data(), path.size(),
                                    type.data(), type.size(), output.data(), output.size(), &options, &out));
    return out;
}

// ---- Tensor and session

class Tensor : public detail::Handle<quoin_tensor> {
public:
    Tensor(int32_t dtype, const std::vector<int64_t>& dims) : Handle(create(dtype, dims)) {}
    // The caller's memory, which must outlive the tensor and the sessions that hold it.
    static Tensor wrap(void* data, size_t bytes, int32_t dtype, const std::vector<int64_t>& dims) {
        quoin_tensor* out = nullptr;
        check(quoin_tensor_wrap(data, bytes, dtype, static_cast<int32_t>(dims.size()), dims.data(), &out));
        return Tensor(out);
    }

    static Tensor strings(const std::vector<std::string>& texts, const std::vector<int64_t>& dims) {
        std::vector<const char*> pointers;
        std::vector<size_t> lengths;
        for (const std::string& text : texts) {
            pointers.push_back(text.data());
            lengths.push_back(text.size());
        }
        size_t count = 1;
        for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
        if (count != texts.size()) throw Error(QUOIN_ERROR_INVALID_ARGUMENT, "texts and dims do not agree");
        quoin_tensor* out = nullptr;
        check(quoin_tensor_create_strings(static_cast<int32_t>(dims.size()), dims.data(), pointers.data(),
                                          lengths.data(), &out));
        return Tensor(out);
    }

    int32_t dtype() const { return quoin_tensor_dtype(get()); }
    std::vector<int64_t> dims() const {
        const int64_t* const dims = quoin_tensor_dims(get());
        return std::vector<int64_t>(dims, dims + quoin_tensor_rank(get()));
    }
    size_t byte_size() const { return quoin_tensor_byte_size(get()); }
    void* data() { return quoin_tensor_data(get()); }
    const void* data() const { return quoin_tensor_data_const(get()); }
    template <class Element>
    Element* data_as() {
        return static_cast<Element*>(data());
    }

private:
    explicit Tensor(quoin_tensor* tensor) : Handle(tensor) {}
    static quoin_tensor* create(int32_t dtype, const std::vector<int64_t>& dims) {
        quoin_tensor* out = nullptr;
        check(quoin_tensor_create(dtype, static_cast<int32_t>(dims.size()), dims.data(), &out));
        return out;
    }
};

// A result, borrowed from its session until the next run.
class TensorView {
public:
    explicit TensorView(const quoin_tensor* tensor) : tensor_(tensor) {}
    const quoin_tensor* get() const noexcept { return tensor_; }

    int32_t dtype() const { return quoin_tensor_dtype(tensor_); }
    std::vector<int64_t> dims() const {
        const int64_t* const dims = quoin_tensor_dims(tensor_);
        return std::vector<int64_t>(dims, dims + quoin_tensor_rank(tensor_));
    }
    size_t byte_size() const { return quoin_tensor_byte_size(tensor_); }
    const void* data() const { return quoin_tensor_data_const(tensor_); }
    std::string_view string(size_t index) const {
        const char* text = nullptr;
        size_t length = 0;
        check(quoin_tensor_string(tensor_, index, &text, &length));
        return std::string_view(text, length);
    }
    template <class Element>
    const Element* data_as() const {
        return static_cast<const Element*>(data());
    }

private:
    const quoin_tensor* tensor_;
};

// A sequence to set as an input.
class Value : public detail::Handle<quoin_value> {
public:
    static Value sequence(int32_t dtype, const std::vector<const Tensor*>& tensors) {
        std::vector<const quoin_tensor*> items;
        for (const Tensor* const tensor : tensors) items.push_back(tensor->get());
        quoin_value* out = nullptr;
        check(quoin_value_create_sequence(dtype, items.data(), items.size(), &out));
        return Value(out);
    }

private:
    explicit Value(quoin_value* value) : Handle(value) {}
};

// A result of any kind, borrowed like a TensorView.
class ValueView {
public:
    explicit ValueView(const quoin_value* value) : value_(value) {}
    const quoin_value* get() const noexcept { return value_; }

    int32_t kind() const { return quoin_value_kind(value_); }
    size_t size() const { return quoin_value_count(value_); }
    ValueView operator[](size_t index) const {
        const quoin_value* out = nullptr;
        check(quoin_value_item(value_, index, &out));
        return ValueView(out);
    }
    // Only where kind() is QUOIN_VALUE_TENSOR.
    TensorView tensor() const { return TensorView(quoin_value_tensor(value_)); }

private:
    const quoin_value* value_;
};

class Session : public detail::Handle<quoin_session> {
public:
    explicit Session(const Model& model, const quoin_session_options& options = SessionOptions())
        : Handle(create(model, options)) {}

    void set_input(size_t index, const Tensor& tensor) { check(quoin_session_set_input(get(), index, tensor.get())); }
    void set_input(size_t index, const Value& value) {
        check(quoin_session_set_input_value(get(), index, value.get()));
    }
    void leave_out_input(size_t index) { check(quoin_session_set_input_value(get(), index, nullptr)); }
    void bind_output(size_t index, Tensor& tensor) { check(quoin_session_bind_output(get(), index, tensor.get())); }
    void unbind_output(size_t index) { check(quoin_session_bind_output(get(), index, nullptr)); }
    void run() { check(quoin_session_run(get())); }
    void cancel() const { quoin_session_cancel(get()); }
    TensorView output(size_t index) const {
        const quoin_tensor* out = nullptr;
        check(quoin_session_output(get(), index, &out));
        return TensorView(out);
    }
    ValueView output_value(size_t index) const {
        const quoin_value* out = nullptr;
        check(quoin_session_output_value(get(), index, &out));
        return ValueView(out);
    }
    std::string plan(int32_t format = QUOIN_FORMAT_TEXT) const {
        std::string out;
        check(quoin_session_describe(get(), QUOIN_DESCRIBE_PLAN, format, append, &out));
        return out;
    }
    void start_profile() { check(quoin_session_profile_start(get())); }
    void stop_profile() { check(quoin_session_profile_stop(get())); }
    std::string profile() const {
        std::string out;
        check(quoin_session_profile_write(get(), append, &out));
        return out;
    }

private:
    static int32_t append(const char* text, size_t length, void* user_data) noexcept {
        try {
            static_cast<std::string*>(user_data)->append(text, length);
            return 0;
        } catch (const std::exception&) {
            return 1;
        }
    }
    static quoin_session* create(const Model& model, const quoin_session_options& options) {
        quoin_session* out = nullptr;
        check(quoin_session_create(model.get(), &options, &out));
        return out;
    }
};

// ---- Context, sampler, sequence

class Context : public detail::Handle<quoin_context> {
public:
    explicit Context(const Model& model, const quoin_context_options& options = ContextOptions())
        : Handle(create(model, options)) {}

    Metrics metrics() const {
        Metrics out;
        check(quoin_context_metrics(get(), &out));
        return out;
    }

private:
    static quoin_context* create(const Model& model, const quoin_context_options& options) {
        quoin_context* out = nullptr;
        check(quoin_context_create(model.get(), &options, &out));
        return out;
    }
};

class Sampler : public detail::Handle<quoin_sampler> {
public:
    explicit Sampler(const quoin_sampler_options& options = SamplerOptions()) : Handle(create(options)) {}
    void reset() { quoin_sampler_reset(get()); }

private:
    static quoin_sampler* create(const quoin_sampler_options& options) {
        quoin_sampler* out = nullptr;
        check(quoin_sampler_create(&options, &out));
        return out;
    }
};

class Sequence : public detail::Handle<quoin_sequence> {
public:
    explicit Sequence(const Context& context, const quoin_sequence_options& options = SequenceOptions())
        : Handle(create(context, options)) {}

    void append_tokens(const int32_t* ids, size_t count) { check(quoin_sequence_append_tokens(get(), ids, count)); }
    void append_tokens(const std::vector<int32_t>& ids) { append_tokens(ids.data(), ids.size()); }
    void append_text(std::string_view text, int32_t flags = 0) {
        check(quoin_sequence_append_text(get(), text.data(), text.size(), flags));
    }
    size_t length() const { return quoin_sequence_length(get()); }
    std::vector<int32_t> tokens() const {
        return detail::collect<std::vector<int32_t>>([this](int32_t* ids, size_t capacity, size_t* count) {
            return quoin_sequence_tokens(get(), ids, capacity, count);
        });
    }
    Sequence fork() const {
        quoin_sequence* out = nullptr;
        check(quoin_sequence_fork(get(), &out));
        return Sequence(out);
    }
    void trim(size_t length) { check(quoin_sequence_trim(get(), length)); }

    // The logits of the last `rows` tokens; 0 only computes.
    std::vector<float> evaluate(size_t rows) {
        return detail::collect<std::vector<float>>([this, rows](float* logits, size_t capacity, size_t* count) {
            return quoin_sequence_evaluate(get(), rows, logits, capacity, count);
        });
    }

    // callback(const quoin_piece&). Being stopped is not an error: Result::finish tells.
    template <class Function>
    Result generate(Function&& function, const quoin_generate_options& options = GenerateOptions(),
                    Sampler* sampler = nullptr) {
        using Callback = detail::Callback<std::remove_reference_t<Function>>;
        Callback callback(function);
        Result out;
        const quoin_status status = quoin_sequence_generate(
            get(), sampler == nullptr ? nullptr : sampler->get(), &options,
            [](const quoin_piece* piece, void* user_data) { return static_cast<Callback*>(user_data)->call(*piece); },
            &callback, &out);
        callback.rethrow();
        if (status != QUOIN_CANCELLED) check(status);
        return out;
    }
    void cancel() const { quoin_sequence_cancel(get()); }

private:
    explicit Sequence(quoin_sequence* sequence) : Handle(sequence) {}
    static quoin_sequence* create(const Context& context, const quoin_sequence_options& options) {
        quoin_sequence* out = nullptr;
        check(quoin_sequence_create(context.get(), &options, &out));
        return out;
    }
};

}  // namespace api_0_1
}  // namespace quoin

#endif
