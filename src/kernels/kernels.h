// The numbers of Quoin: functions on pointers, sizes and strides, compiled once per instruction set and chosen at run
// time. Nothing here allocates, throws, or knows a graph. Layouts of weights, activations and KV pages: layout.h.
//
// Take the table once (`kernels(effective_isa(...))`), keep the function pointers, call them. Every function may be
// called by any number of threads; none keeps state. Pointers need only the alignment of their element type, unless
// said otherwise. Sources and results may be the same memory where a kernel says "in place", else they must not
// overlap.
//
// Sizes are never negative. Where one of 0 leaves nothing to write, no memory is touched. Where one leaves nothing to
// sum (K, taps or channels), the sum is 0, and bias, residual and activation make the result of that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/cpu_info.h"
#include "kernels/layout.h"
#include "kernels/window.h"

namespace quoin {

// dst[M, N] = activation(src[M, K] x weights[N, K]^T (+ bias[N]) (+ residual[M, N])).
// Every output element is summed in one fixed order over K, so a row's bits do not depend on the other rows, on how
// many there are, nor on how the panels are shared out among calls.
struct LinearArgs {
    const std::byte* weights;   // first panel, packed as in layout.h
    int64_t panel_stride;       // bytes from one panel to the next, usually panel_bytes(dtype, inner)
    int64_t panels;             // panels to compute
    int64_t columns;            // outputs to write (N): 32 * (panels - 1) < columns <= 32 * panels
    const std::byte* src;       // f32 rows, or Q8Row for block formats: activation_dtype(weight dtype)
    int64_t src_stride;         // bytes between rows, a multiple of 4
    int64_t rows;               // M
    int64_t inner;              // K; whole blocks of the weights' format
    const float* bias;          // [columns] or null
    const float* residual;      // [rows][columns] or null; may be dst itself (same stride)
    int64_t residual_stride;    // floats between rows
    float* dst;                 // [rows][columns]
    int64_t dst_stride;         // floats between rows
    Activation activation;      // all zero: none; slopes [columns]
    ProcessorTraits processor;  // processor_traits(); never decides a result
    CodeBlocks codes;           // of linear_u2, linear_u4 and linear_u8
    std::byte* scratch;         // linear_scratch_bytes(), aligned to 64, private to the call
};

// Rows and panels that Linear goes through together: a call with many rows should have as many, or a part of them. More
// panels share a copy of f32 rows; more rows share what is made of codes.
struct LinearTask {
    int64_t rows;
    int64_t panels;
    int64_t least_panels;  // of the smallest task, where there are enough for all threads
};
constexpr LinearTask linear_task(DType weight) {
    return activation_dtype(weight) == DType::Q8Row ? LinearTask{264, 4, 1} : LinearTask{132, 16, 4};
}

// What Linear makes of weights (Q8Row), or copies of f32 rows and makes of weights, at most on any instruction set.
constexpr int64_t linear_room_bytes(DType weight) {
    return activation_dtype(weight) == DType::Q8Row ? 28 << 10 : 160 << 10;
}
// Bytes of LinearArgs::scratch for so many rows and panels, and for fewer.
constexpr int64_t linear_scratch_bytes(DType weight, int64_t rows, int64_t panels) {
    const LinearTask most = linear_task(weight);
    const int64_t all = rows * panels;
    const int64_t sums = most.rows * most.panels;
    return linear_room_bytes(weight) + (all < sums ? all : sums) * kPanelColumns * 4;
}

// Scaled dot-product attention of one key/value head, for some query rows of one sequence and the heads of its group.
// Row r, head h reads query[r * query_stride + h * head_size ...] and writes the same place of dst. It sees the keys at
// positions p with p <= positions[r] and, when window > 0, p > positions[r] - window; a row that sees none (position
// -1) gives zeros. Results of a row do not depend on the other rows. Slots no row sees may hold anything, even NaN.
struct AttentionArgs {
    const float* query;
    int64_t query_stride;  // floats between rows
    int64_t rows;
    int64_t heads;                // of this group, consecutive, head_size apart
    int64_t head_size;            // 1..512
    const int32_t* positions;     // [rows], each >= -1
    int64_t window;               // 0: unlimited
    float scale;                  // of the scores, usually 1 / sqrt(head_size)
    float softcap;                // 0: none; else score = softcap * tanh(score / softcap)
    const std::byte* key_base;    // page 0 of this key/value head, see layout.h
    const std::byte* value_base;  // likewise
    int64_t key_page_stride;      // bytes between pages
    int64_t value_page_stride;
    const int32_t* pages;  // page ids in order of position: position p lies in pages[p / 32], slot p % 32
    float* scratch;        // attention_scratch_floats(head_size, rows, heads) floats, private to the call
    float* dst;
    int64_t dst_stride;  // floats between rows
    // Blocks of attention_block_tokens() positions to look at: first_block <= position / tokens < last_block.
    int64_t first_block;
    int64_t last_block;
    // When not null, dst is not written but partials[block * partial_stride + (r * heads + h) *
    // attention_partial_floats()] for each of these blocks, to be put together by attention_join: the same bits as one
    // call over all blocks.
    float* partials;
    int64_t partial_stride;
};

inline constexpr int64_t kMaxHeadSize = 512;

// Positions whose softmax is computed at once. Part of the definition of the result: sums run within blocks first.
constexpr int64_t attention_block_tokens(int64_t head_size) {
    return head_size <= 128 ? 256 : 128;
}
// Of one query and block: largest score, sum of probabilities, weighted sum of values.
constexpr int64_t attention_partial_floats(int64_t head_size) {
    return 2 + head_size;
}
constexpr int64_t attention_join_floats(int64_t head_size) {
    return 2 * ((head_size + 15) / 16 * 16);
}

inline constexpr int64_t kMostBlockTokens = 256;
inline constexpr int64_t kAttentionTileQueries = 12;  // queries computed together, at most

// Floats of scratch for attention_*; never more than for the largest rows and heads of a program.
constexpr int64_t attention_scratch_floats(int64_t head_size, int64_t rows, int64_t heads) {
    const int64_t padded = (head_size + 15) / 16 * 16;
    const int64_t tokens = attention_block_tokens(head_size);
    return rows * heads * (head_size + padded + 2)  // query, weighted sum, max and sum
           + kMostBlockTokens +
           kAttentionTileQueries * (kMostBlockTokens * 3 / 2 + padded)  // scores, probabilities, a block's sums
           + tokens * (head_size + padded);                             // a block's keys and values, widened
}

// One function pointer per line of kernel_list.inc.
struct KernelTable {
#define QUOIN_KERNEL(result, name, isas, parameters) result(*name) parameters;
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
};

// The same list as numbers, to ask about a kernel without its type.
enum class Kernel : uint8_t {
#define QUOIN_KERNEL(result, name, isas, parameters) name,
#include "kernels/kernel_list.inc"
#undef QUOIN_KERNEL
};
#define QUOIN_KERNEL(result, name, isas, parameters) +1
inline constexpr int kKernelCount = 0
#include "kernels/kernel_list.inc"
    ;
#undef QUOIN_KERNEL

// The table for `isa`, complete: what an instruction set has no version of comes from the one below it (isa_below()).
// An `isa` of another architecture gives Baseline. The caller vouches that the machine has it: see effective_isa().
const KernelTable& kernels(Isa isa);

std::string_view kernel_name(Kernel kernel);
// Whether this build has a table of its own for `isa`.
bool has_table(Isa isa);
// Which instruction set's version of `kernel` stands in kernels(isa).
Isa kernel_isa(Kernel kernel, Isa isa);

}  // namespace quoin
