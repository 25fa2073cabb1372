// A file that appears whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/status.h"

namespace quoin {

// What is written has no name until commit(); where the file system knows no nameless files, or the system has no /proc
// to give them names, it stands beside the target as quoin.partial-PROCESS-NUMBER. The destructor removes it; a process
// that is killed leaves it there. One thread at a time.
class OutputFile {
public:
    // `path` may exist as a regular file, which commit() replaces; a symbolic link is followed, also to what is not
    // there yet. `bytes` are reserved on the disk at once where that is possible, so that a full disk is known before
    // the work. Io with the reason. `nameless` false: as if the system knew no nameless files.
    static Result<std::unique_ptr<OutputFile>> create(const std::string& path, uint64_t bytes, bool nameless = true);
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    ~OutputFile();

    // Appends.
    Status write(std::span<const std::byte> bytes);
    Status write_zeros(uint64_t count);
    // Waits until the bytes are on the disk, then gives the file its name. To be called once, last.
    Status commit();

private:
    OutputFile(std::string path, int descriptor, std::string temporary)
        : path_(std::move(path)), descriptor_(descriptor), temporary_(std::move(temporary)) {}
    Status failure(const char* action) const;

    std::string path_;
    int descriptor_;
    std::string temporary_;  // empty while the file has no name
};

// Whether both paths lead to one file; false when either does not exist.
bool same_file(const std::string& a, const std::string& b);

}  // namespace quoin
