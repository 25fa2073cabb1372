// Where a model's bytes come from: a mapped file, the host's memory, or the host's reader function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/memory.h"
#include "core/status.h"

namespace quoin {

// Bytes of a source and what keeps them alive.
struct SourceBytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
};

// Random access to immutable bytes. All calls are thread-safe (a reader function is called by one thread at a time).
class Source {
public:
    virtual ~Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    // What messages call it: the path, or "<memory>", "<reader>".
    const std::string& name() const { return name_; }
    uint64_t size() const { return size_; }
    // True when read() costs no copy, so bytes may stay in use for as long as the model lives.
    virtual bool is_mapped() const = 0;
    // `count` bytes from `offset`; InvalidModel when they reach past the end, Io when they cannot be had.
    Result<SourceBytes> read(uint64_t offset, uint64_t count) const;
    // Hint: these bytes were copied elsewhere; a mapped file gives their pages back to the system.
    virtual void release(uint64_t offset, uint64_t count) const;

protected:
    Source(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}

private:
    virtual Result<SourceBytes> read_checked(uint64_t offset, uint64_t count) const = 0;

    std::string name_;
    uint64_t size_;
};

using SourcePtr = std::shared_ptr<const Source>;

// A regular file, mapped read-only. Read on demand into `memory` where `use_mmap` is false or the system cannot map it.
// Io with the system's reason.
Result<SourcePtr> open_file(const std::string& path, bool use_mmap, const std::shared_ptr<Memory>& memory);
// The same for a file that untrusted bytes name: `path` is relative to `folder`, and no part of it may be "..", a
// symbolic link or anything but a folder; the file itself has no other name (hard link). InvalidModel when it is
// otherwise.
Result<SourcePtr> open_file_below(const std::string& folder, std::string_view path, bool use_mmap,
                                  const std::shared_ptr<Memory>& memory);
// The caller's bytes, which must stay until the last use.
SourcePtr wrap_memory(std::span<const std::byte> bytes);
// `read_at` fills the whole span from the offset and returns true, or returns false (then read() gives Io).
using ReadAt = std::function<bool(uint64_t offset, std::span<std::byte> bytes)>;
SourcePtr wrap_reader(uint64_t size, ReadAt read_at, const std::shared_ptr<Memory>& memory);

}  // namespace quoin
