// main() of every test executable: Catch2's, and exit code 77 where all went well but something was skipped.
#define CATCH_CONFIG_RUNNER
#include <iostream>

#ifdef QUOIN_CATCH2_V3
#include <catch2/catch_session.hpp>
#endif
#include "support/catch.h"

namespace quoin::test {

namespace {
bool any_skipped = false;
}  // namespace

void skip(const std::string& why) {
    any_skipped = true;
    std::cout << "skipped: " << why << std::endl;
}

bool skipped() {
    return any_skipped;
}

}  // namespace quoin::test

int main(int argc, char** argv) {
    constexpr int kSkipped = 77;  // SKIP_RETURN_CODE in tests/CMakeLists.txt
    const int result = Catch::Session().run(argc, argv);
    return result == 0 && quoin::test::skipped() ? kSkipped : result;
}
