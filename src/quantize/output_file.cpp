#include "quantize/output_file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace quoin {
namespace {

constexpr mode_t kMode = 0666;  // less what the process's mask takes away
constexpr int kNameAttempts = 1000;
constexpr int kMostLinks = 40;  // one to another, as the kernel follows them

std::string folder_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// What a symbolic link names; "" where `path` is none.
std::string link_target(const std::string& path) {
    std::array<char, 4096> name{};  // PATH_MAX, which no link exceeds
    const ssize_t length = readlink(path.c_str(), name.data(), name.size());
    if (length <= 0) return "";
    const std::string target(name.data(), static_cast<size_t>(length));
    return target.front() == '/' ? target : folder_of(path) + "/" + target;
}

// Where a symbolic link leads, so that the link stays and what it names is replaced, or made where it is missing.
std::string followed(const std::string& path) {
    if (char* const resolved = realpath(path.c_str(), nullptr)) {
        std::string result(resolved);
        std::free(resolved);
        return result;
    }
    std::string result = path;
    for (int links = 0; links < kMostLinks; ++links) {
        std::string target = link_target(result);
        if (target.empty()) return result;  // nothing there yet
        result = std::move(target);
    }
    return path;  // in a circle, as stat() will say
}

#if defined(O_TMPFILE)
// The name under which a file without one can be linked; "" where the system has no /proc.
std::string name_of_descriptor(int descriptor) {
    std::string name = "/proc/self/fd/" + std::to_string(descriptor);
    return access(name.c_str(), F_OK) == 0 ? name : "";
}
#endif

// Makes a file beside `target`, where a rename can put it in the target's place. Its name does not grow with the
// target's, which may be as long as names can be. `make` gives -1 with EEXIST for a name that is taken: by another
// writer, or by one that was killed.
template <class Make>
int make_beside(const std::string& target, std::string& name, const Make& make) {
    static std::atomic<uint32_t> number{0};
    const std::string start = folder_of(target) + "/quoin.partial-" + std::to_string(getpid()) + "-";
    int made = -1;
    for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
        name = start + std::to_string(number.fetch_add(1));
        made = make(name.c_str());
        if (made >= 0 || errno != EEXIST) break;
    }
    return made;
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

Result<std::unique_ptr<OutputFile>> OutputFile::create(const std::string& path, uint64_t bytes, bool nameless) {
    const std::string target = followed(path);
    struct stat info {};
    if (stat(target.c_str(), &info) == 0) {
        if (!S_ISREG(info.st_mode)) {
            return error(StatusCode::Io, "cannot write '", path, "': it exists and is not a regular file");
        }
    } else if (errno != ENOENT) {  // such as a name that is too long: the nameless file would learn of it last
        return io_error("create", path, errno);
    }
    std::unique_ptr<OutputFile> file;
#if defined(O_TMPFILE)
    if (nameless) {
        const int descriptor = open(folder_of(target).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode);
        if (descriptor >= 0) file.reset(new OutputFile(target, descriptor, ""));
        // It would stay nameless, which commit() would learn after all the work.
        if (descriptor >= 0 && name_of_descriptor(descriptor).empty()) file.reset();
    }
#else
    (void)nameless;
#endif
    if (file == nullptr) {
        std::string temporary;
        const int descriptor = make_beside(target, temporary, [](const char* name) {
            return open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kMode);
        });
        if (descriptor < 0) return io_error("create", path, errno);
        file.reset(new OutputFile(target, descriptor, temporary));
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
        const std::string self = name_of_descriptor(descriptor_);
        std::string name;
        const int linked = make_beside(path_, name, [&](const char* beside) {
            return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, beside, AT_SYMLINK_FOLLOW);
        });
        if (linked != 0) return failure("name");
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
