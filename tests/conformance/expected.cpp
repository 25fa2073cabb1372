#include "expected.h"

#include <fstream>

namespace quoin::conformance {

Result<std::map<std::string, Expected>> read_expected(const std::filesystem::path& path) {
    std::ifstream file(path);
    if (!file) return error(StatusCode::Io, "cannot read '", path.string(), "'");
    std::map<std::string, Expected> expected;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        if (line.empty() || line[0] == '#') continue;
        Expected entry;
        entry.may_pass = line.starts_with("? ");
        if (entry.may_pass) line.erase(0, 2);
        const size_t colon = line.find(": ");
        if (colon == std::string::npos || colon == 0 || colon + 2 == line.size()) {
            return error(StatusCode::InvalidArgument, path.string(), ":", number, ": not 'name: reason'");
        }
        entry.reason = line.substr(colon + 2);
        if (!expected.emplace(line.substr(0, colon), entry).second) {
            return error(StatusCode::InvalidArgument, path.string(), ":", number, ": the name stands there twice");
        }
    }
    return expected;
}

}  // namespace quoin::conformance
