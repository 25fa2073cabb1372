// What api_fuzz works with: the program's bytes, structs of exactly the size that they claim, small models, a host that
// watches what the library does with its memory, and calls whose promises are checked.
#pragma once

#include <quoin/quoin.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "support/gguf_writer.h"
#include "support/onnx_writer.h"

namespace quoin::test {

inline void require(bool holds, const char* what) {
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

inline std::vector<std::byte> varied(size_t count) {
    Bytes bytes;
    uint32_t state = 1;
    for (size_t index = 0; index < count; ++index) {
        state = state * 1664525 + 1013904223;
        bytes.put((static_cast<float>(state >> 8) / 16777216.0F - 0.5F) * 4.0F);
    }
    return bytes.get();
}

inline GgufWriter small_model(const char* architecture, int64_t vocabulary, uint32_t type) {
    const int64_t unit = type == kGgmlF32 ? 4 : 32;
    GgufWriter file = make_model({.architecture = architecture,
                                  .type = type,
                                  .width = 2 * unit,
                                  .heads = 2,
                                  .kv_heads = 1,
                                  .head_size = unit,
                                  .inner = 2 * unit,
                                  .vocabulary = vocabulary});
    file.key(std::string(architecture) + ".context_length", uint32_t{32});
    if (type == kGgmlF32) {
        file.find_tensor("token_embd.weight").data = varied(static_cast<size_t>(2 * unit * vocabulary));
    }
    return file;
}

inline void add_sentence_piece(GgufWriter& file) {
    file.key("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "c", "\u2581a", "ab", "<0xC3>",
                                           "<0xA9>", "<0x0A>", "\u2581ab", "<x>", "bc", "\u00e9"})
        .array("tokenizer.ggml.scores",
               std::vector<float>{0, 0, 0, -1, -2, -3, -4, -1.5F, -2.5F, 0, 0, 0, -0.5F, 0, -3.5F, -9})
        .array("tokenizer.ggml.token_type", std::vector<int32_t>{2, 3, 3, 1, 1, 1, 1, 1, 1, 6, 6, 6, 1, 4, 1, 1})
        .key("tokenizer.ggml.bos_token_id", uint32_t{1})
        .key("tokenizer.ggml.eos_token_id", uint32_t{2});
}

inline void add_byte_pairs(GgufWriter& file) {
    file.key("tokenizer.ggml.model", "gpt2")
        .key("tokenizer.ggml.pre", "llama-bpe")
        .strings("tokenizer.ggml.tokens",
                 {"a", "b", "c", "\u0120", "ab", "\u0120ab", "1", "\u00c3", "\u00a9", "<|end|>"})
        .strings("tokenizer.ggml.merges", {"a b", "\u0120 ab"})
        .array("tokenizer.ggml.token_type", std::vector<int32_t>{1, 1, 1, 1, 1, 1, 1, 1, 1, 3})
        .key("tokenizer.ggml.eos_token_id", uint32_t{9});
}

inline std::vector<std::byte> bytes_of(const std::string& text) {
    const auto* const first = reinterpret_cast<const std::byte*>(text.data());
    return {first, first + text.size()};
}

// sum = a + b; texts = s + s; longer = the sequence with its first tensor once more behind it.
inline OnnxModel every_kind_of_value() {
    constexpr int64_t kF32 = 1;
    const Message floats =
        Message().message(1, Message().integer(1, kF32).message(2, Message().message(1, Message().text(2, "m"))));
    const auto sequence = [&](const char* name) {
        return Message().text(1, name).message(2, Message().message(4, Message().message(1, floats)));
    };
    OnnxModel model;
    model.nodes = {node_message("Add", {"a", "b"}, {"sum"}), node_message("StringConcat", {"s", "s"}, {"texts"}),
                   node_message("SequenceAt", {"list", "first"}, {"item"}),
                   node_message("SequenceInsert", {"list", "item"}, {"longer"})};
    model.opsets = {{"", 20}};
    model.initializers = {integers_message("first", {}, {0})};
    model.inputs = {value_message("a", quoin::DType::F32, {"n"}), value_message("b", quoin::DType::F32, {"n"}),
                    value_message("s", quoin::DType::String, {"n"}), sequence("list")};
    model.outputs = {value_message("sum", quoin::DType::F32, {"n"}),
                     value_message("texts", quoin::DType::String, {"n"}), sequence("longer")};
    return model;
}

inline std::vector<std::vector<std::byte>> make_models() {
    GgufWriter spoken = small_model("llama", 16, kGgmlF32);
    add_sentence_piece(spoken);
    GgufWriter paired = small_model("qwen3", 10, kGgmlF32);
    add_byte_pairs(paired);
    GgufWriter mute = small_model("qwen2", 6, kGgmlQ4_0);
    mute.key("tokenizer.ggml.model", "no_vocab").array("some.numbers", std::vector<uint16_t>{1, 2, 3});
    GgufWriter vocabulary;
    vocabulary.key("general.architecture", "llama");
    add_sentence_piece(vocabulary);
    return {spoken.write(), paired.write(), mute.write(), vocabulary.write(), bytes_of(every_kind_of_value().write())};
}

inline const std::vector<std::vector<std::byte>>& models() {
    static const std::vector<std::vector<std::byte>> files = make_models();
    return files;
}

// Real paths without a file of our own in any folder.
inline const std::vector<std::string>& model_paths() {
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

inline bool documented(quoin_status status) {
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

inline const Shared& shared() {
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

}  // namespace quoin::test
