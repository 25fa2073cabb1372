// The list of tests that are known to fail, each with its reason.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "core/status.h"

namespace quoin::conformance {

struct Expected {
    std::string reason;
    bool may_pass = false;  // its result is left to chance
};

// Lines "name: reason"; "? name: reason" for a test that may as well pass; # begins a comment. InvalidArgument names
// the line that is neither, or gives no reason.
Result<std::map<std::string, Expected>> read_expected(const std::filesystem::path& path);

}  // namespace quoin::conformance
