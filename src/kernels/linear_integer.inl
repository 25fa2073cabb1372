// Linear over the block formats: int32 dot products of runs of 32 or 16 values, then
//   group += float(dot) * scale (+ minimum * sum of the run),   result += group * scale of the activations' group.
// The codes of a panel are first made bytes that the dot product takes ("prepared": block_format.h says what they mean,
// simd.h which form this instruction set wants). For up to three rows that happens in registers on the way; for more, a
// chunk of the panel is prepared in the first-level cache and all rows pass over it.

namespace quoin {
namespace {

// ---- Codes to prepared bytes ----------------------------------------------------------------------------------

constexpr int kGroups = 8;  // of four K each in a run of 32
constexpr int64_t kRowBytes = kPanelColumns * 4;

// How a format's bytes meet the dot product, and what remains to be taken off the sum of products, as a part of Q8Row's
// offsets (-128 x sums). Unsigned numbers up to a limit and wider ones differ only where a dot product can overflow.
struct ByteForm {
    Bytes bytes;
    int offset;
};
constexpr ByteForm byte_form(const BlockFormat& format, Bytes wide) {
    const ByteForm widest = {wide, wide == Bytes::Any ? kAnyBytesOffset : wide == Bytes::Nibbles ? 128 : 0};
    if (wide == Bytes::Any) return widest;
    if (format.values.used) {
        int magnitude = 0;  // -magnitude .. magnitude - 1
        for (const int8_t value : format.values.values) {
            const int needed = value < 0 ? -value : value + 1;
            magnitude = needed > magnitude ? needed : magnitude;
        }
        return magnitude <= 16   ? ByteForm{Bytes::UpTo31, 16}
               : magnitude <= 32 ? ByteForm{Bytes::UpTo63, 32}
               : magnitude <= 64 ? ByteForm{Bytes::UpTo127, 64}
                                 : widest;
    }
    if (format.low_bits == 8) return widest;
    const int bits = format.low_bits + format.high_bits;
    return {bits <= 4 ? Bytes::UpTo15 : bits == 5 ? Bytes::UpTo31 : Bytes::UpTo63, format.offset};
}

// kWide: the form of bytes that have all 8 bits.
template <DType kType, Bytes kWide>
struct Prepare {
    static constexpr BlockFormat kFormat = *find_block_format(kType);
    static constexpr Bytes kBytes = byte_form(kFormat, kWide).bytes;
    static constexpr int kOffset = byte_form(kFormat, kWide).offset;

    static QUOIN_INLINE Ints prepare(Ints codes) {
        if constexpr (kFormat.values.used) {
            const Ints number = look_up(kFormat.values.values, codes);
            return kOffset == 0 ? number : add_bytes(number, broadcast_byte(kOffset));
        } else if constexpr (kFormat.offset == kOffset) {
            return codes;
        } else if constexpr (kFormat.offset == 128) {
            return xor_ints(codes, broadcast_byte(0x80));
        } else {
            return add_bytes(codes, broadcast_byte(kOffset - kFormat.offset));
        }
    }

    // use(group, bytes) for the eight groups of 32 values in their order; `rows`: lane of the first column in the
    // planes.
    template <class Use>
    static QUOIN_INLINE void for_groups(const std::byte* rows, Use use) {
        constexpr int kLow = kFormat.low_bits;
        constexpr int kHigh = kFormat.high_bits;
        Ints high[kHigh == 0 ? 1 : kHigh];
        for (int p = 0; p < kHigh; ++p) high[p] = load_ints(rows + (kLow + p) * kRowBytes);
        Ints low[kLow];
        for (int p = 0; p < kLow; ++p) low[p] = load_ints(rows + p * kRowBytes);
        for_constant<8 / kLow>([&](auto part) QUOIN_LAMBDA_INLINE {
            for_constant<kLow>([&](auto row) QUOIN_LAMBDA_INLINE {
                constexpr int kGroup = row + part * kLow;
                Ints codes = low[row];
                if constexpr (kLow != 8) {
                    codes = and_ints(shift_words<-(part * kLow)>(codes), broadcast_byte((1 << kLow) - 1));
                }
                if constexpr (kHigh != 0) {
                    constexpr int kShift = kLow - kGroup / kHigh * kHigh;
                    const Ints bits = shift_words<kShift>(high[kGroup % kHigh]);
                    codes = or_ints(codes, and_ints(bits, broadcast_byte(((1 << kHigh) - 1) << kLow)));
                }
                use(Constant<kGroup>{}, prepare(codes));
            });
        });
    }
};

// ---- Scales ---------------------------------------------------------------------------------------------------

// Those of one vector of columns for the run of 32 number `part` of a block; two when they are for every 16.
template <DType kType>
struct ScaleReader {
    using Place = PanelBlock<kType>;
    static constexpr Scales kScales = Place::kFormat.scales;
    static constexpr int kRuns = static_cast<int>(32 / scale_values(kScales));
    static constexpr bool kMinimum = has_minimum(kScales);

    static QUOIN_INLINE Floats half(const std::byte* block, int64_t row, int64_t column) {
        return load_f16(block + Place::kHalvesAt + (row * kPanelColumns + column) * 2);
    }
    static QUOIN_INLINE const std::byte* byte_row(const std::byte* block, int64_t row, int64_t column) {
        return block + Place::kScalesAt + row * kPanelColumns + column;
    }
    static QUOIN_INLINE void read(const std::byte* block, int64_t part, int64_t column, Floats* scale,
                                  Floats* minimum) {
        if constexpr (kScales == Scales::Exponent) {
            // 2^(e - 128): half of the power of two, which for e of 0 and 1 is subnormal
            const Ints e = load_bytes(byte_row(block, 0, column));
            const Ints one = broadcast_int(1);
            scale[0] = as_floats(max_ints(shift_left<23>(subtract_ints(e, one)), shift_left<21>(add_ints(e, one))));
            return;
        } else {
            Floats whole = half(block, 0, column);
            if constexpr (Place::kFormat.unit != 1.0F) whole = whole * broadcast(Place::kFormat.unit);
            if constexpr (kScales == Scales::Half || kScales == Scales::One) {
                scale[0] = whole;
            } else if constexpr (kScales == Scales::HalfAndMinimum) {
                scale[0] = whole;
                minimum[0] = half(block, 1, column);
            } else if constexpr (kScales == Scales::Sub32 || kScales == Scales::Sub16) {
                for (int i = 0; i < kRuns; ++i) {
                    scale[i] = to_floats(load_signed_bytes(byte_row(block, part * kRuns + i, column))) * whole;
                }
            } else if constexpr (kScales == Scales::Sub32AndMinimum) {
                const Floats lowest = zeros() - half(block, 1, column);
                scale[0] = to_floats(load_bytes(byte_row(block, part, column))) * whole;
                minimum[0] = to_floats(load_bytes(byte_row(block, 8 + part, column))) * lowest;
            } else {
                const Floats lowest = zeros() - half(block, 1, column);
                for (int i = 0; i < kRuns; ++i) {
                    const Ints both = load_bytes(byte_row(block, part * kRuns + i, column));
                    scale[i] = to_floats(and_ints(both, broadcast_int(15))) * whole;
                    minimum[i] = to_floats(shift_right_arithmetic<4>(both)) * lowest;
                }
            }
        }
    }
};

// ---- Tiles ----------------------------------------------------------------------------------------------------

// What a tile must know of a format; tiles are shared by all formats that agree in it.
template <Bytes kBytesForm, int kRunCount, bool kWithMinimum>
struct TileKind {
    static constexpr Bytes kBytes = kBytesForm;
    static constexpr int kRuns = kRunCount;  // with a scale of their own in 32 values
    static constexpr bool kMinimum = kWithMinimum;
};
template <DType kType, class Prepare>
using TileKindOf = TileKind<Prepare::kBytes, ScaleReader<kType>::kRuns, ScaleReader<kType>::kMinimum>;

// For many rows, and for few, where splitting bytes costs more than it saves.
constexpr int64_t kManyRows = 24;
template <DType kType>
using PrepareMany = Prepare<kType, kWideBytes>;
template <DType kType>
using PrepareFew = Prepare<kType, kWideBytes == Bytes::Nibbles ? Bytes::Signed : kWideBytes>;

// Runs of 32 prepared in the first-level cache: 16 KiB of bytes (32 in two planes) and their scales.
constexpr int64_t kChunkParts = 16;
constexpr int64_t kPartBytes = 32 * kPanelColumns;

struct Chunk {
    alignas(64) std::byte bytes[kChunkParts * kPartBytes * planes_of(kWideBytes)];
    alignas(64) float scales[kChunkParts * 2 * kPanelColumns];
    alignas(64) float minima[kChunkParts * 2 * kPanelColumns];
};

struct IntegerTile {
    const Chunk* chunk;
    int64_t column;         // first column of the tile in the panel
    int64_t parts;          // runs of 32
    int offset;             // see Prepare::kOffset
    const std::byte* rows;  // group of the first Q8Row that belongs to the chunk's first part
    int64_t row_stride;     // bytes
    float* sums;            // [R][32]
    // Weights of a later chunk: every part asks for so many lines of them, so that memory works while arithmetic does.
    const std::byte* ahead;
    const std::byte* ahead_end;
    int64_t ahead_lines;
};

// Where the offset and the sum of run `run` of part `part` of a group lie.
template <int kRuns>
QUOIN_INLINE const std::byte* offset_of(const std::byte* group, int64_t part, int run) {
    return kRuns == 1 ? group + ActivationGroup::kOffsets32 + part * 4
                      : group + ActivationGroup::kOffsets16 + part * 8 + run * 4;
}
template <int kRuns>
QUOIN_INLINE Floats sum_of_run(const std::byte* group, int64_t part, int run) {
    return broadcast(kRuns == 1 ? quoin::read<float>(group + ActivationGroup::kSums32 + part * 4)
                                : quoin::read<float>(group + ActivationGroup::kSums16 + part * 8 + run * 4));
}

// One order of operations for tiles and single rows; begin_run() is add_run() to zero, bit by bit.
template <bool kMinimum>
QUOIN_INLINE Floats begin_run(Ints dot, Floats scale, Floats minimum, Floats sum) {
    const Floats acc = to_floats(dot) * scale;
    return kMinimum ? fma(minimum, sum, acc) : acc;
}
template <bool kMinimum>
QUOIN_INLINE Floats add_run(Floats acc, Ints dot, Floats scale, Floats minimum, Floats sum) {
    acc = fma(to_floats(dot), scale, acc);
    if constexpr (kMinimum) acc = fma(minimum, sum, acc);
    return acc;
}

template <int R, int V, class Kind>
[[gnu::noinline]] void integer_tile(const IntegerTile& tile) {
    using Dot = ByteDot<Kind::kBytes, !Kind::kMinimum>;
    constexpr int kRuns = Kind::kRuns;
    constexpr int kPlanes = planes_of(Kind::kBytes);
    constexpr int64_t kGroupParts = kActivationBlock / 32;
    const std::byte* bytes = tile.chunk->bytes + tile.column * 4;
    const float* scales = tile.chunk->scales + tile.column;
    const float* minima = tile.chunk->minima + tile.column;
    const std::byte* group = tile.rows;
    const int64_t stride = tile.row_stride;
    const int offset = tile.offset;
    const std::byte* ahead = tile.ahead;
    for (int64_t left = tile.parts; left > 0; left -= kGroupParts, group += kActivationBlockBytes) {
        Floats acc[R][V];
        // The first run of a group begins the sum: without it the zeros cost the tile 2 % of its speed.
        const auto add_part = [&](int64_t part, auto first) QUOIN_LAMBDA_INLINE {
            for (int64_t i = tile.ahead_lines; i > 0; --i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
            for_constant<kRuns>([&](auto run) QUOIN_LAMBDA_INLINE {
                Dot dot[R][V];
                for (int r = 0; r < R; ++r) {
                    for (int v = 0; v < V; ++v) dot[r][v].begin(offset_of<kRuns>(group + r * stride, part, run));
                }
                for_constant<kGroups / kRuns>([&](auto step) QUOIN_LAMBDA_INLINE {
                    constexpr int kGroup = run * (kGroups / kRuns) + step;
                    Ints w[V][kPlanes];
                    for (int v = 0; v < V; ++v) {
                        for (int p = 0; p < kPlanes; ++p) {
                            w[v][p] = load_ints(bytes + (kGroup * kPlanes + p) * kRowBytes + v * kVectorBytes);
                        }
                    }
                    for (int r = 0; r < R; ++r) {
                        const Ints a = broadcast_quad(group + r * stride + part * 32 + 4 * kGroup);
                        for (int v = 0; v < V; ++v) dot[r][v].template step<step, kGroups / kRuns>(w[v], a);
                    }
                });
                Floats scale[V];
                Floats minimum[V];
                for (int v = 0; v < V; ++v) {
                    scale[v] = load(scales + run * kPanelColumns + v * kLanes);
                    minimum[v] = Kind::kMinimum ? load(minima + run * kPanelColumns + v * kLanes) : zeros();
                }
                for (int r = 0; r < R; ++r) {
                    const std::byte* const row = group + r * stride;
                    const Floats sum = Kind::kMinimum ? sum_of_run<kRuns>(row, part, run) : zeros();
                    for (int v = 0; v < V; ++v) {
                        const Ints total = dot[r][v].end(offset_of<kRuns>(row, part, run), offset);
                        if constexpr (first && run == 0) {
                            acc[r][v] = begin_run<Kind::kMinimum>(total, scale[v], minimum[v], sum);
                        } else {
                            acc[r][v] = add_run<Kind::kMinimum>(acc[r][v], total, scale[v], minimum[v], sum);
                        }
                    }
                }
            });
            bytes += kPlanes * kPartBytes;
            scales += kRuns * kPanelColumns;
            minima += kRuns * kPanelColumns;
        };
        const int64_t parts = smaller(left, kGroupParts);
        add_part(0, Constant<1>{});
        for (int64_t part = 1; part < parts; ++part) add_part(part, Constant<0>{});
        for (int r = 0; r < R; ++r) {
            const Floats factor = broadcast(read<float>(group + r * stride + ActivationGroup::kScale));
            for (int v = 0; v < V; ++v) {
                float* const sum = tile.sums + r * kPanelColumns + v * kLanes;
                store(sum, fma(acc[r][v], factor, load(sum)));
            }
        }
    }
}

template <int R, int V, class Kind>
QUOIN_INLINE void integer_tile_of(int64_t rows, const IntegerTile& tile) {
    if (rows == R) {
        integer_tile<R, V, Kind>(tile);
    } else if constexpr (R > 1) {
        integer_tile_of<R - 1, V, Kind>(rows, tile);
    }
}

constexpr int64_t kFewTiles = 4;

template <class Kind>
[[gnu::noinline]] void integer_tiles(int64_t rows, const IntegerTile& whole) {
    // A tile of two planes has two integer accumulators where others have one.
    constexpr int kVectors = kIntegerTileVectors / planes_of(Kind::kBytes);
    const int64_t tiles = (rows + kIntegerTileRows - 1) / kIntegerTileRows;
    for (int64_t v = 0; v < kPanelVectors; v += kVectors) {
        IntegerTile tile = whole;
        tile.column = v * kLanes;
        tile.sums += tile.column;
        // All tiles of the first strip together ask for everything: few tiles with every part, many between them.
        const int64_t lines = v == 0 ? (tile.ahead_end - tile.ahead + 63) / 64 : 0;
        const int64_t between = tiles > kFewTiles ? (lines + tiles - 1) / tiles : 0;
        tile.ahead_lines = tiles > kFewTiles ? 0 : (lines + tiles * tile.parts - 1) / (tiles * tile.parts);
        int64_t left = rows;
        for (int64_t t = tiles; t > 0; --t) {  // tiles of nearly equal height
            const int64_t height = (left + t - 1) / t;
            if (tile.ahead >= tile.ahead_end) tile.ahead_lines = 0;
            for (int64_t i = 0; i < between; ++i) __builtin_prefetch(tile.ahead + i * 64, 0, 2);
            integer_tile_of<kIntegerTileRows, kVectors, Kind>(height, tile);
            tile.rows += height * tile.row_stride;
            tile.sums += height * kPanelColumns;
            tile.ahead += (between + tile.ahead_lines * tile.parts) * 64;
            left -= height;
        }
    }
}

// ---- Panels ---------------------------------------------------------------------------------------------------

// How far ahead of their use weights are asked for: far into the second-level cache, near into the first. Alone the
// hardware follows a stream only to the end of a page and with too few lines on the way; measured on one and on two
// threads, 0.79 of the bandwidth without, 0.88 with one of them, 0.95 with both.
constexpr int64_t kFarAhead = 8192;
constexpr int64_t kNearAhead = 2304;

template <int64_t kBytes>
QUOIN_INLINE void ask_far_ahead(const std::byte* at) {
    for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(at + kFarAhead + i, 0, 2);
}
template <int64_t kBytes>
QUOIN_INLINE void ask_near_ahead(const std::byte* at) {
    for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(at + kNearAhead + i, 0, 3);
}

// Rows for which codes are prepared in registers: once more for every row costs less than a detour over the cache.
constexpr int64_t kRegisterRows = 3;

template <DType kType>
struct IntegerPanel {
    using Place = PanelBlock<kType>;
    using Reader = ScaleReader<kType>;
    static constexpr int64_t kParts = Place::kValues / 32;  // of a block
    static constexpr int64_t kBytesPerPart = Place::kBytes / kParts;

    // Parts [begin, begin + count) of the panel; begin and count in whole blocks. Asks for the lines from `ahead` to
    // `ahead_end`, some with every part.
    template <class Prepare>
    static QUOIN_INLINE void prepare(const std::byte* panel, int64_t begin, int64_t count, const std::byte* ahead,
                                     const std::byte* ahead_end, Chunk& chunk) {
        constexpr int kPlanes = planes_of(Prepare::kBytes);
        std::byte* bytes = chunk.bytes;
        float* scales = chunk.scales;
        float* minima = chunk.minima;
        const std::byte* block = panel + begin / kParts * Place::kBytes;
        for (int64_t b = 0; b < count / kParts; ++b, block += Place::kBytes) {
            for (int64_t part = 0; part < kParts; ++part) {
                for (int64_t i = 0; i < kBytesPerPart && ahead < ahead_end; i += 64, ahead += 64) {
                    __builtin_prefetch(ahead, 0, 2);
                }
                ask_near_ahead<kBytesPerPart>(block + part * kBytesPerPart);
                const std::byte* const codes = block + part * Place::kCodeBytes;
                for (int v = 0; v < kPanelVectors; ++v) {
                    Prepare::for_groups(codes + v * kVectorBytes, [&](auto group, Ints w) QUOIN_LAMBDA_INLINE {
                        std::byte* const to = bytes + group * kPlanes * kRowBytes + v * kVectorBytes;
                        if constexpr (kPlanes == 2) {
                            const Ints nibble = broadcast_byte(15);
                            store_ints(to, and_ints(w, nibble));
                            store_ints(to + kRowBytes, and_ints(shift_words<-4>(w), nibble));
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
                bytes += kPlanes * kPartBytes;
                scales += Reader::kRuns * kPanelColumns;
                minima += Reader::kRuns * kPanelColumns;
            }
        }
    }

    // Where the hardware follows a stream by itself (LinearArgs::hardware_follows), one row leaves it alone if blocks
    // are short: scales at the end of long ones are touched too early for it.
    static constexpr bool kShortBlocks = Place::kBytes < 1024;

    // R rows and V vectors of columns, without a detour over memory.
    template <int R, int V, bool kAsk>
    static QUOIN_INLINE void multiply_rows(const std::byte* panel, int64_t column, int64_t parts, const std::byte* rows,
                                           int64_t stride, float* sums) {
        constexpr bool kMinimum = Reader::kMinimum;
        using Prepare = PrepareFew<kType>;
        using Dot = ByteDot<Prepare::kBytes, !kMinimum>;
        constexpr int kRuns = Reader::kRuns;
        constexpr int64_t kGroupParts = kActivationBlock / 32;
        Floats total[R][V];
        Floats acc[R][V];
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < V; ++v) total[r][v] = acc[r][v] = zeros();
        }
        const std::byte* block = panel;
        const std::byte* group = rows;
        for (int64_t at = 0; at < parts; ++at) {
            const int64_t in_block = at % kParts;
            const int64_t part = at % kGroupParts;
            if (kAsk && column == 0) {
                ask_far_ahead<kBytesPerPart>(block + in_block * kBytesPerPart);
                ask_near_ahead<kBytesPerPart>(block + in_block * kBytesPerPart);
            }
            for (int v = 0; v < V; ++v) {
                const int64_t first_column = column + v * kLanes;
                Dot dot[R][kRuns];
                for (int r = 0; r < R; ++r) {
                    for (int i = 0; i < kRuns; ++i) dot[r][i].begin(offset_of<kRuns>(group + r * stride, part, i));
                }
                Prepare::for_groups(block + in_block * Place::kCodeBytes + first_column * 4,
                                    [&](auto index, Ints w) QUOIN_LAMBDA_INLINE {
                                        constexpr int kSteps = kGroups / kRuns;
                                        for (int r = 0; r < R; ++r) {
                                            const Ints a = broadcast_quad(group + r * stride + part * 32 + 4 * index);
                                            dot[r][index / kSteps].template step<index % kSteps, kSteps>(&w, a);
                                        }
                                    });
                Floats scale[2];
                Floats minimum[2] = {zeros(), zeros()};
                Reader::read(block, in_block, first_column, scale, minimum);
                for (int r = 0; r < R; ++r) {
                    const std::byte* const row = group + r * stride;
                    for (int i = 0; i < kRuns; ++i) {
                        const Floats sum = kMinimum ? sum_of_run<kRuns>(row, part, i) : zeros();
                        const Ints product = dot[r][i].end(offset_of<kRuns>(row, part, i), Prepare::kOffset);
                        acc[r][v] = add_run<kMinimum>(acc[r][v], product, scale[i], minimum[i], sum);
                    }
                }
            }
            if (in_block == kParts - 1) block += Place::kBytes;
            if (part == kGroupParts - 1 || at == parts - 1) {
                for (int r = 0; r < R; ++r) {
                    const Floats factor = broadcast(read<float>(group + r * stride + ActivationGroup::kScale));
                    for (int v = 0; v < V; ++v) {
                        total[r][v] = fma(acc[r][v], factor, total[r][v]);
                        acc[r][v] = zeros();
                    }
                }
                group += kActivationBlockBytes;
            }
        }
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < V; ++v) store(sums + r * kPanelColumns + column + v * kLanes, total[r][v]);
        }
    }

    template <int R>
    static QUOIN_INLINE void multiply_rows_of(int64_t rows, const std::byte* panel, const LinearArgs& args,
                                              const std::byte* src, float* sums) {
        if (rows == R) {
            for (int64_t v = 0; v < kPanelVectors; v += kIntegerTileVectors) {
                const int64_t parts = args.inner / 32;
                if (R == 1 && kShortBlocks && args.hardware_follows) {
                    multiply_rows<R, kIntegerTileVectors, R != 1>(panel, v * kLanes, parts, src, args.src_stride, sums);
                } else {
                    multiply_rows<R, kIntegerTileVectors, true>(panel, v * kLanes, parts, src, args.src_stride, sums);
                }
            }
        } else if constexpr (R > 1) {
            multiply_rows_of<R - 1>(rows, panel, args, src, sums);
        }
    }

    template <class Prepare>
    static void multiply_tiles(const LinearArgs& args, const std::byte* panel, const std::byte* src, int64_t rows,
                               float* sums) {
        const int64_t parts = args.inner / 32;
        // With few rows short chunks, and both halves of the work ask for what comes later, so that neither leaves
        // memory idle; with many rows the tiles have time enough.
        const bool few = rows <= 2 * kIntegerTileRows;
        const int64_t chunk_parts = few ? kChunkParts / 2 : kChunkParts;
        Chunk chunk;
        IntegerTile tile = {};
        tile.chunk = &chunk;
        tile.offset = Prepare::kOffset;
        tile.rows = src;
        tile.row_stride = args.src_stride;
        tile.sums = sums;
        for (int64_t begin = 0; begin < parts; begin += chunk_parts) {
            tile.parts = smaller(parts - begin, chunk_parts);
            // Panels follow each other, so what comes behind this chunk is wanted next, also at a panel's end.
            const int64_t bytes = tile.parts / kParts * Place::kBytes;
            const std::byte* const ahead = panel + begin / kParts * Place::kBytes + larger(bytes, kFarAhead);
            tile.ahead_end = ahead + bytes;
            tile.ahead = few ? ahead + bytes / 2 : ahead;
            prepare<Prepare>(panel, begin, tile.parts, ahead, tile.ahead, chunk);
            integer_tiles<TileKindOf<kType, Prepare>>(rows, tile);
            tile.rows += chunk_parts / (kActivationBlock / 32) * kActivationBlockBytes;
        }
    }

    static void accumulate(const LinearArgs& args, const std::byte* panel, const std::byte* src, int64_t rows,
                           float* sums) {
        if (rows <= kRegisterRows) {
            multiply_rows_of<kRegisterRows>(rows, panel, args, src, sums);
        } else if (rows < kManyRows) {
            multiply_tiles<PrepareFew<kType>>(args, panel, src, rows, sums);
        } else {
            multiply_tiles<PrepareMany<kType>>(args, panel, src, rows, sums);
        }
    }
};

}  // namespace
}  // namespace quoin
