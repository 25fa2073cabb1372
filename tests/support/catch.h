// Catch2 2 and 3 under one name: test files include this and nothing of Catch2 itself.
#pragma once

#ifdef QUOIN_CATCH2_V3
#include <catch2/catch_approx.hpp>
#include <catch2/catch_message.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_adapters.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace quoin::test {

#ifdef QUOIN_CATCH2_V3
using Catch::Approx;
// A string that contains this one.
inline auto contains(const std::string& part) {
    return Catch::Matchers::ContainsSubstring(part);
}
#else
using ::Approx;
inline auto contains(const std::string& part) {
    return Catch::Matchers::Contains(part);
}
#endif

// For test cases whose data is not on this machine: prints "skipped: WHY"; the test case then returns. A test case that
// passes but has skipped something counts as skipped, not as passed.
void skip(const std::string& why);

// Whether skip() was called since the program began.
bool skipped();

}  // namespace quoin::test
