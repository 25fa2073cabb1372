// The epilogue of a row of sums that wait in memory.

namespace quoin {
namespace {

// What comes after the bias, for the columns from `begin` on of a row of sums, which are changed.
[[gnu::noinline]] void finish_row(const EpiloguePart& part, int64_t begin, float* sums, const float* residual,
                                  float* dst) {
    if (residual != nullptr && !part.residual_last) {
        for (int64_t c = begin; c < part.columns; c += kLanes) {
            const int64_t n = smaller(part.columns - c, kLanes);
            store(sums + c, load(sums + c) + (n == kLanes ? load(residual + c) : load_first(residual + c, n)));
        }
    }
    const float* const after = part.residual_last && residual != nullptr ? residual + begin : nullptr;
    activate_row(*part.activation, part.slopes + begin, after, part.columns - begin, sums + begin, dst + begin);
}

}  // namespace
}  // namespace quoin
