// Words for matrix_tile.inl in AMX (TILE, INT8). A processor has eight tile registers of up to 16 rows of 64 bytes; how
// much of each is used is set for all of them, by each thread for itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simd.h"

namespace quoin {
namespace {

constexpr int64_t kMatrixRows = 16;

// What LDTILECFG reads.
struct alignas(64) TileShapes {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

// Not the intrinsics: those of GCC take literals for registers, and its loads do not say that they read memory.
QUOIN_INLINE void tile_configure(const TileShapes& shapes) {
    asm volatile("ldtilecfg %0" ::"m"(shapes));
}
// Tiles that are in use make switching between threads slower.
QUOIN_INLINE void tile_release() {
    asm volatile("tilerelease");
}
template <int kRegister>
QUOIN_INLINE void tile_load(const std::byte* src, int64_t row_stride) {
#if defined(__clang__)
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(src), "r"(row_stride), "i"(kRegister) : "memory");
#else
    // GCC would keep in memory what belongs in registers.
    using FromHereOn = std::byte[];
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(src), "r"(row_stride), "i"(kRegister),
                 "m"(*reinterpret_cast<const FromHereOn*>(src)));
#endif
}
// Rows of 64 bytes, one behind the other. The compiler takes all 16 for written, though only those in use are.
template <int kRegister>
QUOIN_INLINE void tile_store(std::byte* dst) {
    asm volatile("tilestored %%tmm%c3, (%1,%2,1)"
                 : "=m"(*reinterpret_cast<std::byte(*)[kMatrixRows * 64]>(dst))
                 : "r"(dst), "r"(int64_t{64}), "i"(kRegister));
}
template <int kRegister>
QUOIN_INLINE void tile_zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kRegister));
}
// sums[m][n] += the dot product of row m of `rows` and column n of `columns`, both signed bytes; a row of `columns`
// holds four values of each column, one column after the other.
template <int kSums, int kRows, int kColumns>
QUOIN_INLINE void tile_dot() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kRows), "i"(kColumns));
}

}  // namespace
}  // namespace quoin
