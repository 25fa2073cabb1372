// Models that are too large or not ours to keep in the repository: a folder "shared" beside it, or the one that the
// environment variable QUOIN_SHARED names. Tests of them skip on machines that do not have it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace quoin::test {

// The file or folder `name` below the shared folder, such as "models/gguf-vocab". Where it is not there, says so with
// skip() and gives nothing; the test case then returns:
//
//     const auto path = shared_file("models/llm-stories260k/ref_greedy.json");
//     if (!path) return;
std::optional<std::filesystem::path> shared_file(const std::string& name);

// A file of the repository, such as "examples/tiny-model/quoin-tiny.gguf"; fails the test case when it is not there.
std::filesystem::path source_file(const std::string& name);

std::string read_text(const std::filesystem::path& path);

// The numbers of a file that holds nothing but little-endian 32-bit floats.
std::vector<float> read_floats(const std::filesystem::path& path);

}  // namespace quoin::test
