#include "core/memory.h"

#include <cstdlib>
#include <new>
#include <utility>

#include "core/rounding.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace quoin {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Streaming a model through 4 KiB pages spends a tenth of the bandwidth on page walks, hence the advice.
void* system_allocate(size_t bytes, size_t alignment) {
    const size_t unit = bytes >= kHugePage ? kHugePage : alignment;
    if (bytes > SIZE_MAX - unit) return nullptr;
    void* const block = std::aligned_alloc(unit, align_up(bytes, unit));
#if defined(__linux__)
    if (block != nullptr && unit == kHugePage) madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return block;
}

}  // namespace

Memory::Memory(size_t budget_bytes, AllocateFunction allocate, FreeFunction release)
    : budget_(budget_bytes),
      allocate_(allocate ? std::move(allocate) : system_allocate),
      free_(release ? std::move(release) : [](void* block, size_t) { std::free(block); }) {}

void* Memory::take(size_t bytes) {
    // Counted only when it fits: what is refused must not keep others from what would fit.
    size_t used = used_.load(std::memory_order_relaxed);
    do {
        if (budget_ != 0 && (used > budget_ || bytes > budget_ - used)) return nullptr;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    void* const block = allocate_(bytes, kAlignment);
    if (block == nullptr) used_.fetch_sub(bytes, std::memory_order_relaxed);
    return block;
}

void Memory::give_back(void* block, size_t bytes) {
    free_(block, bytes);
    used_.fetch_sub(bytes, std::memory_order_relaxed);
}

Result<Buffer> Buffer::allocate(const std::shared_ptr<Memory>& memory, size_t bytes, std::string_view what) {
    Buffer buffer;
    if (bytes == 0) return buffer;
    void* const block = memory->take(bytes);
    if (block == nullptr) {
        Status status = error(StatusCode::OutOfMemory, "no ", bytes, " bytes for ", what);
        if (memory->budget_bytes() == 0) return status;
        return error(StatusCode::OutOfMemory, status.message(), ": ", memory->used_bytes(), " bytes of the budget of ",
                     memory->budget_bytes(), " are in use; raise memory_budget_bytes or use a smaller context");
    }
    buffer.memory_ = memory;
    buffer.data_ = static_cast<std::byte*>(block);
    buffer.size_ = bytes;
    return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : memory_(std::move(other.memory_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Buffer::~Buffer() {
    if (data_ != nullptr) memory_->give_back(data_, size_);
}

}  // namespace quoin
