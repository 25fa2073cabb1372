// The yardstick: that there is one, and what it says where there is no memory for it.
#include "exec/machine_limits.h"

#include "ops/op_test.h"

namespace quoin::test {
namespace {

TEST_CASE("every limit of the machine is measured") {
    const Result<MachineLimits> limits = measure_limits(*make_runtime(2), std::make_shared<Memory>(), 16 << 20);
    REQUIRE(limits.ok());
    CHECK(limits->dram_gb_per_s > 0);
    CHECK(limits->int8_tops > 0);
    CHECK(limits->f32_tflops > 0);
    CHECK(limits->bf16_tflops > 0);
}

TEST_CASE("limits that there is no memory to measure are an error, not zero") {
    const auto memory = std::make_shared<Memory>(size_t{1} << 20);
    const Status status = measure_limits(*make_runtime(), memory).status();
    CHECK(status.code() == StatusCode::OutOfMemory);
    CHECK_THAT(status.message(), contains("the bandwidth probe"));
}

}  // namespace
}  // namespace quoin::test
