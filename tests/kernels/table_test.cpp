#include <cstring>

#include "kernel_test.h"
#include "kernels/isa_set.h"

namespace quoin::test {
namespace {

TEST_CASE("every table is complete", "[kernels]") {
    for (int i = 0; i < kIsaCount; ++i) {
        const KernelTable& table = kernels(static_cast<Isa>(i));
#define QUOIN_KERNEL(result, name, isas, parameters) CHECK(table.name != nullptr);
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
    }
}

#if defined(__x86_64__)
TEST_CASE("a missing kernel comes from the instruction set below", "[kernels]") {
    const KernelTable& baseline = kernels(Isa::Baseline);
    const KernelTable& avx2 = kernels(Isa::Avx2);
    const KernelTable& avxvnni = kernels(Isa::AvxVnni);
    const KernelTable& avx512 = kernels(Isa::Avx512);
    const KernelTable& vnni = kernels(Isa::Avx512Vnni);
    const KernelTable& bf16 = kernels(Isa::Avx512Bf16);
    const KernelTable& amx = kernels(Isa::AmxInt8);
    CHECK(vnni.pack_q4_0 == baseline.pack_q4_0);
    CHECK(vnni.linear_f32 == avx512.linear_f32);
    CHECK(avx512.linear_f32 != avx2.linear_f32);
    CHECK(avx2.linear_f32 != baseline.linear_f32);
    CHECK(vnni.linear_q4_0 != avx512.linear_q4_0);
    CHECK(vnni.linear_bf16 == avx512.linear_bf16);
    CHECK(bf16.linear_q4_0 == vnni.linear_q4_0);
    CHECK(bf16.linear_bf16 != vnni.linear_bf16);
    CHECK(amx.linear_q4_0 != bf16.linear_q4_0);
    CHECK(amx.linear_bf16 == vnni.linear_bf16);
    CHECK(avxvnni.linear_f32 == avx2.linear_f32);
    CHECK(avxvnni.linear_q4_0 != avx2.linear_q4_0);
    CHECK(kernel_isa(Kernel::pack_q4_0, Isa::Avx512Vnni) == Isa::Baseline);
    CHECK(kernel_isa(Kernel::linear_f32, Isa::Avx512Vnni) == Isa::Avx512);
    CHECK(kernel_isa(Kernel::linear_f32, Isa::Avx2) == Isa::Avx2);
    CHECK(kernel_isa(Kernel::linear_q4_0, Isa::Avx512Vnni) == Isa::Avx512Vnni);
}

// A server with AVX-512 need not have AVX-VNNI.
TEST_CASE("AVX-512 tables have nothing of AVX-VNNI", "[kernels]") {
#define QUOIN_KERNEL(result, name, isas, parameters)                  \
    CHECK(kernel_isa(Kernel::name, Isa::Avx512) != Isa::AvxVnni);     \
    CHECK(kernel_isa(Kernel::name, Isa::Avx512Vnni) != Isa::AvxVnni); \
    CHECK(kernel_isa(Kernel::name, Isa::Avx512Bf16) != Isa::AvxVnni); \
    CHECK(kernel_isa(Kernel::name, Isa::AmxInt8) != Isa::AvxVnni);
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
}
#endif

TEST_CASE("each kernel has exactly the versions the list names", "[kernels]") {
    CHECK(has_table(Isa::Baseline));
#define QUOIN_KERNEL(result, name, isas, parameters)                                                \
    for (int i = 1; i < kIsaCount; ++i) {                                                           \
        const Isa isa = static_cast<Isa>(i);                                                        \
        if (!has_table(isa)) continue;                                                              \
        CAPTURE(kernel_name(Kernel::name), isa_name(isa));                                          \
        CHECK((kernel_isa(Kernel::name, isa) == isa) == (((isas)&isa_bit(isa)) != 0));              \
        CHECK((kernels(isa).name != kernels(isa_below(isa)).name) == (((isas)&isa_bit(isa)) != 0)); \
    }
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
}

TEST_CASE("kernels have names", "[kernels]") {
    CHECK(kernel_name(Kernel::quantize_q8_row) == "quantize_q8_row");
    CHECK(kernel_name(static_cast<Kernel>(kKernelCount - 1)) == "average_pool_f32");
}

TEST_CASE("probes count their operations and read what they are given", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        CHECK(table.probe_int8(20) == 2 * table.probe_int8(10));
        CHECK(table.probe_f32(10) > 0);
        CHECK(table.probe_bf16(10) > 0);
        std::vector<std::byte> bytes(512, std::byte{1});
        CHECK(table.probe_read(bytes.data(), 512) == uint64_t{128} * 0x01010101U);
    }
}

}  // namespace
}  // namespace quoin::test
