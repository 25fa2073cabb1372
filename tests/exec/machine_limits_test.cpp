// The yardstick: that there is one, and what it says where there is no memory for it.
#include "exec/machine_limits.h"

#include "ops/op_test.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace quoin::test {
namespace {

TEST_CASE("every limit of the machine is measured") {
    const Result<MachineLimits> limits = measure_limits(*make_runtime(2));
    REQUIRE(limits.ok());
    CHECK(limits->dram_gb_per_s > 0);
    CHECK(limits->int8_tops > 0);
    CHECK(limits->f32_tflops > 0);
    CHECK(limits->bf16_tflops > 0);
}

// Sanitizers map more than any limit leaves.
#if defined(__SANITIZE_ADDRESS__)
#define QUOIN_TEST_LIMITS_MEMORY 0
#elif defined(__has_feature)
#define QUOIN_TEST_LIMITS_MEMORY !__has_feature(address_sanitizer)
#else
#define QUOIN_TEST_LIMITS_MEMORY 1
#endif

#if QUOIN_TEST_LIMITS_MEMORY
TEST_CASE("limits that cannot be measured are an error, not zero") {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const RuntimePtr runtime = make_runtime();
        const rlimit limit{256 << 20, 256 << 20};
        if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
        _exit(measure_limits(*runtime).status().code() == StatusCode::OutOfMemory ? 0 : 1);
    }
    int ended = 0;
    REQUIRE(waitpid(child, &ended, 0) == child);
    CHECK(ended == 0);
}
#endif

}  // namespace
}  // namespace quoin::test
