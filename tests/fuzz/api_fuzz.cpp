// libFuzzer over quoin.h, and nothing but quoin.h: the bytes are a program of calls, see api_program.h.
// Whatever is called in whatever order: statuses are documented ones and never "internal error", each failure leaves a
// sentence and touches no output, and once all is destroyed the runtimes hold no memory (and nothing has leaked).
// Structs and buffers lie in heap blocks of exactly their size, so that AddressSanitizer sees each byte too many.
#include <quoin/quoin.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fuzz/api_host.h"
#include "fuzz/api_program.h"
#include "support/gguf_writer.cpp"  // fuzz targets are made of one file
#include "support/onnx_writer.cpp"

// Blocks that cannot be had give NULL, as without a sanitizer; that is what the library must cope with.
extern "C" const char* __asan_default_options() {
    return "allocator_may_return_null=1:malloc_context_size=8";
}

namespace {

using namespace quoin::test;

class Program {
public:
    explicit Program(Input in) : in_(in) {}
    ~Program();
    void run();
    void load_whole(const uint8_t* data, size_t size);

private:
    void step(Call operation);
    void create_runtime();
    void load_memory(bool patched);
    void load_reader();
    void load_file();
    Block<quoin_model_options> model_options();
    std::vector<std::byte> chosen_model(bool patched);
    // Bytes that a model or tensor uses, kept until everything is destroyed.
    std::byte* keep(const std::vector<std::byte>& bytes);
    void create_context();
    void create_sequence();
    void append_tokens();
    void append_text();
    void trim();
    void evaluate();
    void generate();
    void create_sampler();
    void encode();
    void decode();
    void ask_tokens();
    void create_tensor(bool wrapped);
    void create_session();
    void use_session(Call operation);
    void create_strings();
    void create_sequence_of_tensors();
    void profile();
    void describe();
    void ask_metadata();
    void ask_values();
    void fill_structs();
    void destroy();
    void set_log();
    void pass_nulls();
    void ask_names();
    void read_tokens();

    Input in_;
    std::deque<Host> hosts_;
    std::deque<std::unique_ptr<uint64_t[]>> kept_;
    std::deque<std::vector<int64_t>> shapes_;
    Pool<quoin_runtime> runtimes_{quoin_runtime_destroy, {shared().runtime}};
    Pool<quoin_model> models_{quoin_model_destroy, shared().models};
    Pool<quoin_context> contexts_{quoin_context_destroy};
    Pool<quoin_sequence> sequences_{quoin_sequence_destroy};
    Pool<quoin_sampler> samplers_{quoin_sampler_destroy};
    Pool<quoin_tensor> tensors_{quoin_tensor_destroy};
    Pool<quoin_value> values_{quoin_value_destroy};
    Pool<quoin_session> sessions_{quoin_session_destroy};
};

std::byte* Program::keep(const std::vector<std::byte>& bytes) {
    kept_.push_back(std::make_unique<uint64_t[]>(bytes.size() / sizeof(uint64_t) + 1));
    auto* const copy = reinterpret_cast<std::byte*>(kept_.back().get());
    std::ranges::copy(bytes, copy);
    return copy;
}

void Program::create_runtime() {
    Block<quoin_runtime_options> options(in_, true);
    Host& host = hosts_.emplace_back();
    quoin_runtime_options value{};
    // One thread: more would only wait for each other here. Two now and then, and numbers that cannot be.
    constexpr int32_t kThreads[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, -1, 1025, INT32_MIN, INT32_MAX};
    value.threads = in_.pick(kThreads);
    constexpr const char* kSets[] = {nullptr,      nullptr,      "baseline", "avx2", "avxvnni", "avx512",
                                     "avx512vnni", "avx512bf16", "amxint8",  "i8mm", "",        "sse9"};
    value.isa = in_.pick(kSets);
    value.isa_length = value.isa != nullptr && in_.byte() % 2 == 0 ? QUOIN_STRLEN : 0;
    constexpr uint64_t kBudgets[] = {0, 0, 0, 1, 1000, 4000, 10000, 20000, 40000, 100000, UINT64_MAX};
    value.memory_budget_bytes = in_.pick(kBudgets);
    const uint8_t host_choice = in_.byte();
    if (host_choice < 200) value.allocate = Host::allocate;
    if (host_choice < 200 || host_choice > 250) value.release = Host::release;
    value.allocator_user_data = &host;
    if (const uint8_t allowed = in_.byte(); allowed != 0) host.allowed = allowed;
    const int32_t processors[] = {0, in_.number32(1)};
    if (const uint8_t affinity = in_.byte(); affinity > 200) {
        value.affinity = affinity == 255 ? nullptr : processors;
        value.affinity_count = affinity % 3;
    }
    options.set(value);
    auto* const runtime = make<quoin_runtime>([&](auto** out) { return quoin_runtime_create(options.get(), out); });
    if (runtime != nullptr) require(quoin_runtime_memory_bytes(runtime) == 0, "a new runtime holds memory");
    runtimes_.add(runtime);
}

std::vector<std::byte> Program::chosen_model(bool patched) {
    std::vector<std::byte> bytes = models()[in_.byte() % models().size()];
    if (!patched) return bytes;
    const int patches = in_.byte() % 8;
    for (int patch = 0; patch < patches; ++patch) {
        const size_t position = in_.byte() | size_t{in_.byte()} << 8;
        const uint8_t value = in_.byte();
        if (!bytes.empty()) bytes[position % bytes.size()] = static_cast<std::byte>(value);
    }
    if (const size_t cut = in_.byte() | size_t{in_.byte()} << 8; cut != 0) bytes.resize(cut % bytes.size());
    return bytes;
}

struct Progress {
    int32_t calls_left;
    double last = 0;
    static int32_t report(double fraction, void* user_data) {
        if (user_data == nullptr) return 0;
        auto& progress = *static_cast<Progress*>(user_data);
        require(fraction >= progress.last && fraction <= 1.0, "progress does not rise");
        progress.last = fraction;
        return progress.calls_left >= 0 && progress.calls_left-- == 0 ? 1 : 0;
    }
};

thread_local Progress progress_state{-1};

Block<quoin_model_options> Program::model_options() {
    Block<quoin_model_options> options(in_, true);
    quoin_model_options value{};
    progress_state = {-1};
    if (const uint8_t calls = in_.byte(); calls != 0) {
        progress_state.calls_left = calls < 128 ? calls : -1;
        value.progress = Progress::report;
        value.progress_user_data = &progress_state;
    }
    constexpr const char* kProviders[] = {nullptr, nullptr, "native", "reference", "onednn", "", "other"};
    value.provider = in_.pick(kProviders);
    value.provider_length = value.provider != nullptr && in_.byte() % 2 == 0 ? QUOIN_STRLEN : 0;
    constexpr const char* kArithmetics[] = {nullptr, nullptr, nullptr, "bf16", "f32", "other"};
    value.arithmetic = in_.pick(kArithmetics);
    value.arithmetic_length = value.arithmetic != nullptr ? QUOIN_STRLEN : 0;
    value.mmap_mode = in_.byte() < 250 ? 0 : in_.number32(1);
    value.metadata_only = in_.byte() < 220 ? 0 : -1;
    options.set(value);
    return options;
}

void Program::load_memory(bool patched) {
    const std::vector<std::byte> bytes = chosen_model(patched);
    const quoin_runtime* const runtime = runtimes_.choose(in_);
    Block<quoin_model_options> options = model_options();
    const size_t shift = in_.byte() < 250 ? 0 : 1;
    const std::byte* const data = keep(bytes);
    models_.add(make<quoin_model>([&](auto** out) {
        return quoin_model_load_memory(runtime, data + shift, bytes.size() - std::min(shift, bytes.size()),
                                       options.get(), out);
    }));
}

void Program::load_reader() {
    const std::vector<std::byte> bytes = chosen_model(in_.byte() % 2 != 0);
    const quoin_runtime* const runtime = runtimes_.choose(in_);
    Block<quoin_model_options> options = model_options();
    // What would truly be read whole must stay small.
    auto claimed = static_cast<uint64_t>(in_.number(static_cast<int64_t>(bytes.size())));
    if (claimed > (1 << 20) && claimed <= uint64_t{1} << 41) claimed = bytes.size();
    Reader state{bytes.data(), bytes.size(), claimed, int32_t{in_.byte()} - 1};
    Block<quoin_reader> reader(in_, true);
    reader.set({0, claimed, in_.byte() < 250 ? Reader::read : nullptr, &state});
    models_.add(make<quoin_model>(
        [&](auto** out) { return quoin_model_load_reader(runtime, reader.get(), options.get(), out); }));
}

void Program::load_file() {
    const quoin_runtime* const runtime = runtimes_.choose(in_);
    Block<quoin_model_options> options = model_options();
    const uint8_t choice = in_.byte();
    std::string path = model_paths()[choice % model_paths().size()];
    if (choice > 200) path = choice > 220 ? in_.text(40) : "/dev/null";
    models_.add(make<quoin_model>([&](auto** out) {
        return quoin_model_load_file(runtime, choice == 255 ? nullptr : path.data(), path.size(), options.get(), out);
    }));
}

void Program::create_context() {
    const quoin_model* const model = models_.choose(in_);
    Block<quoin_context_options> options(in_, true);
    quoin_context_options value{};
    value.kv_tokens = in_.number(0);
    value.kv_dtype = in_.pick({int32_t{0}, 0, 1, 10, 2, 102, -5, 1000});
    value.max_sequences = in_.number32(0);
    value.max_step_tokens = in_.number32(0);
    // What would truly be made must stay small: a few gigabytes are no defect, but slow.
    const auto too_large = [](int64_t number, int64_t most) { return number > 512 && number <= most; };
    if (too_large(value.kv_tokens, 1 << 30)) value.kv_tokens = 100;
    if (too_large(value.max_sequences, 1 << 16)) value.max_sequences = 100;
    options.set(value);
    contexts_.add(make<quoin_context>([&](auto** out) { return quoin_context_create(model, options.get(), out); }));
}

void Program::create_sequence() {
    const quoin_context* const context = contexts_.choose(in_);
    Block<quoin_sequence_options> options(in_, true);
    sequences_.add(
        make<quoin_sequence>([&](auto** out) { return quoin_sequence_create(context, options.get(), out); }));
}

void Program::append_tokens() {
    quoin_sequence* const sequence = sequences_.choose(in_);
    const size_t count = in_.byte() % 64;
    const auto ids = std::make_unique<int32_t[]>(count);
    for (size_t index = 0; index < count; ++index) {
        const uint8_t id = in_.byte();
        ids[index] = id > 250 ? in_.number32(1000) : id % 6;
    }
    const size_t before = quoin_sequence_length(sequence);
    const bool null = in_.byte() == 255;
    const quoin_status status =
        call([&] { return quoin_sequence_append_tokens(sequence, null ? nullptr : ids.get(), count); });
    require(quoin_sequence_length(sequence) == before + (status == QUOIN_OK ? count : 0), "tokens were not appended");
}

void Program::append_text() {
    quoin_sequence* const sequence = sequences_.choose(in_);
    const std::string text = in_.text(100);
    const int32_t flags = in_.pick({int32_t{0}, 0, 2, 1, 4, -1});
    const size_t before = quoin_sequence_length(sequence);
    const quoin_status status =
        call([&] { return quoin_sequence_append_text(sequence, text.data(), text.size(), flags); });
    require(status == QUOIN_OK || quoin_sequence_length(sequence) == before, "a failure appended tokens");
}

void Program::trim() {
    quoin_sequence* const sequence = sequences_.choose(in_);
    const size_t before = quoin_sequence_length(sequence);
    const auto length = static_cast<size_t>(in_.number(static_cast<int64_t>(before / 2)));
    const quoin_status status = call([&] { return quoin_sequence_trim(sequence, length); });
    require(quoin_sequence_length(sequence) == (status == QUOIN_OK ? length : before), "not trimmed");
}

void Program::evaluate() {
    quoin_sequence* const sequence = sequences_.choose(in_);
    const size_t before = quoin_sequence_length(sequence);
    const uint8_t wanted = in_.byte();
    const auto rows = wanted > 200 ? static_cast<size_t>(in_.number(-1)) : std::min<size_t>(wanted + 1U, before);
    size_t count = SIZE_MAX;
    if (call([&] { return quoin_sequence_evaluate(sequence, rows, nullptr, 0, &count); }) != QUOIN_OK) {
        require(count == SIZE_MAX || rows == 0, "a failure wrote the count");
        return;
    }
    const uint8_t choice = in_.byte();
    size_t capacity = count;
    if (choice > 200) capacity = choice % 2 == 0 ? count / 2 : count + 5;
    const auto logits = std::make_unique<float[]>(capacity);
    std::fill_n(logits.get(), capacity, -7.5F);
    const quoin_status status = call([&] {
        return quoin_sequence_evaluate(sequence, rows, logits.get(), capacity, choice % 3 == 0 ? nullptr : &count);
    });
    require(quoin_sequence_length(sequence) == before, "evaluating changed the tokens");
    // After running out of room in the middle the first rows may be there already.
    size_t written = 0;
    if (status == QUOIN_OK) written = count;
    if (status == QUOIN_ERROR_CONTEXT_FULL || status == QUOIN_ERROR_OUT_OF_MEMORY) written = capacity;
    require(std::all_of(logits.get() + std::min(written, capacity), logits.get() + capacity,
                        [](float value) { return value == -7.5F; }),
            "logits behind the last row, or after a failure");
}

struct Stream {
    quoin_sequence* sequence;
    uint8_t action;
    int32_t stop_after;  // tokens; -1: never
    int64_t tokens = 0;

    static int32_t take(const quoin_piece* piece, void* user_data) {
        auto& stream = *static_cast<Stream*>(user_data);
        require(piece->struct_size == sizeof(quoin_piece) && piece->text != nullptr && piece->token >= -1,
                "a bad piece");
        if (piece->token < 0) {
            require(std::string_view(piece->text, piece->text_length) == "\xEF\xBF\xBD", "another rest than U+FFFD");
            return 1;  // too late to stop anything
        }
        ++stream.tokens;
        const bool stop = stream.stop_after >= 0 && stream.stop_after-- == 0;
        switch (stream.action % 4) {
            case 1:
                if (stop) quoin_sequence_cancel(stream.sequence);
                return 0;
            case 2: {  // forbidden, but told apart
                const int32_t id = 0;
                require(quoin_sequence_append_tokens(stream.sequence, &id, 1) == QUOIN_ERROR_INVALID_STATE,
                        "a sequence at work took tokens");
                return stop ? -1 : 0;
            }
            default: return stop ? 1 : 0;
        }
    }
};

void Program::generate() {
    quoin_sequence* const sequence = sequences_.choose(in_);
    quoin_sampler* const sampler = samplers_.choose(in_);
    Block<quoin_generate_options> options(in_, true);
    quoin_generate_options value{};
    value.max_tokens = in_.number(0);
    value.ignore_end = in_.byte() % 3 - 1;
    options.set(value);
    Stream stream{sequence, in_.byte(), int32_t{in_.byte()} - 1};
    const uint8_t given = in_.byte();
    Block<quoin_result> result(in_, true);
    result.fill(0xAB);
    const size_t before = quoin_sequence_length(sequence);
    // The callback may make failing calls of its own, so the last error need not be the one of the call.
    const auto generate = [&] {
        return quoin_sequence_generate(sequence, sampler, options.get(), given > 240 ? nullptr : Stream::take, &stream,
                                       result.get());
    };
    const quoin_status status = stream.action % 4 == 2 ? generate() : call(generate);
    require(documented(status), "an undocumented status");
    if (status != QUOIN_CANCELLED) result.check_untouched(status);
    const size_t after = quoin_sequence_length(sequence);
    require(after >= before, "generating lost tokens");
    if (given <= 240) require(static_cast<int64_t>(after - before) == stream.tokens, "a token without a piece");
}

void Program::create_sampler() {
    Block<quoin_sampler_options> options(in_, true);
    quoin_sampler_options value{};
    value.repetition_penalty = in_.real(0);
    value.frequency_penalty = in_.real(0);
    value.presence_penalty = in_.real(0);
    value.penalty_window = in_.number32(0);
    value.top_k = in_.number32(0);
    value.top_p = in_.real(0);
    value.min_p = in_.real(0);
    value.temperature = in_.real(1);
    value.seed = in_.byte();
    options.set(value);
    samplers_.add(make<quoin_sampler>([&](auto** out) { return quoin_sampler_create(options.get(), out); }));
}

// A call that fills a buffer: asked for the count, then with `capacity` chosen by the program.
template <class Element, class Function>
void fill_buffer(Input& in, const Function& function) {
    size_t count = SIZE_MAX;
    if (call([&] { return function(static_cast<Element*>(nullptr), 0, &count); }) != QUOIN_OK) {
        require(count == SIZE_MAX, "a failure wrote the count");
        return;
    }
    const uint8_t choice = in.byte();
    const size_t capacity = choice < 128 ? count : choice % 2 == 0 ? count / 2 : count + choice % 8;
    const auto buffer = std::make_unique<Element[]>(capacity);
    std::fill_n(buffer.get(), capacity, Element{77});
    size_t again = SIZE_MAX;
    const quoin_status status =
        call([&] { return function(buffer.get(), capacity, choice % 5 == 4 ? nullptr : &again); });
    require(again == (choice % 5 == 4 ? SIZE_MAX : count), "another count than before");
    require(status == (capacity < count ? QUOIN_ERROR_BUFFER_TOO_SMALL : QUOIN_OK), "the room was judged wrongly");
    const size_t written = status == QUOIN_OK ? count : 0;
    require(std::all_of(buffer.get() + written, buffer.get() + capacity, [](Element each) { return each == 77; }),
            "bytes behind the result, or after a failure");
}

void Program::encode() {
    const quoin_tokenizer* const tokenizer = quoin_model_tokenizer(models_.choose(in_));
    const std::string text = in_.text(200);
    const int32_t flags = in_.pick({int32_t{0}, 1, 2, 3, 4, -1});
    fill_buffer<int32_t>(in_, [&](int32_t* ids, size_t capacity, size_t* count) {
        return quoin_tokenizer_encode(tokenizer, text.data(), text.size(), flags, ids, capacity, count);
    });
}

void Program::decode() {
    const quoin_tokenizer* const tokenizer = quoin_model_tokenizer(models_.choose(in_));
    const size_t count = in_.byte() % 64;
    const auto ids = std::make_unique<int32_t[]>(count);
    for (size_t index = 0; index < count; ++index) {
        const uint8_t id = in_.byte();
        ids[index] = id > 250 ? in_.number32(1000) : id % 16;
    }
    const int32_t flags = in_.pick({int32_t{0}, 1, 2, 3, 4, -1});
    fill_buffer<char>(in_, [&](char* text, size_t capacity, size_t* length) {
        return quoin_tokenizer_decode(tokenizer, ids.get(), count, flags, text, capacity, length);
    });
}

void Program::ask_tokens() {
    const quoin_tokenizer* const tokenizer = quoin_model_tokenizer(models_.choose(in_));
    const int32_t id = in_.number32(4);
    const int32_t size = quoin_tokenizer_vocabulary_size(tokenizer);
    const int32_t special = quoin_tokenizer_special(tokenizer, in_.number32(1));
    require(special >= -1 && special < std::max(size, 0), "a special token outside the vocabulary");
    static_cast<void>(quoin_tokenizer_is_end(tokenizer, id));
    const char* text = nullptr;
    size_t length = 0;
    const quoin_status status = call([&] { return quoin_tokenizer_token_text(tokenizer, id, &text, &length); });
    require(status != QUOIN_OK || (id >= 0 && id < size), "the text of a token that is not there");
    if (status == QUOIN_OK) static_cast<void>(std::string(text, length));
    require(status == QUOIN_OK || text == nullptr, "a failed call wrote its output");
}

void Program::create_tensor(bool wrapped) {
    const int32_t number = in_.number32(QUOIN_DTYPE_I32);
    const int32_t dtype = number < 100 && in_.byte() > 200 ? number + 100 : number;
    const int32_t rank = in_.byte() < 240 ? in_.number32(1) : 9;
    auto& dims = shapes_.emplace_back(static_cast<size_t>(std::clamp(rank, 0, 16)));
    double elements = 1;
    for (int64_t& dim : dims) {
        dim = in_.number(4);
        elements *= static_cast<double>(dim);
    }
    if (elements > 1e5 && elements < 3e13) return;  // possible, so slow
    if (!wrapped) {
        auto* const tensor =
            make<quoin_tensor>([&](auto** out) { return quoin_tensor_create(dtype, rank, dims.data(), out); });
        if (tensor != nullptr) {
            const auto* const data = static_cast<const uint8_t*>(quoin_tensor_data(tensor));
            const size_t bytes = quoin_tensor_byte_size(tensor);
            require(std::all_of(data, data + bytes, [](uint8_t byte) { return byte == 0; }), "a tensor without zeros");
        }
        tensors_.add(tensor);
        return;
    }
    constexpr size_t kWidths[] = {4, 4, 1, 2, 8, 18};
    const size_t width = in_.pick(kWidths);
    const auto bytes = elements > 0 && elements < 1e5 ? static_cast<size_t>(elements) * width : 0;
    std::vector<std::byte> data(bytes);
    for (size_t index = 0; index < bytes; index += 4) data[index] = static_cast<std::byte>(in_.byte() % 6);
    const size_t shift = in_.byte() < 250 ? 0 : 1;
    data.resize(bytes + shift);
    std::byte* const memory = keep(data);
    tensors_.add(make<quoin_tensor>([&](auto** out) {
        return quoin_tensor_wrap(in_.byte() == 255 ? nullptr : memory + shift, bytes, dtype, rank, dims.data(), out);
    }));
}

void Program::create_session() {
    const quoin_model* const model = models_.choose(in_);
    Block<quoin_session_options> options(in_, true);
    sessions_.add(make<quoin_session>([&](auto** out) { return quoin_session_create(model, options.get(), out); }));
}

// Every element is read; of strings every byte.
void read_tensor(const quoin_tensor* tensor) {
    double elements = 1;
    for (int32_t axis = 0; axis < quoin_tensor_rank(tensor); ++axis) {
        require(quoin_tensor_dims(tensor)[axis] >= 0, "a negative dim");
        elements *= static_cast<double>(quoin_tensor_dims(tensor)[axis]);
    }
    volatile uint8_t sum = 0;
    if (quoin_tensor_dtype(tensor) == QUOIN_DTYPE_STRING) {
        require(quoin_tensor_data_const(tensor) == nullptr && quoin_tensor_byte_size(tensor) == 0, "bytes of strings");
        for (size_t index = 0; index < static_cast<size_t>(elements); ++index) {
            const char* text = nullptr;
            size_t length = 0;
            require(quoin_tensor_string(tensor, index, &text, &length) == QUOIN_OK, "a string that is not there");
            for (size_t at = 0; at < length; ++at) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(text[at]));
        }
        return;
    }
    const auto* const bytes = static_cast<const uint8_t*>(quoin_tensor_data_const(tensor));
    for (size_t at = 0; at < quoin_tensor_byte_size(tensor); ++at) sum = static_cast<uint8_t>(sum + bytes[at]);
}

void read_value(const quoin_value* value) {
    const int32_t kind = quoin_value_kind(value);
    require(kind >= QUOIN_VALUE_NONE && kind <= QUOIN_VALUE_MAP, "an unknown kind of value");
    require((quoin_value_tensor(value) != nullptr) == (kind == QUOIN_VALUE_TENSOR), "a tensor where none is");
    if (kind == QUOIN_VALUE_TENSOR) read_tensor(quoin_value_tensor(value));
    const size_t count = quoin_value_count(value);
    const quoin_value* item = nullptr;
    for (size_t index = 0; index < count; ++index) {
        require(quoin_value_item(value, index, &item) == QUOIN_OK && item != nullptr, "an item that is not there");
        read_value(item);
    }
    item = nullptr;
    require(call([&] { return quoin_value_item(value, count, &item); }) != QUOIN_OK && item == nullptr,
            "an item behind the last");
}

void Program::use_session(Call operation) {
    quoin_session* const session = sessions_.choose(in_);
    const size_t index = in_.byte() < 220 ? in_.byte() % 4 : static_cast<size_t>(in_.number(1));
    switch (operation) {
        case Call::SetInput: call([&] { return quoin_session_set_input(session, index, tensors_.choose(in_)); }); break;
        case Call::SetInputValue:
            call([&] { return quoin_session_set_input_value(session, index, values_.choose(in_)); });
            break;
        case Call::BindOutput:
            call([&] { return quoin_session_bind_output(session, index, tensors_.choose(in_)); });
            break;
        case Call::RunSession: call([&] { return quoin_session_run(session); }); break;
        case Call::SessionOutput: {
            const quoin_tensor* output = nullptr;
            const quoin_status status = call([&] { return quoin_session_output(session, index, &output); });
            require((status == QUOIN_OK) == (output != nullptr), "success without an output, or a failure with one");
            if (output != nullptr) read_tensor(output);
            break;
        }
        default: {
            const quoin_value* output = nullptr;
            const quoin_status status = call([&] { return quoin_session_output_value(session, index, &output); });
            require((status == QUOIN_OK) == (output != nullptr), "success without an output, or a failure with one");
            if (output != nullptr) read_value(output);
        }
    }
}

void Program::create_strings() {
    const int32_t rank = in_.byte() < 240 ? in_.byte() % 3 : in_.number32(9);
    std::vector<int64_t> dims(static_cast<size_t>(std::clamp(rank, 0, 16)));
    double elements = 1;
    for (int64_t& dim : dims) {
        dim = in_.number(2);
        elements *= static_cast<double>(dim);
    }
    if (elements > 64 && elements < 3e13) return;
    const auto count = elements > 0 && elements <= 64 ? static_cast<size_t>(elements) : 0;
    std::vector<std::string> texts(count);
    std::vector<const char*> pointers(count + 1);
    std::vector<size_t> lengths(count + 1);
    for (size_t index = 0; index < count; ++index) {
        texts[index] = in_.text(12);
        pointers[index] = texts[index].c_str();
        lengths[index] = in_.byte() % 2 == 0 ? texts[index].size() : QUOIN_STRLEN;
    }
    const uint8_t choice = in_.byte();
    if (choice > 250 && count != 0) pointers[choice % count] = nullptr;
    quoin_tensor* const tensor = make<quoin_tensor>([&](auto** out) {
        return quoin_tensor_create_strings(rank, dims.data(), choice == 250 ? nullptr : pointers.data(),
                                           choice % 3 == 0 ? nullptr : lengths.data(), out);
    });
    if (tensor != nullptr) read_tensor(tensor);
    const char* text = nullptr;
    size_t length = 0;
    if (call([&] { return quoin_tensor_string(tensor, count, &text, &length); }) == QUOIN_OK) {
        require(false, "a string behind the last");
    }
    tensors_.add(tensor);
}

void Program::create_sequence_of_tensors() {
    std::vector<const quoin_tensor*> items(in_.byte() % 4);
    for (const quoin_tensor*& item : items) item = tensors_.choose(in_);
    const int32_t dtype = in_.number32(QUOIN_DTYPE_F32);
    auto* const value = make<quoin_value>([&](auto** out) {
        return quoin_value_create_sequence(dtype, items.empty() ? nullptr : items.data(), items.size(), out);
    });
    if (value != nullptr) read_value(value);
    values_.add(value);
}

int32_t append_text_to(const char* bytes, size_t length, void* user_data) {
    static_cast<std::string*>(user_data)->append(bytes, length);
    return 0;
}

void Program::profile() {
    quoin_session* const session = sessions_.choose(in_);
    std::string text;
    switch (in_.byte() % 4) {
        case 0: call([&] { return quoin_session_profile_start(session); }); break;
        case 1: call([&] { return quoin_session_profile_stop(session); }); break;
        case 2:
            if (call([&] { return quoin_session_profile_write(session, append_text_to, &text); }) == QUOIN_OK) {
                require(text.starts_with('{') || text.starts_with('['), "a trace that is no JSON");
            }
            break;
        default: {
            const int32_t what = in_.byte() < 220 ? int32_t{QUOIN_DESCRIBE_PLAN} : in_.number32(1);
            const int32_t format = in_.byte() % 3;
            call([&] { return quoin_session_describe(session, what, format, append_text_to, &text); });
        }
    }
}

void Program::describe() {
    const quoin_model* const model = models_.choose(in_);
    const int32_t what = in_.byte() < 220 ? in_.byte() % 5 + 1 : in_.number32(6);
    const int32_t format = in_.byte() < 220 ? in_.byte() % 2 : in_.number32(2);
    const uint8_t choice = in_.byte();
    struct Text {
        std::string text;
        bool stop;
    } text{{}, choice > 240};
    const quoin_write_callback write = [](const char* bytes, size_t length, void* user_data) -> int32_t {
        auto& written = *static_cast<Text*>(user_data);
        written.text.append(bytes, length);
        return written.stop ? 1 : 0;
    };
    const quoin_status status =
        call([&] { return quoin_model_describe(model, what, format, choice == 255 ? nullptr : write, &text); });
    require(status != QUOIN_CANCELLED || text.stop, "cancelled by nobody");
    if (status == QUOIN_OK && format == QUOIN_FORMAT_JSON) {
        require(text.text.find_first_of("{[") == 0, "no JSON");
    }
}

void Program::ask_metadata() {
    const quoin_model* const model = models_.choose(in_);
    const size_t count = quoin_model_metadata_count(model);
    const size_t index = in_.byte() < 240 && count != 0 ? in_.byte() % count : static_cast<size_t>(in_.number(-1));
    const char* key = nullptr;
    size_t length = 0;
    if (call([&] { return quoin_model_metadata_key(model, index, &key, &length); }) == QUOIN_OK) {
        size_t found = SIZE_MAX;
        const quoin_status status = call([&] { return quoin_model_metadata_find(model, key, length, &found); });
        require(status == QUOIN_OK && found <= index, "a key that is there was not found");
    } else {
        require(key == nullptr && length == 0, "a failed call wrote its output");
    }
    Block<quoin_metadata_value> value(in_, true);
    value.fill(0xAB);
    const auto element = static_cast<uint64_t>(in_.number(0));
    value.check_untouched(call([&] { return quoin_model_metadata_value(model, index, element, value.get()); }));
}

void Program::ask_values() {
    const quoin_model* const model = models_.choose(in_);
    const size_t index = in_.byte() < 200 ? 0 : static_cast<size_t>(in_.number(1));
    Block<quoin_value_info> input(in_, true);
    input.fill(0xAB);
    input.check_untouched(call([&] { return quoin_model_input_info(model, index, input.get()); }));
    Block<quoin_value_info> output(in_, true);
    output.fill(0xAB);
    output.check_untouched(call([&] { return quoin_model_output_info(model, index, output.get()); }));
    const std::string name = in_.byte() % 2 == 0 ? "tokens" : in_.text(8);
    size_t found = 99;
    const quoin_status status = call([&] { return quoin_model_input_find(model, name.data(), name.size(), &found); });
    require(status == QUOIN_OK ? found < quoin_model_input_count(model) : found == 99, "a wrong index");
    call([&] { return quoin_model_output_find(model, name.data(), name.size(), &found); });
    const int32_t kind = quoin_model_kind(model);
    require(kind >= 0 && kind <= QUOIN_MODEL_VOCABULARY, "an unknown kind of model");
}

void Program::fill_structs() {
    Block<quoin_model_facts> facts(in_, true);
    facts.fill(0xAB);
    facts.check_untouched(call([&] { return quoin_model_info(models_.choose(in_), facts.get()); }));
    Block<quoin_metrics> metrics(in_, true);
    metrics.fill(0xAB);
    metrics.check_untouched(call([&] { return quoin_context_metrics(contexts_.choose(in_), metrics.get()); }));
    Block<quoin_cpu> cpu(in_, true);
    cpu.fill(0xAB);
    cpu.check_untouched(call([&] { return quoin_cpu_info(cpu.get()); }));
}

void Program::destroy() {
    switch (in_.byte() % 8) {
        case 0: sequences_.destroy(in_); break;
        case 1: contexts_.destroy(in_); break;
        case 2: models_.destroy(in_); break;
        case 3: runtimes_.destroy(in_); break;
        case 4: sessions_.destroy(in_); break;
        case 5: tensors_.destroy(in_); break;
        case 6: values_.destroy(in_); break;
        default: samplers_.destroy(in_); break;
    }
}

void Program::set_log() {
    const int32_t level = in_.byte() < 220 ? in_.byte() % 5 : in_.number32(5);
    const quoin_log_callback callback = [](int32_t of, const char* text, size_t length, void*) {
        require(of >= QUOIN_LOG_ERROR && of <= QUOIN_LOG_DEBUG && text != nullptr && length > 0, "a bad message");
    };
    call([&] { return quoin_log_set(level, in_.byte() > 240 ? nullptr : callback, nullptr); });
}

// Outputs that are required but missing; objects that are there, so that nothing else stops the call.
void Program::pass_nulls() {
    const quoin_model* const model = models_.choose(in_);
    const quoin_sequence* const sequence = sequences_.choose(in_);
    const quoin_tokenizer* const tokenizer = quoin_model_tokenizer(model);
    const char* text = nullptr;
    size_t length = 0;
    const std::function<quoin_status()> calls[] = {
        [] { return quoin_runtime_create(nullptr, nullptr); },
        [] { return quoin_cpu_info(nullptr); },
        [] { return quoin_model_load_file(nullptr, "x", 1, nullptr, nullptr); },
        [] { return quoin_model_load_memory(nullptr, nullptr, 0, nullptr, nullptr); },
        [] { return quoin_model_load_reader(nullptr, nullptr, nullptr, nullptr); },
        [&] { return quoin_model_info(model, nullptr); },
        [&] { return quoin_model_metadata_key(model, 0, nullptr, &length); },
        [&] { return quoin_model_metadata_key(model, 0, &text, nullptr); },
        [&] { return quoin_model_metadata_find(model, "x", 1, nullptr); },
        [&] { return quoin_model_metadata_find(model, nullptr, QUOIN_STRLEN, &length); },
        [&] { return quoin_model_metadata_value(model, 0, 0, nullptr); },
        [&] { return quoin_model_input_info(model, 0, nullptr); },
        [&] { return quoin_model_input_find(model, nullptr, 3, &length); },
        [&] { return quoin_model_output_find(model, nullptr, 3, &length); },
        [&] { return quoin_model_describe(model, 1, 1, nullptr, nullptr); },
        [] { return quoin_tensor_create(QUOIN_DTYPE_F32, 1, nullptr, nullptr); },
        [] { return quoin_tensor_create_strings(0, nullptr, nullptr, nullptr, nullptr); },
        [] { return quoin_value_create_sequence(QUOIN_DTYPE_F32, nullptr, 0, nullptr); },
        [&] { return quoin_session_set_input_value(nullptr, 0, nullptr); },
        [] { return quoin_session_output_value(nullptr, 0, nullptr); },
        [] { return quoin_session_profile_write(nullptr, nullptr, nullptr); },
        [] { return quoin_tensor_wrap(nullptr, 0, QUOIN_DTYPE_F32, 0, nullptr, nullptr); },
        [&] { return quoin_session_create(model, nullptr, nullptr); },
        [&] { return quoin_tokenizer_encode(tokenizer, nullptr, 4, 0, nullptr, 0, nullptr); },
        [&] { return quoin_tokenizer_decode(tokenizer, nullptr, 4, 0, nullptr, 0, nullptr); },
        [&] { return quoin_tokenizer_token_text(tokenizer, 0, nullptr, nullptr); },
        [&] { return quoin_context_create(model, nullptr, nullptr); },
        [&] { return quoin_sequence_create(nullptr, nullptr, nullptr); },
        [&] { return quoin_sequence_fork(sequence, nullptr); },
        [] { return quoin_sampler_create(nullptr, nullptr); },
    };
    const size_t chosen = in_.byte() % std::size(calls);
    require(call(calls[chosen]) == QUOIN_ERROR_INVALID_ARGUMENT, "a missing argument was not noticed");
}

void Program::ask_names() {
    const int32_t number = in_.number32(1);
    const char* const name = quoin_dtype_name(number);
    require(name != nullptr, "an element type without a name");
    const int32_t back = quoin_dtype_from_name(name, QUOIN_STRLEN);
    require(back == number || back == QUOIN_DTYPE_UNDEFINED, "a name of two element types");
    const std::string text = in_.text(12);
    static_cast<void>(quoin_dtype_from_name(text.data(), text.size()));
    require(quoin_status_string(number) != nullptr && *quoin_status_string(number) != '\0', "a status without a name");
    const quoin_runtime* const runtime = runtimes_.choose(in_);
    require(quoin_runtime_isa(runtime) != nullptr, "a runtime without an instruction set");
    require(quoin_runtime_threads(runtime) >= (runtime == nullptr ? 0 : 1), "a runtime without threads");
    const quoin_tensor* const tensor = tensors_.choose(in_);
    require((tensor == nullptr) == (quoin_tensor_dtype(tensor) == QUOIN_DTYPE_UNDEFINED), "a tensor without a type");
}

void Program::read_tokens() {
    const quoin_sequence* const sequence = sequences_.choose(in_);
    fill_buffer<int32_t>(in_, [&](int32_t* ids, size_t capacity, size_t* count) {
        return quoin_sequence_tokens(sequence, ids, capacity, count);
    });
}

void Program::step(Call operation) {
    switch (operation) {
        case Call::CreateRuntime: return create_runtime();
        case Call::LoadMemory: return load_memory(false);
        case Call::LoadPatched: return load_memory(true);
        case Call::LoadReader: return load_reader();
        case Call::LoadFile: return load_file();
        case Call::CreateContext: return create_context();
        case Call::CreateSequence: return create_sequence();
        case Call::AppendTokens: return append_tokens();
        case Call::AppendText: return append_text();
        case Call::Fork: {
            const quoin_sequence* const sequence = sequences_.choose(in_);
            return sequences_.add(make<quoin_sequence>([&](auto** out) { return quoin_sequence_fork(sequence, out); }));
        }
        case Call::Trim: return trim();
        case Call::Evaluate: return evaluate();
        case Call::Generate: return generate();
        case Call::CreateSampler: return create_sampler();
        case Call::ResetSampler: return quoin_sampler_reset(samplers_.choose(in_));
        case Call::Encode: return encode();
        case Call::Decode: return decode();
        case Call::AskTokens: return ask_tokens();
        case Call::CreateTensor: return create_tensor(false);
        case Call::WrapTensor: return create_tensor(true);
        case Call::CreateSession: return create_session();
        case Call::SetInput:
        case Call::SetInputValue:
        case Call::BindOutput:
        case Call::RunSession:
        case Call::SessionOutput:
        case Call::SessionOutputValue: return use_session(operation);
        case Call::CreateStrings: return create_strings();
        case Call::CreateSequenceOfTensors: return create_sequence_of_tensors();
        case Call::Profile: return profile();
        case Call::Describe: return describe();
        case Call::AskMetadata: return ask_metadata();
        case Call::AskValues: return ask_values();
        case Call::FillStructs: return fill_structs();
        case Call::Destroy: return destroy();
        case Call::Cancel:
            quoin_sequence_cancel(sequences_.choose(in_));
            return quoin_session_cancel(sessions_.choose(in_));
        case Call::SetLog: return set_log();
        case Call::PassNulls: return pass_nulls();
        case Call::AskNames: return ask_names();
        case Call::ReadTokens: return read_tokens();
        case Call::kCount: return;
    }
}

void Program::run() {
    constexpr int kMostSteps = 40;
    int loads = 2;  // each costs as much as a hundred other calls
    for (int count = 0; count < kMostSteps && !in_.empty(); ++count) {
        const auto operation = static_cast<Call>(in_.byte() % static_cast<uint8_t>(Call::kCount));
        const bool load = operation >= Call::LoadMemory && operation <= Call::LoadFile;
        if (!load || loads-- > 0) step(operation);
    }
}

// Through memory and through a reader, which must agree.
void Program::load_whole(const uint8_t* data, size_t size) {
    const auto* const first = reinterpret_cast<const std::byte*>(data);
    const std::vector<std::byte> bytes(first, first + size);
    quoin_runtime_options value{};
    value.struct_size = sizeof(value);
    value.threads = 1;
    value.allocate = Host::allocate;
    value.release = Host::release;
    value.allocator_user_data = &hosts_.emplace_back();
    auto* const runtime = make<quoin_runtime>([&](auto** out) { return quoin_runtime_create(&value, out); });
    runtimes_.add(runtime);
    auto* const mapped = make<quoin_model>(
        [&](auto** out) { return quoin_model_load_memory(runtime, keep(bytes), size, nullptr, out); });
    Reader state{bytes.data(), size, size, -1};
    const quoin_reader reader{sizeof(reader), size, Reader::read, &state};
    auto* const read =
        make<quoin_model>([&](auto** out) { return quoin_model_load_reader(runtime, &reader, nullptr, out); });
    require((mapped == nullptr) == (read == nullptr), "memory and reader disagree");
    models_.add(mapped);
    models_.add(read);
    Input none(nullptr, 0);
    contexts_.add(make<quoin_context>([&](auto** out) {
        const quoin_context_options options{sizeof(options), 32, 0, 2, 8, 0};
        return quoin_context_create(mapped, &options, out);
    }));
    create_sequence();
    append_tokens();
    const int32_t id = 0;
    call([&] { return quoin_sequence_append_tokens(sequences_.choose(none), &id, 1); });
    evaluate();
    generate();
    describe();
}

// Everything goes, in an order that the program chooses as long as it has bytes.
Program::~Program() {
    call([] { return quoin_log_set(QUOIN_LOG_OFF, nullptr, nullptr); });
    Input none(nullptr, 0);
    const auto any = [&] {
        return !(sequences_.all().empty() && contexts_.all().empty() && models_.all().empty() &&
                 sessions_.all().empty() && tensors_.all().empty() && values_.all().empty() && samplers_.all().empty());
    };
    while (any()) {
        switch (in_.byte() % 7) {
            case 1: contexts_.destroy(none); break;
            case 2: models_.destroy(none); break;
            case 3: sessions_.destroy(none); break;
            case 4: tensors_.destroy(none); break;
            case 5: samplers_.destroy(none); break;
            case 6: values_.destroy(none); break;
            default:
                if (!sequences_.all().empty()) {
                    sequences_.destroy(none);
                } else if (!sessions_.all().empty()) {
                    sessions_.destroy(none);
                } else {
                    contexts_.destroy(none);
                    models_.destroy(none);
                    tensors_.destroy(none);
                    values_.destroy(none);
                    samplers_.destroy(none);
                }
        }
    }
    for (const quoin_runtime* const runtime : runtimes_.all()) {
        require(quoin_runtime_memory_bytes(runtime) == 0, "memory is in use when everything is destroyed");
    }
    require(quoin_runtime_memory_bytes(shared().runtime) == shared().memory_bytes, "a program left memory behind");
    while (!runtimes_.all().empty()) runtimes_.destroy(none);
    for (const Host& host : hosts_) require(host.blocks.empty(), "the host did not get everything back");
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    static_cast<void>(shared());
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    if (data[0] == kWholeModel) {
        Program(Input(nullptr, 0)).load_whole(data + 1, size - 1);
    } else {
        Program(Input(data, size)).run();
    }
    return 0;
}
