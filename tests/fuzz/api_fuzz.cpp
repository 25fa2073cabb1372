// libFuzzer over quoin.h, and nothing but quoin.h: the bytes are a program of calls, see api_program.h.
// Whatever is called in whatever order: statuses are documented ones and never "internal error", each failure leaves a
// sentence and touches no output, and once all is destroyed the runtimes hold no memory (and nothing has leaked).
// Structs and buffers lie in heap blocks of exactly their size, so that AddressSanitizer sees each byte too many.
#include <quoin/quoin.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/api_program.h"
#include "support/gguf_writer.cpp"  // fuzz targets are made of one file

// Blocks that cannot be had give NULL, as without a sanitizer; that is what the library must cope with.
extern "C" const char* __asan_default_options() {
    return "allocator_may_return_null=1:malloc_context_size=8";
}

namespace {

using quoin::test::Call;
using quoin::test::GgufWriter;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s; the last error is: %s\n", what, quoin_last_error());
    std::abort();
}

// ---- the program's bytes; zeros once they have run out

class Input {
public:
    Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
    bool empty() const { return size_ == 0; }
    uint8_t byte() {
        if (size_ == 0) return 0;
        --size_;
        return *data_++;
    }
    template <class T, size_t N>
    T pick(const T (&choices)[N]) {
        return choices[byte() % N];
    }
    // 0 gives the ordinary value, the first 20 odd ones, the others themselves.
    int64_t number(int64_t ordinary) {
        constexpr int64_t kOdd[] = {0,         1,         -1,         2,         -2,        15,      16,
                                    17,        INT32_MAX, INT32_MIN,  INT64_MAX, INT64_MIN, 1 << 16, (1 << 16) + 1,
                                    1LL << 41, 1LL << 32, UINT32_MAX, 64,        -1000,     100000};
        const uint8_t choice = byte();
        if (choice == 0) return ordinary;
        return choice <= std::size(kOdd) ? kOdd[choice - 1] : choice - 20;
    }
    int32_t number32(int32_t ordinary) { return static_cast<int32_t>(number(ordinary)); }
    float real(float ordinary) {
        constexpr float kOdd[] = {0.0F,
                                  -0.0F,
                                  1.0F,
                                  0.5F,
                                  0.9F,
                                  2.0F,
                                  -1.0F,
                                  1e-45F,
                                  1e-30F,
                                  3e38F,
                                  -3e38F,
                                  1.1F,
                                  0.05F,
                                  1e10F,
                                  NAN,
                                  std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity()};
        const uint8_t choice = byte();
        return choice == 0 ? ordinary : kOdd[choice % std::size(kOdd)];
    }
    std::string text(size_t most) {
        const size_t length = std::min<size_t>({byte(), most, size_});
        std::string bytes(reinterpret_cast<const char*>(data_), length);
        data_ += length;
        size_ -= length;
        return bytes;
    }

private:
    const uint8_t* data_;
    size_t size_;
};

// ---- structs in heap blocks of the size they claim

template <class Struct>
class Block {
public:
    static constexpr size_t kTail = 64;

    explicit Block(Input& in, bool may_be_null) {
        size_t size = sizeof(Struct);
        uint8_t tail = 0;
        switch (in.byte() % 16) {
            case 9: null_ = may_be_null; break;
            // An older header's struct: it ends between two fields, never inside a pointer.
            case 10: size = std::max<size_t>(sizeof(size_t), in.byte() % sizeof(Struct) / 8 * 8); break;
            case 11: size += 1 + in.byte() % kTail; break;
            case 12:
                size += 1 + in.byte() % kTail;
                tail = 1;
                break;
            case 13: claimed_ = 0; break;
            case 14: claimed_ = SIZE_MAX; break;
            case 15: claimed_ = 7; break;
            default: break;
        }
        bytes_ = std::make_unique<uint8_t[]>(size);  // zeros
        size_ = size;
        bytes_[size - 1] = tail;
        if (!claimed_set()) claimed_ = size;
        std::memcpy(bytes_.get(), &claimed_, sizeof(claimed_));
    }
    // All fields at once; those that the claimed size cuts off are lost, as for an older caller.
    void set(Struct value) {
        const size_t known = std::min(size_, sizeof(Struct));
        value.struct_size = claimed_;
        std::memcpy(bytes_.get(), &value, known);
    }
    void fill(uint8_t byte) {
        std::memset(bytes_.get() + sizeof(size_t), byte, size_ - sizeof(size_t));
        before_.assign(bytes_.get(), bytes_.get() + size_);
    }
    void check_untouched(quoin_status status) const {
        if (status == QUOIN_OK) {
            require(std::memcmp(bytes_.get(), &claimed_, sizeof(claimed_)) == 0, "struct_size was changed");
        } else {
            require(std::equal(before_.begin(), before_.end(), bytes_.get()), "a failed call wrote its output struct");
        }
    }
    Struct* get() { return null_ ? nullptr : reinterpret_cast<Struct*>(bytes_.get()); }

private:
    bool claimed_set() const { return claimed_ != kUnset; }
    static constexpr size_t kUnset = 12345678;

    std::unique_ptr<uint8_t[]> bytes_;
    std::vector<uint8_t> before_;
    size_t size_ = 0;
    size_t claimed_ = kUnset;
    bool null_ = false;
};

// ---- the models

std::vector<std::byte> varied(size_t count) {
    quoin::test::Bytes bytes;
    uint32_t state = 1;
    for (size_t index = 0; index < count; ++index) {
        state = state * 1664525 + 1013904223;
        bytes.put((static_cast<float>(state >> 8) / 16777216.0F - 0.5F) * 4.0F);
    }
    return bytes.get();
}

GgufWriter small_model(const char* architecture, int64_t vocabulary, uint32_t type) {
    const int64_t unit = type == quoin::test::kGgmlF32 ? 4 : 32;
    GgufWriter file = quoin::test::make_model({.architecture = architecture,
                                               .type = type,
                                               .width = 2 * unit,
                                               .heads = 2,
                                               .kv_heads = 1,
                                               .head_size = unit,
                                               .inner = 2 * unit,
                                               .vocabulary = vocabulary});
    file.key(std::string(architecture) + ".context_length", uint32_t{32});
    if (type == quoin::test::kGgmlF32) {
        file.find_tensor("token_embd.weight").data = varied(static_cast<size_t>(2 * unit * vocabulary));
    }
    return file;
}

void add_sentence_piece(GgufWriter& file) {
    file.key("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "c", "\u2581a", "ab", "<0xC3>",
                                           "<0xA9>", "<0x0A>", "\u2581ab", "<x>", "bc", "\u00e9"})
        .array("tokenizer.ggml.scores",
               std::vector<float>{0, 0, 0, -1, -2, -3, -4, -1.5F, -2.5F, 0, 0, 0, -0.5F, 0, -3.5F, -9})
        .array("tokenizer.ggml.token_type", std::vector<int32_t>{2, 3, 3, 1, 1, 1, 1, 1, 1, 6, 6, 6, 1, 4, 1, 1})
        .key("tokenizer.ggml.bos_token_id", uint32_t{1})
        .key("tokenizer.ggml.eos_token_id", uint32_t{2});
}

void add_byte_pairs(GgufWriter& file) {
    file.key("tokenizer.ggml.model", "gpt2")
        .key("tokenizer.ggml.pre", "llama-bpe")
        .strings("tokenizer.ggml.tokens",
                 {"a", "b", "c", "\u0120", "ab", "\u0120ab", "1", "\u00c3", "\u00a9", "<|end|>"})
        .strings("tokenizer.ggml.merges", {"a b", "\u0120 ab"})
        .array("tokenizer.ggml.token_type", std::vector<int32_t>{1, 1, 1, 1, 1, 1, 1, 1, 1, 3})
        .key("tokenizer.ggml.eos_token_id", uint32_t{9});
}

std::vector<std::vector<std::byte>> make_models() {
    GgufWriter spoken = small_model("llama", 16, quoin::test::kGgmlF32);
    add_sentence_piece(spoken);
    GgufWriter paired = small_model("qwen3", 10, quoin::test::kGgmlF32);
    add_byte_pairs(paired);
    GgufWriter mute = small_model("qwen2", 6, quoin::test::kGgmlQ4_0);
    mute.key("tokenizer.ggml.model", "no_vocab").array("some.numbers", std::vector<uint16_t>{1, 2, 3});
    GgufWriter vocabulary;
    vocabulary.key("general.architecture", "llama");
    add_sentence_piece(vocabulary);
    return {spoken.write(), paired.write(), mute.write(), vocabulary.write()};
}

const std::vector<std::vector<std::byte>>& models() {
    static const std::vector<std::vector<std::byte>> files = make_models();
    return files;
}

// Real paths without a file of our own in any folder.
const std::vector<std::string>& model_paths() {
    static const std::vector<std::string> paths = [] {
        std::vector<std::string> made;
        for (const std::vector<std::byte>& file : models()) {
            const int descriptor = memfd_create("model", MFD_CLOEXEC);
            require(descriptor >= 0 && write(descriptor, file.data(), file.size()) == static_cast<ssize_t>(file.size()),
                    "no memory file");
            made.push_back("/proc/self/fd/" + std::to_string(descriptor));
        }
        return made;
    }();
    return paths;
}

// ---- the host's side

// Knows every block: what is given back must be what was taken, with the same size.
struct Host {
    std::unordered_map<void*, size_t> blocks;
    size_t allowed = SIZE_MAX;  // allocations until memory has run out

    static void* allocate(size_t bytes, size_t alignment, void* user_data) {
        if (user_data == nullptr) return nullptr;  // a struct that ended before it
        auto& host = *static_cast<Host*>(user_data);
        require(bytes > 0 && alignment > 0 && (alignment & (alignment - 1)) == 0, "the host was asked for no block");
        if (host.allowed == 0 || bytes > (size_t{1} << 24)) return nullptr;
        --host.allowed;
        void* const block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
        require(host.blocks.emplace(block, bytes).second, "a block twice");
        return block;
    }
    static void release(void* block, size_t bytes, void* user_data) {
        auto& host = *static_cast<Host*>(user_data);
        const auto found = host.blocks.find(block);
        require(found != host.blocks.end() && found->second == bytes, "the host got back what it never gave");
        host.blocks.erase(found);
        std::free(block);
    }
};

struct Reader {
    const std::byte* data;
    size_t actual;
    uint64_t claimed;
    int32_t failing_call;  // -1: none

    static int32_t read(uint64_t offset, void* buffer, size_t length, void* user_data) {
        if (user_data == nullptr) return 1;
        auto& reader = *static_cast<Reader*>(user_data);
        require(offset <= reader.claimed && length <= reader.claimed - offset, "a read past the end of the file");
        if (reader.failing_call >= 0 && reader.failing_call-- == 0) return 5;
        if (offset > reader.actual || length > reader.actual - offset) return -1;
        if (length != 0) std::memcpy(buffer, reader.data + offset, length);
        return 0;
    }
};

bool documented(quoin_status status) {
    switch (status) {
        case QUOIN_OK:
        case QUOIN_ERROR_INVALID_ARGUMENT:
        case QUOIN_ERROR_BUFFER_TOO_SMALL:
        case QUOIN_ERROR_INVALID_STATE:
        case QUOIN_ERROR_NOT_FOUND:
        case QUOIN_ERROR_IO:
        case QUOIN_ERROR_INVALID_MODEL:
        case QUOIN_ERROR_UNSUPPORTED:
        case QUOIN_ERROR_OUT_OF_MEMORY:
        case QUOIN_ERROR_CONTEXT_FULL:
        case QUOIN_CANCELLED: return true;
        default: return false;  // "internal error", too: a defect by its definition
    }
}

// One call of the library. A failure of our own before it makes sure that the sentence found afterwards is its own.
template <class Function>
quoin_status call(const Function& function) {
    static const char kMarker[] = "no log level has the number -77";
    require(quoin_log_set(-77, nullptr, nullptr) == QUOIN_ERROR_INVALID_ARGUMENT, "a log level of -77");
    const quoin_status status = function();
    require(documented(status), "an undocumented status");
    const bool marked = std::strcmp(quoin_last_error(), kMarker) == 0;
    require(status == QUOIN_OK ? marked : !marked && *quoin_last_error() != '\0',
            status == QUOIN_OK ? "success changed the last error" : "a failure without a sentence");
    return status;
}

// A call that makes an object; on failure its output must be what it was.
template <class Object, class Function>
Object* make(const Function& function) {
    auto* const untouched = reinterpret_cast<Object*>(uintptr_t{0x5A5A5A50});
    Object* made = untouched;
    const quoin_status status = call([&] { return function(&made); });
    if (status == QUOIN_OK) {
        require(made != nullptr && made != untouched, "success without an object");
        return made;
    }
    require(made == untouched, "a failed call wrote its output");
    return nullptr;
}

// ---- what the program works on

// Newest first, so that argument 0 is the object just made. From 128 on, and while there is none, the shared ones, that
// every program finds; 255, and any where nothing is shared, is NULL.
template <class Object>
class Pool {
public:
    explicit Pool(void (*destroy)(Object*), std::vector<Object*> shared = {})
        : destroy_(destroy), shared_(std::move(shared)) {}
    void add(Object* object) {
        if (object == nullptr) return;
        objects_.push_back(object);
        if (objects_.size() > 8) destroy_at(0);
    }
    Object* choose(Input& in) const {
        const uint8_t choice = in.byte();
        if (choice == 255) return nullptr;
        if (objects_.empty() || choice >= 128) return shared_.empty() ? nullptr : shared_[choice % shared_.size()];
        return objects_[objects_.size() - 1 - choice % objects_.size()];
    }
    void destroy(Input& in) {
        const uint8_t choice = in.byte();
        if (choice == 255 || objects_.empty()) {
            destroy_(nullptr);
        } else {
            destroy_at(objects_.size() - 1 - choice % objects_.size());
        }
    }
    const std::vector<Object*>& all() const { return objects_; }

private:
    void destroy_at(size_t index) {
        destroy_(objects_[index]);
        objects_.erase(objects_.begin() + static_cast<std::ptrdiff_t>(index));
    }

    void (*destroy_)(Object*);
    const std::vector<Object*> shared_;
    std::vector<Object*> objects_;
};

// Loaded once: loading costs more than all else that a program does. What programs load themselves is destroyed.
struct Shared {
    quoin_runtime* runtime;
    std::vector<quoin_model*> models;
    uint64_t memory_bytes;
};

const Shared& shared() {
    // Never destroyed: at the end of the process LeakSanitizer looks after the destructors have run.
    static const Shared& made = *new Shared([] {
        Shared all{};
        quoin_runtime_options options{};
        options.struct_size = sizeof(options);
        options.threads = 1;
        all.runtime = make<quoin_runtime>([&](auto** out) { return quoin_runtime_create(&options, out); });
        for (const std::string& path : model_paths()) {
            all.models.push_back(make<quoin_model>([&](auto** out) {
                return quoin_model_load_file(all.runtime, path.data(), path.size(), nullptr, out);
            }));
            require(all.models.back() != nullptr, "a model of the fuzz target does not load");
        }
        all.memory_bytes = quoin_runtime_memory_bytes(all.runtime);
        return all;
    }());
    return made;
}

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
    constexpr const char* kSets[] = {nullptr,  nullptr,      "baseline", "avx2", "avxvnni",
                                     "avx512", "avx512vnni", "dotprod",  "",     "sse9"};
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
    constexpr const char* kProviders[] = {nullptr, nullptr, "native", "reference", "", "other"};
    value.provider = in_.pick(kProviders);
    value.provider_length = value.provider != nullptr && in_.byte() % 2 == 0 ? QUOIN_STRLEN : 0;
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
    const uint64_t claimed = static_cast<uint64_t>(in_.number(static_cast<int64_t>(bytes.size())));
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
    const int32_t dtype = in_.number32(QUOIN_DTYPE_I32) + (in_.byte() > 200 ? 100 : 0);
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

void Program::use_session(Call operation) {
    quoin_session* const session = sessions_.choose(in_);
    const size_t index = in_.byte() < 220 ? 0 : static_cast<size_t>(in_.number(1));
    const quoin_tensor* output = nullptr;
    switch (operation) {
        case Call::SetInput: call([&] { return quoin_session_set_input(session, index, tensors_.choose(in_)); }); break;
        case Call::BindOutput:
            call([&] { return quoin_session_bind_output(session, index, tensors_.choose(in_)); });
            break;
        case Call::RunSession: call([&] { return quoin_session_run(session); }); break;
        default:
            if (call([&] { return quoin_session_output(session, index, &output); }) != QUOIN_OK) {
                require(output == nullptr, "a failed call wrote its output");
                break;
            }
            const auto* const values = static_cast<const float*>(quoin_tensor_data_const(output));
            const size_t count = quoin_tensor_byte_size(output) / sizeof(float);
            require(quoin_tensor_rank(output) == 2 && quoin_tensor_dims(output)[0] > 0, "logits of another shape");
            volatile float sum = 0;  // every value is read
            for (size_t each = 0; each < count; ++each) sum = sum + values[each];
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
    switch (in_.byte() % 7) {
        case 0: sequences_.destroy(in_); break;
        case 1: contexts_.destroy(in_); break;
        case 2: models_.destroy(in_); break;
        case 3: runtimes_.destroy(in_); break;
        case 4: sessions_.destroy(in_); break;
        case 5: tensors_.destroy(in_); break;
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
        [&] { return quoin_model_input_find(model, nullptr, 0, &length); },
        [&] { return quoin_model_output_find(model, nullptr, 3, &length); },
        [&] { return quoin_model_describe(model, 1, 1, nullptr, nullptr); },
        [] { return quoin_tensor_create(QUOIN_DTYPE_F32, 1, nullptr, nullptr); },
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
        case Call::BindOutput:
        case Call::RunSession:
        case Call::SessionOutput: return use_session(operation);
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
                 sessions_.all().empty() && tensors_.all().empty() && samplers_.all().empty());
    };
    while (any()) {
        switch (in_.byte() % 6) {
            case 1: contexts_.destroy(none); break;
            case 2: models_.destroy(none); break;
            case 3: sessions_.destroy(none); break;
            case 4: tensors_.destroy(none); break;
            case 5: samplers_.destroy(none); break;
            default:
                if (!sequences_.all().empty()) {
                    sequences_.destroy(none);
                } else if (!sessions_.all().empty()) {
                    sessions_.destroy(none);
                } else {
                    contexts_.destroy(none);
                    models_.destroy(none);
                    tensors_.destroy(none);
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
    if (data[0] == quoin::test::kWholeModel) {
        Program(Input(nullptr, 0)).load_whole(data + 1, size - 1);
    } else {
        Program(Input(data, size)).run();
    }
    return 0;
}
