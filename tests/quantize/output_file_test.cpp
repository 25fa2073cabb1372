// Outputs: when they appear, under which names, with which permissions.
#include "quantize/output_file.h"

#include <atomic>
#include <cerrno>
#include <string_view>
#include <utility>

#include "quantize/folder.h"
#include "support/catch.h"

#include <fcntl.h>
#include <sys/stat.h>
#if defined(__GLIBC__)
#include <sys/syscall.h>
#include <unistd.h>

namespace {
std::atomic<int> mask_changes{0};
std::atomic<bool> proc_is_hidden{false};
}  // namespace

// In place of the C library's, to see who changes what other threads make their files with.
extern "C" mode_t umask(mode_t mask) noexcept {
    ++mask_changes;
    return static_cast<mode_t>(syscall(SYS_umask, mask));
}

// Likewise, to be a system without /proc.
extern "C" int access(const char* path, int mode) noexcept {
    if (proc_is_hidden && std::string_view(path).starts_with("/proc/")) {
        errno = ENOENT;
        return -1;
    }
    return static_cast<int>(syscall(SYS_faccessat, AT_FDCWD, path, mode));
}
#endif

namespace quoin::test {
namespace {

namespace fs = std::filesystem;

TEST_CASE("an output file is nothing until it is committed") {
    const Folder folder;
    {
        auto file = OutputFile::create(folder / "a", 1000);
        REQUIRE(file.ok());
        REQUIRE((*file)->write(std::vector<std::byte>(1000, std::byte{1})).ok());
    }
    CHECK(folder.files() == 0);
    auto file = OutputFile::create(folder / "a", 0);
    REQUIRE(file.ok());
    REQUIRE((*file)->write(std::vector<std::byte>(10, std::byte{1})).ok());
    REQUIRE((*file)->write_zeros(5000).ok());
    REQUIRE((*file)->commit().ok());
    CHECK(folder.files() == 1);
    CHECK(fs::file_size(folder / "a") == 5010);
    // More than any disk has.
    const auto impossible = OutputFile::create(folder / "b", uint64_t{1} << 60);
    REQUIRE_FALSE(impossible.ok());
    CHECK(impossible.status().code() == StatusCode::Io);
    CHECK(folder.files() == 1);
}

TEST_CASE("without nameless files the output stands beside its target until it is committed") {
    const Folder folder;
    const mode_t mask = umask(027);
    {
        auto file = OutputFile::create(folder / "a", 1000, false);
        REQUIRE(file.ok());
        CHECK(folder.files() == 1);
        CHECK_FALSE(fs::exists(folder / "a"));
    }
    CHECK(folder.files() == 0);
    CHECK_FALSE(OutputFile::create(folder / "a", uint64_t{1} << 60, false).ok());
    CHECK(folder.files() == 0);
    for (const bool nameless : {true, false}) {
        auto file = OutputFile::create(folder / "a", 0, nameless);
        REQUIRE(file.ok());
        REQUIRE((*file)->write(std::vector<std::byte>(10, std::byte{1})).ok());
        REQUIRE((*file)->commit().ok());
        CHECK(folder.files() == 1);
        CHECK(fs::status(folder / "a").permissions() == fs::perms{0640});
    }
    umask(mask);
}

TEST_CASE("an output passes by names that are taken") {
    const Folder folder;
    const auto create = [&] {
        auto file = OutputFile::create(folder / "a", 0, false);
        REQUIRE(file.ok());
        return std::move(file).value();
    };
    std::string name;
    {
        const auto file = create();
        name = fs::directory_iterator(fs::path(folder / "a").parent_path())->path().string();
    }
    const size_t number = name.rfind('-') + 1;
    const int next = std::stoi(name.substr(number)) + 1;
    for (int taken = next; taken < next + 3; ++taken) {
        write_file(name.substr(0, number) + std::to_string(taken), std::vector<std::byte>(3));
    }
    REQUIRE(folder.files() == 3);
    REQUIRE(create()->commit().ok());
    CHECK(folder.files() == 4);
    CHECK(fs::file_size(folder / "a") == 0);
}

TEST_CASE("a name that the system cannot have is refused before the work, the longest one it can have is not") {
    const Folder folder;
    CHECK_FALSE(OutputFile::create(folder / std::string(256, 'n'), 0).ok());
    for (const bool nameless : {true, false}) {
        auto file = OutputFile::create(folder / std::string(255, 'n'), 0, nameless);
        REQUIRE(file.ok());
        CHECK((*file)->commit().ok());
    }
    CHECK(folder.files() == 1);
}

TEST_CASE("a link to what is not there yet stays, and what it names is made") {
    const Folder folder;
    fs::create_directory(folder / "models");
    fs::create_symlink("models/far", folder / "near");
    fs::create_symlink(folder / "near", folder / "nearest");
    for (const bool nameless : {true, false}) {
        auto file = OutputFile::create(folder / "nearest", 0, nameless);
        REQUIRE(file.ok());
        CHECK_FALSE(fs::exists(folder / "models/far"));
        REQUIRE((*file)->write_zeros(7).ok());
        REQUIRE((*file)->commit().ok());
        CHECK(fs::is_symlink(folder / "near"));
        CHECK(fs::is_symlink(folder / "nearest"));
        CHECK(fs::file_size(folder / "models/far") == 7);
        CHECK(folder.files() == 3);
        fs::remove(folder / "models/far");
    }
    fs::create_symlink("missing/far", folder / "lost");
    CHECK_FALSE(OutputFile::create(folder / "lost", 0).ok());
    fs::create_symlink("second", folder / "first");
    fs::create_symlink("first", folder / "second");
    const auto circle = OutputFile::create(folder / "first", 0);
    REQUIRE_FALSE(circle.ok());
    CHECK(circle.status().code() == StatusCode::Io);
}

#if defined(__GLIBC__)
TEST_CASE("without /proc, through which nameless files get their names, the output has a name from the beginning") {
    const Folder folder;
    proc_is_hidden = true;
    auto file = OutputFile::create(folder / "a", 0);
    REQUIRE(file.ok());
    CHECK(folder.files() == 1);
    const Status committed = (*file)->commit();
    proc_is_hidden = false;
    CHECK(committed.ok());
    CHECK(folder.files() == 1);
    CHECK(fs::exists(folder / "a"));
}

TEST_CASE("making an output leaves the mask of the process alone") {
    const Folder folder;
    for (const bool nameless : {true, false}) {
        const int before = mask_changes;
        REQUIRE(OutputFile::create(folder / "a", 0, nameless).ok());
        CHECK(mask_changes == before);
    }
}
#endif

}  // namespace
}  // namespace quoin::test
