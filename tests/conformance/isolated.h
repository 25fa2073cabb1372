// Runs tests where a crash or an endless loop ends one test and not the run.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace quoin::conformance {

// What went wrong, or nullopt.
using Outcome = std::optional<std::string>;

// Outcomes of test(0) to test(count - 1), in order. On POSIX a child process runs them one after the other, after
// begin(); when it dies or sits on one test for more than `seconds`, the next child goes on behind it. Elsewhere they
// run in this process, without a limit.
std::vector<Outcome> run_isolated(size_t count, double seconds, const std::function<void()>& begin,
                                  const std::function<Outcome(size_t)>& test);

}  // namespace quoin::conformance
