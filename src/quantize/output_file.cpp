#include "quantize/output_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace quoin {
namespace {

constexpr mode_t kMode = 0666;  // less what the process's mask takes away

std::string folder_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Where a symbolic link leads, so that the link stays and what it names is replaced.
std::string followed(const std::string& path) {
    char* const resolved = realpath(path.c_str(), nullptr);
    if (resolved == nullptr) return path;  // nothing there yet
    std::string result(resolved);
    std::free(resolved);
    return result;
}

Status io_error(const char* action, const std::string& path, int number) {
    return error(StatusCode::Io, "cannot ", action, " '", path, "': ", std::strerror(number));
}

}  // namespace

bool same_file(const std::string& a, const std::string& b) {
    struct stat first {};
    struct stat second {};
    if (stat(a.c_str(), &first) != 0 || stat(b.c_str(), &second) != 0) return false;
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Result<std::unique_ptr<OutputFile>> OutputFile::create(const std::string& path, uint64_t bytes) {
    const std::string target = followed(path);
    struct stat info {};
    if (stat(target.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
        return error(StatusCode::Io, "cannot write '", path, "': it exists and is not a regular file");
    }
    std::unique_ptr<OutputFile> file;
#if defined(O_TMPFILE)
    const int nameless = open(folder_of(target).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode);
    if (nameless >= 0) file.reset(new OutputFile(target, nameless, ""));
#endif
    if (file == nullptr) {
        std::string temporary = target + ".partial-XXXXXX";
        const int descriptor = mkstemp(temporary.data());
        if (descriptor < 0) return io_error("create", path, errno);
        file.reset(new OutputFile(target, descriptor, temporary));
        const mode_t mask = umask(0);
        umask(mask);
        if (fchmod(descriptor, kMode & ~mask) != 0) return file->failure("set the permissions of");
    }
#if defined(__linux__)
    if (bytes > 0 && fallocate(file->descriptor_, 0, 0, static_cast<off_t>(bytes)) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
        return error(StatusCode::Io, "cannot write '", path, "': it needs ", bytes, " bytes: ", std::strerror(errno));
    }
#else
    (void)bytes;
#endif
    return file;
}

OutputFile::~OutputFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status OutputFile::failure(const char* action) const {
    return io_error(action, path_, errno);
}

Status OutputFile::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failure("write");
        bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return {};
}

Status OutputFile::write_zeros(uint64_t count) {
    static constexpr std::array<std::byte, 4096> kZeros{};
    while (count > 0) {
        const size_t now = static_cast<size_t>(std::min<uint64_t>(count, kZeros.size()));
        QUOIN_RETURN_IF_ERROR(write(std::span(kZeros).first(now)));
        count -= now;
    }
    return {};
}

Status OutputFile::commit() {
    if (fsync(descriptor_) != 0) return failure("write");
#if defined(O_TMPFILE)
    if (temporary_.empty()) {
        // A nameless file can get a new name but cannot take another's: first a name beside it.
        const std::string self = "/proc/self/fd/" + std::to_string(descriptor_);
        const std::string name = path_ + ".partial-" + std::to_string(getpid());
        unlink(name.c_str());  // of a process of this number that was killed between the two steps
        if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) return failure("name");
        temporary_ = name;
    }
#endif
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return failure("name");
    temporary_.clear();
    const int folder = open(folder_of(path_).c_str(), O_RDONLY | O_CLOEXEC);
    if (folder >= 0) {  // the name is on the disk, too; some file systems cannot do that, and nothing is broken then
        fsync(folder);
        close(folder);
    }
    return {};
}

}  // namespace quoin
