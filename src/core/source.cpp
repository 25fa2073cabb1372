#include "core/source.h"

#include <cerrno>
#include <cstring>
#include <mutex>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

namespace quoin {
namespace {

class FileDescriptor {
public:
    explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    ~FileDescriptor() {
        if (descriptor_ >= 0) close(descriptor_);
    }
    int get() const { return descriptor_; }

private:
    int descriptor_;
};

class Mapping {
public:
    Mapping(std::byte* data, size_t size) : data_(data), size_(size) {}
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() { munmap(data_, size_); }
    std::byte* data() const { return data_; }

private:
    std::byte* data_;
    size_t size_;
};

class MappedSource final : public Source {
public:
    MappedSource(const std::string& path, uint64_t size, std::shared_ptr<Mapping> mapping)
        : Source(path, size), mapping_(std::move(mapping)) {}
    bool is_mapped() const override { return true; }

    void release(uint64_t offset, uint64_t count) const override {
        // Only pages that lie wholly inside: a neighbour's bytes may be in use.
        const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
        const uint64_t begin = (offset + page - 1) / page * page;
        const uint64_t end = (offset + count) / page * page;
        if (begin < end) madvise(mapping_->data() + begin, end - begin, MADV_DONTNEED);
    }

private:
    Result<SourceBytes> read_checked(uint64_t offset, uint64_t count) const override {
        return SourceBytes{{mapping_->data() + offset, static_cast<size_t>(count)}, mapping_};
    }

    std::shared_ptr<Mapping> mapping_;
};

class MemorySource final : public Source {
public:
    explicit MemorySource(std::span<const std::byte> bytes) : Source("<memory>", bytes.size()), bytes_(bytes) {}
    bool is_mapped() const override { return true; }

private:
    Result<SourceBytes> read_checked(uint64_t offset, uint64_t count) const override {
        return SourceBytes{bytes_.subspan(offset, count), nullptr};
    }

    std::span<const std::byte> bytes_;
};

class ReaderSource final : public Source {
public:
    ReaderSource(std::string name, uint64_t size, ReadAt read_at, std::shared_ptr<Memory> memory)
        : Source(std::move(name), size), read_at_(std::move(read_at)), memory_(std::move(memory)) {}
    bool is_mapped() const override { return false; }

private:
    Result<SourceBytes> read_checked(uint64_t offset, uint64_t count) const override {
        QUOIN_ASSIGN_OR_RETURN(Buffer buffer, Buffer::allocate(memory_, count, name()));
        const auto owner = std::make_shared<Buffer>(std::move(buffer));
        const std::span<std::byte> bytes(owner->data(), count);
        const std::scoped_lock lock(mutex_);
        if (!read_at_(offset, bytes)) {
            return error(StatusCode::Io, name(), ": reading ", count, " bytes at offset ", offset, " failed");
        }
        return SourceBytes{bytes, owner};
    }

    ReadAt read_at_;
    std::shared_ptr<Memory> memory_;
    mutable std::mutex mutex_;
};

bool read_fully(int descriptor, uint64_t offset, std::span<std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = pread(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        offset += static_cast<uint64_t>(count);
        bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return true;
}

Status system_error(const std::string& path, const char* action) {
    return error(StatusCode::Io, "cannot ", action, " '", path, "': ", std::strerror(errno));
}

}  // namespace

Result<SourceBytes> Source::read(uint64_t offset, uint64_t count) const {
    if (offset > size_ || count > size_ - offset) {
        return error(StatusCode::InvalidModel, name_, ": ", count, " bytes at offset ", offset,
                     " reach past the end of the file (", size_, " bytes)");
    }
    return read_checked(offset, count);
}

void Source::release(uint64_t /*offset*/, uint64_t /*count*/) const {}

namespace {

// `path` is for messages and names the source.
Result<SourcePtr> source_of(std::shared_ptr<FileDescriptor> file, const std::string& path, uint64_t size, bool use_mmap,
                            const std::shared_ptr<Memory>& memory) {
    if (size == 0) return error(StatusCode::InvalidModel, path, ": the file is empty");
    if (use_mmap) {
        void* const data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file->get(), 0);
        if (data != MAP_FAILED) {
            auto mapping = std::make_shared<Mapping>(static_cast<std::byte*>(data), size);
            return SourcePtr(std::make_shared<MappedSource>(path, size, std::move(mapping)));
        }
        // Some file systems map nothing, and a limit of the address space may leave no room for a whole file.
        log(LogLevel::Warning, "cannot map '", path, "': ", std::strerror(errno), "; it is read instead");
    }
    return SourcePtr(std::make_shared<ReaderSource>(
        path, size,
        [file](uint64_t offset, std::span<std::byte> bytes) { return read_fully(file->get(), offset, bytes); },
        memory));
}

}  // namespace

Result<SourcePtr> open_file(const std::string& path, bool use_mmap, const std::shared_ptr<Memory>& memory) {
    auto file = std::make_shared<FileDescriptor>(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file->get() < 0) return system_error(path, "open");
    struct stat info {};
    if (fstat(file->get(), &info) != 0) return system_error(path, "examine");
    if (!S_ISREG(info.st_mode)) return error(StatusCode::Io, "'", path, "' is not a regular file");
    return source_of(std::move(file), path, static_cast<uint64_t>(info.st_size), use_mmap, memory);
}

Result<SourcePtr> open_file_below(const std::string& folder, std::string_view path, bool use_mmap,
                                  const std::shared_ptr<Memory>& memory) {
    const std::string whole = folder + "/" + std::string(path);
    if (path.empty() || path.front() == '/' || path.find('\0') != std::string_view::npos) {
        return error(StatusCode::InvalidModel, "'", path, "' is no path below the model's folder");
    }
    // Folder by folder from an open one, so that nobody can put a link in place after the check.
    auto at = std::make_shared<FileDescriptor>(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (at->get() < 0) return system_error(folder, "open");
    for (bool last = false; !last;) {
        const size_t slash = path.find('/');
        last = slash == std::string_view::npos;
        const std::string part(path.substr(0, slash));
        path.remove_prefix(last ? path.size() : slash + 1);
        if (!last && (part.empty() || part == ".")) continue;
        if (part.empty() || part == "..") {
            return error(StatusCode::InvalidModel, "'", whole, "' is no path below the model's folder");
        }
        // Without O_NONBLOCK, opening a named pipe would wait.
        const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (last ? 0 : O_DIRECTORY);
        auto next = std::make_shared<FileDescriptor>(openat(at->get(), part.c_str(), flags));
        if (next->get() < 0 && (errno == ELOOP || errno == ENOTDIR)) {
            return error(StatusCode::InvalidModel, "'", whole, "' leads over a symbolic link, which is not allowed");
        }
        if (next->get() < 0) return system_error(whole, "open");
        at = std::move(next);
    }
    struct stat info {};
    if (fstat(at->get(), &info) != 0) return system_error(whole, "examine");
    if (!S_ISREG(info.st_mode)) return error(StatusCode::InvalidModel, "'", whole, "' is not a regular file");
    if (info.st_nlink != 1) {
        return error(StatusCode::InvalidModel, "'", whole, "' has other names (hard links), which is not allowed");
    }
    return source_of(std::move(at), whole, static_cast<uint64_t>(info.st_size), use_mmap, memory);
}

SourcePtr wrap_memory(std::span<const std::byte> bytes) {
    return std::make_shared<MemorySource>(bytes);
}

SourcePtr wrap_reader(uint64_t size, ReadAt read_at, const std::shared_ptr<Memory>& memory) {
    return std::make_shared<ReaderSource>("<reader>", size, std::move(read_at), memory);
}

}  // namespace quoin
