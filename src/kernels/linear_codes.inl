// Linear over u2, u4 and u8 panels with scales, in f32.
//
// One order for any number of rows: the products of a block are summed from its first value to its last, beginning with
// zero; then the sum times the block's scale is added to the row's. Few rows take the codes apart in registers, many
// let a piece of a panel be widened once.

namespace quoin {
namespace {

// Up to so many rows, taking codes apart costs less than storing and loading what they stand for: those of a tile, if
// there are registers for codes beside its sums.
constexpr int64_t kFewRows = kFloatTileRows >= 12 ? kFloatTileRows : 4;
// How far ahead of their use codes are asked for, as floats are (tile.inl).
constexpr int64_t kCodesAhead = 8192;

constexpr int64_t kCodeRow = kPanelColumns * 4;  // bytes of a row of lanes

// A code below the leading bit of a float: 2^(23 - kShift) + code, exactly. `mantissa` has the code at bit kShift.
template <int kBits, int kShift>
QUOIN_INLINE Floats raised_code(Ints mantissa) {
    constexpr int32_t kMask = ((1 << kBits) - 1) << kShift;
    constexpr int32_t kExponent = (150 - kShift) << 23;
    return as_floats(or_ints(and_ints(mantissa, broadcast_int(kMask)), broadcast_int(kExponent)));
}
constexpr float raised(int shift) {
    return static_cast<float>(1 << (23 - shift));
}

// kLanes scales or zero points.
QUOIN_INLINE Floats load_parameters(DType dtype, const std::byte* parameters, int64_t index) {
    switch (dtype) {
        case DType::U8: return to_floats(load_bytes(parameters + index));
        case DType::F16: return load_f16(parameters + index * 2);
        case DType::BF16: return load_bf16(parameters + index * 2);
        default: return load(reinterpret_cast<const float*>(parameters) + index);
    }
}

// Blocks of one panel, from `codes`, `scales` and `zero_points` on, and rows of src.
struct CodeTile {
    const float* src;
    int64_t src_stride;  // floats between rows
    const std::byte* codes;
    const std::byte* scales;
    const std::byte* zero_points;
    CodeBlocks form;
    int64_t blocks;
    float* sums;  // [rows][32], read and written
};

// Of whole zero points alone: 2^(23 - shift) + zero point is exact then, and one subtraction gives code - zero point.
QUOIN_INLINE Floats zero_points_of(const CodeTile& tile, int64_t index) {
    if (tile.form.zero_points == DType::Undefined) return broadcast(static_cast<float>(tile.form.zero_point));
    return load_parameters(tile.form.zero_points, tile.zero_points, index);
}

template <int kBits, int R>
[[gnu::noinline]] void multiply_blocks(const CodeTile& tile) {
    constexpr int V = kFloatTileVectors;
    constexpr int kHalf = 16 / kBits;  // codes of half a lane
    const int64_t lane_rows = tile.form.block * kBits / 32;
    for (int64_t block = 0; block < tile.blocks; ++block) {
        for (int64_t strip = 0; strip < kPanelColumns; strip += V * kLanes) {
            Floats offsets[kHalf][V];
            Floats sum[R][V];
            for (int v = 0; v < V; ++v) {
                const Floats zero = zero_points_of(tile, block * kPanelColumns + strip + v * kLanes);
                for (int j = 0; j < kHalf; ++j) offsets[j][v] = zero + broadcast(raised(j * kBits));
                for (int r = 0; r < R; ++r) sum[r][v] = zeros();
            }
            const std::byte* lanes = tile.codes + block * lane_rows * kCodeRow + strip * 4;
            const float* src = tile.src + block * tile.form.block;
            for (int64_t row = 0; row < lane_rows; ++row, lanes += kCodeRow) {
                Ints halves[2][V];
                for (int v = 0; v < V; ++v) {
                    __builtin_prefetch(lanes + kCodesAhead + v * kVectorBytes);
                    halves[0][v] = load_ints(lanes + v * kVectorBytes);
                    halves[1][v] = shift_right_arithmetic<16>(halves[0][v]);
                }
                for (int h = 0; h < 2; ++h, src += kHalf) {
                    for_constant<kHalf>([&](auto j) QUOIN_LAMBDA_INLINE {
                        Floats weight[V];
                        for (int v = 0; v < V; ++v) {
                            weight[v] = raised_code<kBits, j * kBits>(halves[h][v]) - offsets[j][v];
                        }
                        for (int r = 0; r < R; ++r) {
                            const Floats a = broadcast(src[r * tile.src_stride + j]);
                            for (int v = 0; v < V; ++v) sum[r][v] = fma(a, weight[v], sum[r][v]);
                        }
                    });
                }
            }
            for (int v = 0; v < V; ++v) {
                const int64_t column = strip + v * kLanes;
                const Floats scale = load_parameters(tile.form.scales, tile.scales, block * kPanelColumns + column);
                for (int r = 0; r < R; ++r) {
                    float* const total = tile.sums + r * kPanelColumns + column;
                    store(total, fma(sum[r][v], scale, load(total)));
                }
            }
        }
    }
}

template <int kBits, int R>
QUOIN_INLINE void multiply_blocks_of(int64_t rows, const CodeTile& tile) {
    if (rows == R) {
        multiply_blocks<kBits, R>(tile);
    } else if constexpr (R > 1) {
        multiply_blocks_of<kBits, R - 1>(rows, tile);
    }
}

// Some blocks as floats, not yet scaled: values [k][32]. kWhole: the zero points are whole numbers.
template <int kBits, bool kWhole>
[[gnu::noinline]] void widen_blocks(const CodeTile& tile, float* values, float* scales) {
    constexpr int kHalf = 16 / kBits;
    const int64_t lane_rows = tile.form.block * kBits / 32;
    for (int64_t block = 0; block < tile.blocks; ++block) {
        for (int64_t column = 0; column < kPanelColumns; column += kLanes) {
            const int64_t index = block * kPanelColumns + column;
            store(scales + index, load_parameters(tile.form.scales, tile.scales, index));
            const Floats zero = zero_points_of(tile, index);
            Floats offsets[kHalf];
            for (int j = 0; j < kHalf; ++j) offsets[j] = (kWhole ? zero : zeros()) + broadcast(raised(j * kBits));
            const std::byte* lanes = tile.codes + block * lane_rows * kCodeRow + column * 4;
            float* dst = values + block * tile.form.block * kPanelColumns + column;
            for (int64_t row = 0; row < lane_rows; ++row, lanes += kCodeRow) {
                const Ints low = load_ints(lanes);
                const Ints halves[2] = {low, shift_right_arithmetic<16>(low)};
                for (int h = 0; h < 2; ++h) {
                    for_constant<kHalf>([&](auto j) QUOIN_LAMBDA_INLINE {
                        const Floats code = raised_code<kBits, j * kBits>(halves[h]) - offsets[j];
                        store(dst, kWhole ? code : code - zero);
                        dst += kPanelColumns;
                    });
                }
            }
        }
    }
}

// Widened blocks times rows.
struct ScaledTile {
    const float* src;
    int64_t src_stride;  // floats between rows
    int64_t inner;       // values of all blocks; the last block may have fewer than the others
    int64_t block;
    const float* values;  // [inner][32]
    const float* scales;  // [blocks][32]
    float* sums;          // [rows][32], read and written
};

template <int R>
[[gnu::noinline]] void multiply_scaled(const ScaledTile& tile) {
    constexpr int V = kFloatTileVectors;
    const float* scales = tile.scales;
    for (int64_t first = 0; first < tile.inner; first += tile.block, scales += kPanelColumns) {
        const int64_t end = smaller(first + tile.block, tile.inner);
        Floats sum[R][V];
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < V; ++v) sum[r][v] = zeros();
        }
        const float* src = tile.src + first;
        const float* values = tile.values + first * kPanelColumns;
        for (int64_t k = first; k < end; ++k, ++src, values += kPanelColumns) {
            Floats weight[V];
            for (int v = 0; v < V; ++v) weight[v] = load(values + v * kLanes);
            for (int r = 0; r < R; ++r) {
                const Floats a = broadcast(src[r * tile.src_stride]);
                for (int v = 0; v < V; ++v) sum[r][v] = fma(a, weight[v], sum[r][v]);
            }
        }
        for (int v = 0; v < V; ++v) {
            const Floats scale = load(scales + v * kLanes);
            for (int r = 0; r < R; ++r) {
                float* const total = tile.sums + r * kPanelColumns + v * kLanes;
                store(total, fma(sum[r][v], scale, load(total)));
            }
        }
    }
}

template <int R>
QUOIN_INLINE void multiply_scaled_of(int64_t rows, const ScaledTile& tile) {
    if (rows == R) {
        multiply_scaled<R>(tile);
    } else if constexpr (R > 1) {
        multiply_scaled_of<R - 1>(rows, tile);
    }
}

QUOIN_INLINE void multiply_scaled_rows(int64_t rows, const ScaledTile& whole) {
    const int64_t tiles = (rows + kFloatTileRows - 1) / kFloatTileRows;
    for (int64_t strip = 0; strip < kPanelColumns; strip += kFloatTileVectors * kLanes) {
        ScaledTile tile = whole;
        tile.values += strip;
        tile.scales += strip;
        tile.sums += strip;
        int64_t left = rows;
        for (int64_t t = tiles; t > 0; --t) {  // tiles of nearly equal height
            const int64_t height = (left + t - 1) / t;
            multiply_scaled_of<kFloatTileRows>(height, tile);
            tile.src += height * tile.src_stride;
            tile.sums += height * kPanelColumns;
            left -= height;
        }
    }
}

template <DType kCodes>
struct CodePanels {
    struct Room {
        alignas(64) float copy[kCopyFloats];
        alignas(64) float values[kMostCodeBlock * kPanelColumns];
        alignas(64) float scales[kMostCodeBlock / 16 * kPanelColumns];
    };
    static constexpr DType kWeight = kCodes;
    static QUOIN_INLINE Pass pass(const LinearArgs& args, int64_t rows) {
        return float_pass(rows, args.codes.block, 1);
    }
    static QUOIN_INLINE void take(const LinearArgs& args, const std::byte* src, Room& room, PanelChunk& chunk) {
        take_floats(args, src, args.codes.block, room.copy, chunk);
    }
    static QUOIN_INLINE void multiply(const LinearArgs& args, Room& room, const PanelChunk& chunk) {
        constexpr int kBits = static_cast<int>(code_bits(kCodes));
        const CodePanel parts = code_panel(kCodes, args.codes, args.inner);
        const int64_t block = args.codes.block;
        const int64_t blocks = (chunk.values + block - 1) / block;
        const auto advance = [&](CodeTile& tile, int64_t values) QUOIN_LAMBDA_INLINE {
            tile.codes += values * kBits / 32 * kCodeRow;
            tile.scales += values / block * kPanelColumns * parameter_bytes(args.codes.scales);
            tile.zero_points += values / block * kPanelColumns * parameter_bytes(args.codes.zero_points);
        };
        CodeTile tile = {};
        tile.src = reinterpret_cast<const float*>(chunk.src);
        tile.src_stride = chunk.src_stride / 4;
        tile.codes = chunk.panel;
        tile.scales = chunk.panel + parts.scales_at;
        tile.zero_points = chunk.panel + parts.zero_points_at;
        tile.form = args.codes;
        tile.blocks = blocks;
        tile.sums = chunk.sums;
        advance(tile, chunk.first);
        const bool whole = args.codes.zero_points == DType::Undefined || args.codes.zero_points == DType::U8;
        if (chunk.rows <= kFewRows && whole) {
            multiply_blocks_of<kBits, kFewRows>(chunk.rows, tile);
            return;
        }
        const int64_t step = kMostCodeBlock / block;
        for (int64_t first = 0; first < blocks; first += step) {
            tile.blocks = smaller(step, blocks - first);
            if (whole) {
                widen_blocks<kBits, true>(tile, room.values, room.scales);
            } else {
                widen_blocks<kBits, false>(tile, room.values, room.scales);
            }
            ScaledTile scaled = {};
            scaled.src = tile.src;
            scaled.src_stride = tile.src_stride;
            scaled.inner = smaller(step * block, chunk.values - first * block);
            scaled.block = block;
            scaled.values = room.values;
            scaled.scales = room.scales;
            scaled.sums = chunk.sums;
            multiply_scaled_rows(chunk.rows, scaled);
            tile.src += step * block;
            advance(tile, step * block);
        }
    }
};

void linear_u2(const LinearArgs& args) {
    linear<CodePanels<DType::U2>>(args);
}
void linear_u4(const LinearArgs& args) {
    linear<CodePanels<DType::U4>>(args);
}
void linear_u8(const LinearArgs& args) {
    linear<CodePanels<DType::U8>>(args);
}

}  // namespace
}  // namespace quoin
