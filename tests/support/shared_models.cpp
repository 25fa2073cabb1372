#include "support/shared_models.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "support/catch.h"

namespace quoin::test {

std::optional<std::filesystem::path> shared_file(const std::string& name) {
    const char* const folder = std::getenv("QUOIN_SHARED");
    const std::filesystem::path root =
        folder != nullptr ? std::filesystem::path(folder) : std::filesystem::path(QUOIN_SOURCE_DIR) / ".." / "shared";
    std::filesystem::path path = root.lexically_normal() / name;
    if (std::filesystem::exists(path)) return path;
    skip(path.string() + " is not there (QUOIN_SHARED names another folder)");
    return std::nullopt;
}

std::filesystem::path source_file(const std::string& name) {
    std::filesystem::path path = std::filesystem::path(QUOIN_SOURCE_DIR) / name;
    INFO(path.string() << " belongs to the repository");
    REQUIRE(std::filesystem::exists(path));
    return path;
}

std::string read_text(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    INFO("reading " << path.string());
    REQUIRE(file.good());
    return text;
}

std::vector<float> read_floats(const std::filesystem::path& path) {
    const std::string bytes = read_text(path);
    INFO(path.string() << " is not a whole number of floats");
    REQUIRE(bytes.size() % sizeof(float) == 0);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

}  // namespace quoin::test
