// Large memory: every weight, arena and KV page comes from here, so that a runtime can count and limit it.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "core/status.h"

namespace quoin {

// Where large blocks come from; the host may bring its own functions.
// Thread-safe as long as the functions are. Blocks are aligned to kAlignment.
class Memory {
public:
    static constexpr size_t kAlignment = 64;
    using AllocateFunction = std::function<void*(size_t bytes, size_t alignment)>;
    using FreeFunction = std::function<void(void* block, size_t bytes)>;

    // budget_bytes 0: no limit of our own. Empty functions: the system's allocator, huge pages where they pay.
    explicit Memory(size_t budget_bytes = 0, AllocateFunction allocate = {}, FreeFunction release = {});

    size_t used_bytes() const { return used_.load(std::memory_order_relaxed); }
    size_t budget_bytes() const { return budget_; }

private:
    friend class Buffer;
    void* take(size_t bytes);
    void give_back(void* block, size_t bytes);

    size_t budget_;
    AllocateFunction allocate_;
    FreeFunction free_;
    std::atomic<size_t> used_{0};
};

// One owned block, freed with its last owner's end; move-only.
class Buffer {
public:
    Buffer() = default;
    // `what` names the purpose in the error: "KV cache", "tensor 'blk.0.ffn_up.weight'". Contents are undefined.
    static Result<Buffer> allocate(const std::shared_ptr<Memory>& memory, size_t bytes, std::string_view what);
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer();

    std::byte* data() const { return data_; }
    size_t size() const { return size_; }

private:
    std::shared_ptr<Memory> memory_;
    std::byte* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace quoin
