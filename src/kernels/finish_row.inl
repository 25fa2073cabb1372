// The epilogue of a row of sums that wait in memory.

namespace quoin {
namespace {

// What comes after the bias, for the columns from `begin` on of a row of sums, which are changed.
[[gnu::noinline]] void finish_row(const EpiloguePart& part, int64_t begin, float* sums, const float* residual,
                                  float* dst) {
    if (residual != nullptr && !part.residual_last) {
        for_vectors(part.columns - begin, [=](int64_t i, int64_t n) QUOIN_LAMBDA_INLINE {
            store(sums + begin + i, load(sums + begin + i) + load_some(residual + begin + i, n));
        });
    }
    const float* const after = part.residual_last && residual != nullptr ? residual + begin : nullptr;
    activate_row(*part.activation, part.slopes + begin, after, part.columns - begin, sums + begin, dst + begin);
}

}  // namespace
}  // namespace quoin
