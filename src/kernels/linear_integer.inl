// Linear over the block formats: int32 dot products of runs of 32 or 16 values, then
//   group += float(dot) * scale (+ minimum * sum of the run),   result += group * scale of the activations' group.
// The codes of a panel are first made bytes that the dot product takes ("prepared": block_format.h says what they mean,
// simd.h which form this instruction set wants). For few rows, and where there are registers enough, that happens on
// the way; else a chunk of the panel is prepared in the first-level cache and all rows pass over it, in tiles of dot
// products or of products of matrices.

namespace quoin {
namespace {

// How far ahead of their use weights are asked for: far into the second-level cache, near into the first. Alone the
// hardware follows a stream only to the end of a page and with too few lines on the way; measured on one and on two
// threads, 0.79 of the bandwidth without, 0.88 with one of them, 0.95 with both.
constexpr int64_t kFarAhead = 8192;
constexpr int64_t kNearAhead = 2304;

template <int64_t kBytes>
QUOIN_INLINE void prefetch_far(const std::byte* at) {
    for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(at + kFarAhead + i, 0, 2);
}
template <int64_t kBytes>
QUOIN_INLINE void prefetch_near(const std::byte* at) {
    for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(at + kNearAhead + i, 0, 3);
}

template <DType kType>
struct IntegerPanel {
    using Place = PanelBlock<kType>;
    using Reader = ScaleReader<kType>;
    static constexpr int64_t kParts = Place::kParts;
    static constexpr int64_t kBytesPerPart = Place::kBytes / kParts;

    static constexpr int64_t kTileRows = integer_tile_rows(PrepareChunk<kType>::kBytes);
    static constexpr bool kPlainCodes = kParts == 1 && Place::kFormat.high_bits == 0;
    static constexpr bool kManyRegisters = kLanes == 16;
    // Up to so many rows, panels are read from end to end: memory is what they wait for.
    static constexpr int64_t kStreamedRows = 31;
    // Rows that pass over the whole panel at once, their sums in registers as far as there are any. With two rows and
    // two scales in 32 values 32 registers do not suffice, and tiles are twice as fast. Nibbles in AVX2 leave registers
    // to more rows, which share the work of taking them apart (4 rows of q4_1 are 1.3 times as fast as in tiles).
    static constexpr bool kNibbles = kPlainCodes && PrepareNow<kType>::kBytes == Bytes::UpTo15;
    static constexpr int64_t kRegisterRows = kParts != 1               ? (kManyRegisters && Reader::kRuns == 2 ? 1 : 2)
                                             : kNibbles && kLanes == 8 ? 5
                                                                       : 3;
    // Rows whose tiles take the codes from the panel: where there are registers enough, making bytes of them for every
    // tile costs less than a detour over the cache, for codes in one plane with one scale however many the tiles are,
    // else for up to four; for up to two also where the detour takes signed bytes apart. Products of matrices wait for
    // memory while bytes are made, and pay for that with more rows only (16 rows: 0.75 of the speed).
    static constexpr bool kAsMatrix = is_multiplied_as_matrix(Place::kFormat);
    static constexpr bool kLightCodes = Place::kFormat.high_bits == 0 && !Place::kFormat.values.used;
    static constexpr int64_t kPackedRows = kAsMatrix                                                 ? kStreamedRows
                                           : kPlainCodes && kManyRegisters && kDotsUnsigned          ? INT64_MAX
                                           : kManyRegisters || (kType == DType::Q4_0 && kLanes == 8) ? 23
                                           : kPlanes<PrepareChunk<kType>::kBytes> == 2               ? 2 * kTileRows
                                                                                                     : 0;
    // Where dot products leave no pipes to take codes apart for each tile.
    static constexpr int64_t kPackedRowsWithoutSpare = kLightCodes && Reader::kRuns == 1 ? 23 : kTileRows;
    static constexpr bool kWantsSparePipes = kManyRegisters && kDotsUnsigned && !kAsMatrix;
    // Runs of 32 that a tile passes over at once: 9 KiB of q4_0, which the tiles of other rows then find in the caches.
    // To begin a tile costs so little that shorter chunks pay: of 64 runs, memory idled while all tiles but the first
    // passed over them, which cost steps of 8 to 16 rows up to 15 % on two threads.
    static constexpr int64_t kPackedParts = 16;

    // Parts [begin, begin + count) of the panel; begin and count in whole blocks. Asks for the lines from `ahead` to
    // `ahead_end`, some with every part.
    static QUOIN_INLINE void prepare(const std::byte* panel, int64_t begin, int64_t count, const std::byte* ahead,
                                     const std::byte* ahead_end, Chunk& chunk) {
        std::byte* bytes = chunk.bytes;
        float* scales = chunk.scales;
        float* minima = chunk.minima;
        int32_t* lacking = chunk.lacking;
        constexpr int kGroupPlanes = kPlanes<PrepareChunk<kType>::kBytes>;
        const std::byte* block = panel + begin / kParts * Place::kBytes;
        for (int64_t b = 0; b < count / kParts; ++b, block += Place::kBytes) {
            for (int64_t part = 0; part < kParts; ++part) {
                for (int64_t i = 0; i < kBytesPerPart && ahead < ahead_end; i += 64, ahead += 64) {
                    __builtin_prefetch(ahead, 0, 2);
                }
                prefetch_near<kBytesPerPart>(block + part * kBytesPerPart);
                const std::byte* const codes = block + Place::codes_at(part);
                for (int v = 0; v < kPanelVectors; ++v) {
                    Ints even_group = {};  // waits for its neighbour, where a step of PairDot takes two
                    Ints negative = {};    // see SplitBytes::add_negative()
                    PrepareChunk<kType>::template for_groups<1>(
                        codes + v * kVectorBytes, [&](auto /*vector*/, auto group, Ints w) QUOIN_LAMBDA_INLINE {
                            std::byte* const to = bytes + group * kGroupPlanes * kRowBytes + v * kVectorBytes;
                            if constexpr (kHasPairDot && group % 2 == 0) {
                                even_group = w;
                            } else if constexpr (kHasPairDot) {
                                using Pair = PairDot<PrepareChunk<kType>::kBytes>;
                                store_ints(to - kRowBytes, Pair::low_columns(even_group, w));
                                store_ints(to, Pair::high_columns(even_group, w));
                            } else if constexpr (kGroupPlanes == 2) {
                                using Split = SplitBytes<PrepareChunk<kType>::kBytes>;
                                static_assert(Reader::kRuns == 1);
                                const Split split = Split::split(w);
                                store_ints(to, split.magnitudes);
                                store_ints(to + kRowBytes, split.signs);
                                negative = split.add_negative(negative);
                                if constexpr (group == kGroups - 1) {
                                    store_ints(reinterpret_cast<std::byte*>(lacking + v * kLanes),
                                               Split::lanes(negative));
                                }
                            } else {
                                store_ints(to, w);
                            }
                        });
                    Floats scale[2];
                    Floats minimum[2];
                    Reader::read(block, part, v * kLanes, scale, minimum);
                    for (int i = 0; i < Reader::kRuns; ++i) {
                        store(scales + i * kPanelColumns + v * kLanes, scale[i]);
                        if constexpr (Reader::kMinimum) store(minima + i * kPanelColumns + v * kLanes, minimum[i]);
                    }
                }
                bytes += kGroupPlanes * kPartBytes;
                scales += Reader::kRuns * kPanelColumns;
                minima += Reader::kRuns * kPanelColumns;
                lacking += kPanelColumns;
            }
        }
    }

    // Scales of runs that are missing in the last group of activations: with them dots of 0 change no sum, not even -0.
    static QUOIN_INLINE void fill_group(int64_t parts, Chunk& chunk) {
        static_assert(Reader::kRuns == 1);
        for (; parts % (kActivationBlock / 32) != 0; ++parts) {
            for (int v = 0; v < kPanelVectors; ++v) {
                store(chunk.scales + parts * kPanelColumns + v * kLanes, broadcast(-0.0F));
                if constexpr (Reader::kMinimum) {
                    store(chunk.minima + parts * kPanelColumns + v * kLanes, broadcast(-0.0F));
                }
            }
        }
    }

    // Whether so many rows read panels side by side where the hardware follows. Codes that take more arithmetic keep
    // AVX2 busy for as long as memory needs, and rows that leave no registers for whole lines throw the prefetchers
    // off.
    static constexpr bool reads_beside(int64_t rows) {
        return kManyRegisters || (kLanes == 8 && kLightCodes && (rows <= 2 || kNibbles));
    }

    // Of one panel.
    template <int R>
    struct PanelState {
        Floats total[R][kPanelVectors];
        Floats group[R][kPanelVectors];  // of the group at hand
        typename Reader::Shared shared[kPanelVectors];
    };

    // R rows and whole panels, whose codes make no detour over memory: read from one end to the other, for a second
    // pass over other columns would find its lines in the cache and leave memory idle. kAsks: for weights ahead of
    // their use, of one panel, whose sums stay in registers (in memory they cost a quarter of the speed); else a run of
    // 32 of each panel in turn (with 128, streams follow no better than one alone).
    template <int R, bool kAsks>
    static QUOIN_INLINE void multiply_rows(const PanelChunk& chunk, int64_t panel_stride) {
        constexpr int V = kPanelVectors;
        constexpr bool kMinimum = Reader::kMinimum;
        using Prepare = PrepareNow<kType>;
        using Dot = ByteDot<Prepare::kBytes, !kMinimum>;
        constexpr int kRuns = Reader::kRuns;
        constexpr int kGroupParts = kActivationBlock / 32;
        static_assert(kParts == 1 || kParts == 2 * kGroupParts);
        PanelState<R> all[kAsks ? 1 : kPanelsBeside];
        const int64_t panels = kAsks ? 1 : chunk.panels;
        for (int64_t p = 0; p < panels; ++p) {
            for (int r = 0; r < R; ++r) {
                for (int v = 0; v < V; ++v) all[p].total[r][v] = zeros();
            }
        }
        const std::byte* group = chunk.src;
        const int64_t stride = chunk.src_stride;
        const auto add_part = [&](PanelState<R>& state, const std::byte* block, int64_t in_block,
                                  int64_t part) QUOIN_LAMBDA_INLINE {
            const std::byte* const here = block + in_block * kBytesPerPart;
            if constexpr (kAsks) {
                prefetch_far<kBytesPerPart>(here);
                prefetch_near<kBytesPerPart>(here);
            }
            // Vectors of a line together as far as there are registers: one after the other they would pass over every
            // line two or four times, which the prefetchers do not follow.
            constexpr int kTogether = kManyRegisters ? V
                                      : kLanes != 8  ? 1
                                      : R > 2        ? (kNibbles && R <= 4 ? 2 : 1)
                                      : kPlainCodes  ? V
                                                     : 2;
            for (int first = 0; first < V; first += kTogether) {
                Dot dot[R][kTogether][kRuns];
                for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
                    for_constant<kTogether>([&](auto v) QUOIN_LAMBDA_INLINE {
                        for_constant<kRuns>([&](auto i) QUOIN_LAMBDA_INLINE {
                            begin_dot<Prepare::kOffset>(dot[r][v][i], offset_of<kRuns>(group + r * stride, part, i));
                        });
                    });
                });
                Prepare::template for_groups<kTogether>(
                    block + Place::codes_at(in_block) + first * kVectorBytes,
                    [&](auto v, auto index, Ints w) QUOIN_LAMBDA_INLINE {
                        constexpr int kSteps = kGroups / kRuns;
                        for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
                            const Ints a = broadcast_quad(group + r * stride + part * 32 + 4 * index);
                            dot[r][v][index / kSteps].template step<index % kSteps, kSteps>(w, a);
                        });
                    });
                for_constant<kTogether>([&](auto v) QUOIN_LAMBDA_INLINE {
                    Floats scale[2];
                    Floats minimum[2] = {zeros(), zeros()};
                    // After the codes, since they lie behind them.
                    const int64_t column = (first + v) * kLanes;
                    if constexpr (kParts == 1) {
                        Reader::read(Reader::read_shared(block, column), block, in_block, column, scale, minimum);
                    } else {
                        Reader::read(state.shared[first + v], block, in_block, column, scale, minimum);
                    }
                    for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
                        const std::byte* const row = group + r * stride;
                        Floats sum_of_group = state.group[r][first + v];
                        for_constant<kRuns>([&](auto i) QUOIN_LAMBDA_INLINE {
                            const Floats sum = kMinimum ? sum_of_run<kRuns>(row, part, i) : zeros();
                            const Ints product = dot[r][v][i].end(offset_of<kRuns>(row, part, i), Prepare::kOffset);
                            sum_of_group = add_run<kMinimum>(sum_of_group, product, scale[i], minimum[i], sum);
                        });
                        state.group[r][first + v] = sum_of_group;
                    });
                });
            }
        };
        const std::byte* block = chunk.panel;
        const int64_t parts = chunk.values / 32;
        for (int64_t at = 0; at < parts; at += kGroupParts, group += kActivationBlockBytes) {
            for (int64_t p = 0; p < panels; ++p) {
                for (int r = 0; r < R; ++r) {
                    for (int v = 0; v < V; ++v) all[p].group[r][v] = zeros();
                }
            }
            if constexpr (kParts == 1) {
                const int64_t end = smaller(parts - at, int64_t{kGroupParts});
                for (int64_t part = 0; part < end; ++part, block += Place::kBytes) {
                    for (int64_t p = 0; p < panels; ++p) add_part(all[p], block + p * panel_stride, 0, part);
                }
            } else {
                const int64_t in_block = at % kParts;
                for (int64_t p = 0; p < panels; ++p) {
                    for (int v = 0; v < V; ++v) {
                        all[p].shared[v] = Reader::read_shared(block + p * panel_stride, v * kLanes);
                    }
                }
                for_constant<kGroupParts>([&](auto part) QUOIN_LAMBDA_INLINE {
                    for (int64_t p = 0; p < panels; ++p) {
                        add_part(all[p], block + p * panel_stride, in_block + part, part);
                    }
                });
                if (in_block != 0) block += Place::kBytes;
            }
            for (int64_t p = 0; p < panels; ++p) {
                for (int r = 0; r < R; ++r) {
                    const Floats factor = broadcast(read<float>(group + r * stride + ActivationGroup::kScale));
                    for (int v = 0; v < V; ++v) {
                        all[p].total[r][v] = fma(all[p].group[r][v], factor, all[p].total[r][v]);
                    }
                }
            }
        }
        float* sums = chunk.sums;
        for (int64_t p = 0; p < panels; ++p) {
            for (int r = 0; r < R; ++r, sums += kPanelColumns) {
                for (int v = 0; v < V; ++v) store(sums + v * kLanes, all[p].total[r][v]);
            }
        }
    }

    template <int R>
    static QUOIN_INLINE void multiply_rows_of(const PanelChunk& chunk, const LinearArgs& args) {
        if (chunk.rows == R) {
            if constexpr (reads_beside(R)) {
                // A single stream AVX-512 follows better without asking, AVX2 not.
                if (chunk.panels > 1 || (kManyRegisters && args.processor.follows_streams)) {
                    multiply_rows<R, false>(chunk, args.panel_stride);
                    return;
                }
            }
            multiply_rows<R, true>(chunk, args.panel_stride);
        } else if constexpr (R > 1) {
            multiply_rows_of<R - 1>(chunk, args);
        }
    }

    static QUOIN_INLINE const std::byte* block_at(const std::byte* panel, int64_t part) {
        return panel + part / kParts * Place::kBytes;
    }

    // What comes behind a piece of a streamed panel, or behind the chunk of all panels.
    static QUOIN_INLINE const std::byte* behind(const PanelChunk& chunk, int64_t part, int64_t ahead) {
        return chunk.rows <= kStreamedRows ? block_at(chunk.panel, part) + ahead
                                           : block_at(chunk.behind, chunk.behind_first / 32 + part - chunk.first / 32);
    }

    static QUOIN_INLINE IntegerTile tile_of(const PanelChunk& chunk, int offset) {
        IntegerTile tile = {};
        tile.offset = offset;
        tile.rows = chunk.src;
        tile.row_stride = chunk.src_stride;
        tile.sums = chunk.sums;
        return tile;
    }

    static void multiply_tiles(const PanelChunk& chunk, Chunk& prepared) {
        // With few rows short pieces, and both halves of the work ask for what comes later, so that neither leaves
        // memory idle; with many rows the tiles have time enough.
        const bool few = chunk.rows <= 2 * kTileRows;
        const int64_t most = few ? kChunkParts / 2 : kChunkParts / kPlanes<PrepareChunk<kType>::kBytes>;
        const int64_t end = (chunk.first + chunk.values) / 32;
        IntegerTile tile = tile_of(chunk, PrepareChunk<kType>::kOffset);
        tile.chunk = &prepared;
        for (int64_t part = chunk.first / 32; part < end; part += most) {
            tile.parts = smaller(end - part, most);
            // Panels follow each other, so what comes behind this piece is wanted next, also at a panel's end.
            const int64_t bytes = tile.parts / kParts * Place::kBytes;
            const std::byte* const ahead = behind(chunk, part, larger(bytes, kFarAhead));
            tile.ahead_end = ahead + bytes;
            tile.ahead = few ? ahead + bytes / 2 : ahead;
            prepare(chunk.panel, part, tile.parts, ahead, tile.ahead, prepared);
            using Kind = TileKindOf<kType, PrepareChunk<kType>>;
            if constexpr (kAsMatrix) {
                fill_group(tile.parts, prepared);
                matrix_tiles<Kind::kMinimum>(chunk.rows, tile);
            } else {
                integer_tiles<PreparedWeights<Kind>>(chunk.rows, tile);
            }
            tile.rows += most / (kActivationBlock / 32) * kActivationBlockBytes;
        }
    }

    static void multiply_packed_tiles(const PanelChunk& chunk) {
        const int64_t end = (chunk.first + chunk.values) / 32;
        IntegerTile tile = tile_of(chunk, PrepareNow<kType>::kOffset);
        for (int64_t part = chunk.first / 32; part < end; part += kPackedParts) {
            tile.parts = smaller(end - part, kPackedParts);
            tile.blocks = block_at(chunk.panel, part);
            // A single tile asks for what itself wants soon, several together for all of the next piece.
            const int64_t bytes = tile.parts / kParts * Place::kBytes;
            tile.ahead = behind(chunk, part, chunk.rows <= kTileRows ? kFarAhead : bytes);
            tile.ahead_end = tile.ahead + bytes;
            integer_tiles<PackedWeights<kType, PrepareNow<kType>>>(chunk.rows, tile);
            tile.rows += kPackedParts / (kActivationBlock / 32) * kActivationBlockBytes;
        }
    }

    using Room = Chunk;
    static constexpr DType kWeight = kType;

    static QUOIN_INLINE Pass pass(const LinearArgs& args, int64_t rows) {
        if (rows > kStreamedRows) return {kChunkParts * 32, kIntegerTask.panels};
        const bool beside = args.processor.follows_streams && rows <= kRegisterRows && reads_beside(rows);
        const int64_t panels = beside ? kPanelsBeside : 1;
        return {args.inner, panels, panels};
    }

    static QUOIN_INLINE void take(const LinearArgs& args, const std::byte* src, Room&, PanelChunk& chunk) {
        chunk.src = src + chunk.first / kActivationBlock * kActivationBlockBytes;
        chunk.src_stride = args.src_stride;
    }

    static QUOIN_INLINE void multiply(const LinearArgs& args, Room& room, const PanelChunk& chunk) {
        if (chunk.rows <= kRegisterRows) {
            multiply_rows_of<kRegisterRows>(chunk, args);
            return;
        }
        const int64_t most = kWantsSparePipes && !args.processor.spare_pipes ? kPackedRowsWithoutSpare : kPackedRows;
        if (chunk.rows <= most) {
            if constexpr (kPackedRows != 0) multiply_packed_tiles(chunk);
        } else {
            if constexpr (kPackedRows != INT64_MAX || kWantsSparePipes) multiply_tiles(chunk, room);
        }
    }
};

}  // namespace
}  // namespace quoin
