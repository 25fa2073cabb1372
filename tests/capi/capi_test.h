// What the tests of the C header share. They see nothing of the library but quoin.h.
#pragma once

#include <quoin/quoin.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/shared_models.h"

namespace quoin::test {

template <class Object, void (*destroy)(Object*)>
struct Destroy {
    void operator()(Object* object) const { destroy(object); }
};
using RuntimeHandle = std::unique_ptr<quoin_runtime, Destroy<quoin_runtime, quoin_runtime_destroy>>;
using ModelHandle = std::unique_ptr<quoin_model, Destroy<quoin_model, quoin_model_destroy>>;
using ContextHandle = std::unique_ptr<quoin_context, Destroy<quoin_context, quoin_context_destroy>>;
using SequenceHandle = std::unique_ptr<quoin_sequence, Destroy<quoin_sequence, quoin_sequence_destroy>>;
using SamplerHandle = std::unique_ptr<quoin_sampler, Destroy<quoin_sampler, quoin_sampler_destroy>>;
using TensorHandle = std::unique_ptr<quoin_tensor, Destroy<quoin_tensor, quoin_tensor_destroy>>;
using SessionHandle = std::unique_ptr<quoin_session, Destroy<quoin_session, quoin_session_destroy>>;

// Fails the test case with the library's sentence.
inline void check_ok(quoin_status status) {
    INFO(quoin_last_error());
    REQUIRE(status == QUOIN_OK);
}

// A failure must come with a sentence; gives it.
inline std::string check_fails(quoin_status status, quoin_status expected) {
    const std::string sentence = quoin_last_error();
    INFO(sentence);
    REQUIRE(status == expected);
    REQUIRE(!sentence.empty());
    return sentence;
}

// All zero but the size.
template <class Struct>
Struct sized() {
    Struct made{};
    made.struct_size = sizeof(Struct);
    return made;
}

inline std::string tiny_path() {
    return source_file("examples/tiny-model/quoin-tiny.gguf").string();
}

// Aligned to 8 bytes, as quoin_model_load_memory wants it.
class FileBytes {
public:
    explicit FileBytes(const std::string& bytes) : words_(bytes.size() / 8 + 1), size_(bytes.size()) {
        std::memcpy(words_.data(), bytes.data(), bytes.size());
    }
    const void* data() const { return words_.data(); }
    size_t size() const { return size_; }

private:
    std::vector<uint64_t> words_;
    size_t size_;
};

// The project's own small model.
inline const FileBytes& tiny_bytes() {
    static const FileBytes bytes(read_text(tiny_path()));
    return bytes;
}

// Two layers of a few kilobytes, without a tokenizer.
inline const FileBytes& small_bytes() {
    static const FileBytes bytes = [] {
        GgufWriter file = make_model({.width = 32, .layers = 2, .heads = 2, .kv_heads = 1, .inner = 48});
        file.key("tokenizer.ggml.model", "no_vocab");
        const std::vector<std::byte> written = file.write();
        return FileBytes(std::string(reinterpret_cast<const char*>(written.data()), written.size()));
    }();
    return bytes;
}

inline RuntimeHandle make_runtime(quoin_runtime_options options) {
    options.struct_size = sizeof(options);
    quoin_runtime* made = nullptr;
    check_ok(quoin_runtime_create(&options, &made));
    return RuntimeHandle(made);
}

inline RuntimeHandle one_thread() {
    quoin_runtime_options options{};
    options.threads = 1;
    return make_runtime(options);
}

inline ModelHandle load(const quoin_runtime* runtime, const FileBytes& bytes) {
    quoin_model* made = nullptr;
    check_ok(quoin_model_load_memory(runtime, bytes.data(), bytes.size(), nullptr, &made));
    return ModelHandle(made);
}

inline ContextHandle make_context(const quoin_model* model, int64_t kv_tokens = 64) {
    auto options = sized<quoin_context_options>();
    options.kv_tokens = kv_tokens;
    options.max_sequences = 4;
    quoin_context* made = nullptr;
    check_ok(quoin_context_create(model, &options, &made));
    return ContextHandle(made);
}

inline SequenceHandle make_sequence(const quoin_context* context, const std::vector<int32_t>& ids = {}) {
    quoin_sequence* made = nullptr;
    check_ok(quoin_sequence_create(context, nullptr, &made));
    SequenceHandle sequence(made);
    check_ok(quoin_sequence_append_tokens(made, ids.data(), ids.size()));
    return sequence;
}

// Of all positions, [ids, vocabulary].
inline std::vector<float> logits_of(const quoin_model* model, const std::vector<int32_t>& ids) {
    const ContextHandle context = make_context(model);
    const SequenceHandle sequence = make_sequence(context.get(), ids);
    size_t count = 0;
    check_ok(quoin_sequence_evaluate(sequence.get(), ids.size(), nullptr, 0, &count));
    std::vector<float> logits(count);
    check_ok(quoin_sequence_evaluate(sequence.get(), ids.size(), logits.data(), count, &count));
    return logits;
}

// A host's allocator that knows every block and may be told to have no more.
class HostMemory {
public:
    quoin_runtime_options options() {
        quoin_runtime_options made{};
        made.threads = 1;
        made.allocate = allocate;
        made.release = release;
        made.allocator_user_data = this;
        return made;
    }
    size_t taken() const { return taken_; }  // blocks, ever
    bool all_returned() const { return blocks_.empty(); }
    bool sizes_matched() const { return sizes_matched_; }  // and no block came back that was not given
    uint64_t bytes_in_use() const { return in_use_; }
    uint64_t peak_bytes() const { return peak_; }
    size_t largest_returned() const { return largest_returned_; }
    void fail_after(size_t blocks) { allowed_ = blocks; }

private:
    static void* allocate(size_t bytes, size_t alignment, void* user_data) {
        auto& host = *static_cast<HostMemory*>(user_data);
        const std::scoped_lock lock(host.mutex_);
        if (host.taken_ == host.allowed_) return nullptr;
        ++host.taken_;
        void* const block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
        host.blocks_[block] = bytes;
        host.in_use_ += bytes;
        host.peak_ = std::max(host.peak_, host.in_use_);
        return block;
    }
    static void release(void* block, size_t bytes, void* user_data) {
        auto& host = *static_cast<HostMemory*>(user_data);
        const std::scoped_lock lock(host.mutex_);
        const auto found = host.blocks_.find(block);
        if (found == host.blocks_.end() || found->second != bytes) host.sizes_matched_ = false;
        if (found != host.blocks_.end()) {
            host.largest_returned_ = std::max(host.largest_returned_, bytes);
            host.in_use_ -= found->second;
            host.blocks_.erase(found);
        }
        std::free(block);
    }

    std::mutex mutex_;
    std::map<void*, size_t> blocks_;
    uint64_t in_use_ = 0;
    uint64_t peak_ = 0;
    size_t largest_returned_ = 0;
    size_t taken_ = 0;
    size_t allowed_ = SIZE_MAX;
    bool sizes_matched_ = true;
};

// A reader over bytes that fails when it is told to.
class TestReader {
public:
    explicit TestReader(const FileBytes& bytes) : bytes_(bytes) {}
    quoin_reader functions() {
        auto made = sized<quoin_reader>();
        made.size = bytes_.size();
        made.read = read;
        made.user_data = this;
        return made;
    }
    size_t reads() const { return reads_; }
    void fail_at(size_t read) { failing_ = read; }
    bool in_bounds() const { return in_bounds_; }

private:
    static int32_t read(uint64_t offset, void* buffer, size_t length, void* user_data) {
        auto& reader = *static_cast<TestReader*>(user_data);
        if (reader.reads_++ == reader.failing_) return 1;
        if (offset > reader.bytes_.size() || length > reader.bytes_.size() - offset) {
            reader.in_bounds_ = false;
            return 1;
        }
        std::memcpy(buffer, static_cast<const char*>(reader.bytes_.data()) + offset, length);
        return 0;
    }

    const FileBytes& bytes_;
    size_t reads_ = 0;
    size_t failing_ = SIZE_MAX;
    bool in_bounds_ = true;
};

}  // namespace quoin::test
