// The integer register tile where the dot product takes two rows and two columns (PairDot): what integer_tile.inl says,
// in pairs of rows. An odd last row is a pair with itself, which takes no more steps than it would alone.
// Sums stay lanes "row 0: two columns, row 1: the same two" until a group of activations ends. Each lane sees the
// operations of integer_tile in their order, so results are those of every other instruction set.
// Instructions that 1,000 multiply-adds take, with SDOT and so, counted under an emulator (K 1,024, N 128):
//
//   rows       4          6         12         24         96
//   q4_0   329  251   323  217   289  178   268  153   255  139
//   q4_k   362  291   341  245   302  202   279  175   264  159
//   q6_k   452  369   396  300   336  235   302  198   280  174
//
// Fewer rows take the way of single ones (IntegerPanel::kRegisterRows): tiles would cost two rows 1.2 to 1.45 times it.

namespace quoin {
namespace {

template <int R, int V, class Weights>
[[gnu::noinline]] void pair_tile(const IntegerTile& tile) {
    using Kind = typename Weights::Kind;
    using Dot = PairDot<Kind::kBytes>;
    static_assert(Weights::kPaired && Weights::kOffset == 0);
    constexpr int kPairs = (R + 1) / 2;
    constexpr int kRuns = Kind::kRuns;
    constexpr int kSteps = kGroups / 2 / kRuns;
    constexpr int64_t kGroupParts = kActivationBlock / 32;
    Weights weights(tile);
    const std::byte* group = tile.rows;
    const int64_t stride = tile.row_stride;
    const auto first_of = [&](int p) QUOIN_LAMBDA_INLINE { return group + 2 * p * stride; };
    const auto second_of = [&](int p) QUOIN_LAMBDA_INLINE { return group + smaller(2 * p + 1, R - 1) * stride; };
    const std::byte* ahead = tile.ahead;
    for (int64_t left = tile.parts; left > 0; left -= kGroupParts, group += kActivationBlockBytes) {
        Floats acc[kPairs][V][2];
        const auto add_part = [&](int64_t part, auto first) QUOIN_LAMBDA_INLINE {
            for (int64_t i = tile.ahead_lines; i > 0; --i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
            for_constant<kRuns>([&](auto run) QUOIN_LAMBDA_INLINE {
                Dot dot[kPairs][V][2];
                for (auto& pair : dot) {
                    for (auto& vector : pair) {
                        for (Dot& half : vector) half.begin();
                    }
                }
                for_constant<kSteps>([&](auto step) QUOIN_LAMBDA_INLINE {
                    constexpr int kGroup = 2 * (run * kSteps + step);
                    Ints w[V][2];
                    for (int v = 0; v < V; ++v) {
                        w[v][0] = weights.template group<kGroup>(v);
                        w[v][1] = weights.template group<kGroup + 1>(v);
                    }
                    for (int p = 0; p < kPairs; ++p) {
                        const int64_t at = part * 32 + 4 * kGroup;
                        const Ints a = Dot::rows(first_of(p) + at, second_of(p) + at);
                        for (int v = 0; v < V; ++v) {
                            for (int i = 0; i < 2; ++i) dot[p][v][i].step(w[v][i], a);
                        }
                    }
                });
                Floats scale[V][2];
                Floats minimum[V][2];
                for (int v = 0; v < V; ++v) {
                    Floats all;
                    Floats minima;
                    weights.template scales<run>(v, all, minima);
                    scale[v][0] = Dot::low_lanes(all, all);
                    scale[v][1] = Dot::high_lanes(all, all);
                    minimum[v][0] = Dot::low_lanes(minima, minima);
                    minimum[v][1] = Dot::high_lanes(minima, minima);
                }
                for (int p = 0; p < kPairs; ++p) {
                    const Floats sum = Kind::kMinimum ? Dot::low_lanes(sum_of_run<kRuns>(first_of(p), part, run),
                                                                       sum_of_run<kRuns>(second_of(p), part, run))
                                                      : zeros();
                    for (int v = 0; v < V; ++v) {
                        for (int i = 0; i < 2; ++i) {
                            const Ints total = dot[p][v][i].state;
                            if constexpr (first && run == 0) {
                                acc[p][v][i] = begin_run<Kind::kMinimum>(total, scale[v][i], minimum[v][i], sum);
                            } else {
                                acc[p][v][i] =
                                    add_run<Kind::kMinimum>(acc[p][v][i], total, scale[v][i], minimum[v][i], sum);
                            }
                        }
                    }
                }
            });
            weights.next();
        };
        const int64_t parts = smaller(left, kGroupParts);
        add_part(0, Constant<1>{});
        for (int64_t part = 1; part < parts; ++part) add_part(part, Constant<0>{});
        for (int r = 0; r < R; ++r) {
            const Floats factor = broadcast(read<float>(group + r * stride + ActivationGroup::kScale));
            for (int v = 0; v < V; ++v) {
                const Floats* const halves = acc[r / 2][v];
                const Floats row =
                    r % 2 == 0 ? Dot::low_lanes(halves[0], halves[1]) : Dot::high_lanes(halves[0], halves[1]);
                float* const sum = tile.sums + r * kPanelColumns + v * kLanes;
                store(sum, fma(row, factor, load(sum)));
            }
        }
    }
}

}  // namespace
}  // namespace quoin
