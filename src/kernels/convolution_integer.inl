// Convolution of 8-bit integers: patches and panels as in convolution.inl, four values of inner at a time. Every
// instruction set adds the same products, none in 16 bits: where there is no dot product of bytes, pairs of 16-bit
// numbers are multiplied.

namespace quoin {
namespace {

// Patches are unsigned bytes, except where the dot product wants them signed.
constexpr bool kSignedPatches = kDotsAnyBytes && kAnyBytesOffset == 0;

struct BytePatches {
    using Element = std::byte;

    std::byte* dst;
    unsigned flip;  // 0x80 turns signed bytes into unsigned ones or back
    std::byte padding;

    QUOIN_INLINE void copy(const std::byte* src, int64_t count, std::byte* to) const {
        const uint64_t mask = 0x0101010101010101U * flip;
        if (count >= 8) {
            for (int64_t i = 0; i + 8 <= count; i += 8) write(to + i, read<uint64_t>(src + i) ^ mask);
            write(to + count - 8, read<uint64_t>(src + count - 8) ^ mask);
        } else if (count >= 4) {
            write(to, read<uint32_t>(src) ^ static_cast<uint32_t>(mask));
            write(to + count - 4, read<uint32_t>(src + count - 4) ^ static_cast<uint32_t>(mask));
        } else {
            for (int64_t i = 0; i < count; ++i) to[i] = src[i] ^ static_cast<std::byte>(flip);
        }
    }
    QUOIN_INLINE void pad(int64_t count, std::byte* to) const {
        __builtin_memset(to, static_cast<int>(padding), static_cast<size_t>(count));
    }
};

constexpr int kByteTileRows = kDotsAnyBytes || kLanes == 16 ? kFloatTileRows : 4;
constexpr int kByteTileVectors = 2;

struct ByteTile {
    const std::byte* src;
    int64_t src_stride;
    int64_t quads;             // of inner
    const std::byte* weights;  // [quads][32][4]
    const std::byte* start;    // int32 [R][32]
    int64_t start_stride;      // bytes: 128, or 0 for the same in all rows
    std::byte* sums;           // int32 [R][32]
    bool flip;                 // the source's signs; only with kDotsAnyBytes
};

// kFlip: signed bytes of a source that is read where it lies become unsigned ones.
template <int R, int V, bool kFlip>
[[gnu::noinline]] void byte_tile(const ByteTile& tile) {
    Ints sum[R][V];
    for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
        const std::byte* const start = tile.start + r * tile.start_stride;
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { sum[r][v] = load_ints(start + v * kVectorBytes); });
    });
    const std::byte* w = tile.weights;
    const std::byte* src = tile.src;
    const int64_t stride = tile.src_stride;
    for (int64_t quad = tile.quads; quad > 0; --quad, w += kPanelColumns * 4, src += 4) {
        if constexpr (kDotsAnyBytes) {
            Ints weight[V];
            for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE { weight[v] = load_ints(w + v * kVectorBytes); });
            for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
                Ints a = broadcast_quad(src + r * stride);
                if constexpr (kFlip) a = xor_ints(a, broadcast_byte(128));
                for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                    ByteDot<(R > 0 ? Bytes::Any : Bytes::Signed), false> dot;
                    dot.state = sum[r][v];
                    dot.any_step(a, weight[v]);
                    sum[r][v] = dot.state;
                });
            });
        } else {
            Ints even[V];
            Ints odd[V];
            for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                const Ints weight = load_ints(w + v * kVectorBytes);
                even[v] = shift_words_arithmetic<8>(shift_words<8>(weight));
                odd[v] = shift_words_arithmetic<8>(weight);
            });
            for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
                const Ints a = broadcast_quad(src + r * stride);
                const Ints even_a = and_ints(a, broadcast_int(0x00FF00FF));
                const Ints odd_a = shift_words<-8>(a);
                for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                    sum[r][v] = pair_dot(pair_dot(sum[r][v], even_a, even[v]), odd_a, odd[v]);
                });
            });
        }
    }
    std::byte* const sums = tile.sums;
    for_constant<R>([&](auto r) QUOIN_LAMBDA_INLINE {
        for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
            store_ints(sums + r * (kPanelColumns * 4) + v * kVectorBytes, sum[r][v]);
        });
    });
}

template <int R, int V>
QUOIN_INLINE void byte_tile_of(int64_t rows, const ByteTile& tile) {
    if (rows == R) {
        if (kDotsAnyBytes && tile.flip) {
            byte_tile<R, V, kDotsAnyBytes>(tile);
        } else {
            byte_tile<R, V, false>(tile);
        }
    } else if constexpr (R > 1) {
        byte_tile_of<R - 1, V>(rows, tile);
    }
}

// What the epilogue of a panel needs.
struct BytePanel {
    alignas(64) std::byte start[kPanelColumns * 4];  // bias - zero point * sum of the column's weights
    const EpiloguePart* part;                        // for F32
    const int32_t* zero_points;                      // of the panel's columns, or null
    const int32_t* row_sums;                         // of patches, less inner * zero point, with zero_points
    int64_t column;
    int64_t columns;
    const int64_t* dst_offsets;  // of the rows
    const int64_t* residual_offsets;
};

// Rows of sums as bytes. Everything stands in locals: stores of bytes might change whatever memory holds.
QUOIN_INLINE void store_byte_rows(const IntegerConvolutionArgs& args, const IntegerFinish& finish,
                                  const BytePanel& panel, int64_t first, int64_t rows, const std::byte* sums) {
    const Floats low = broadcast(finish.low);
    const Floats high = broadcast(finish.high);
    const Ints shift = broadcast_int(finish.shift);
    const unsigned flip = finish.flip;
    const int64_t* const offsets = panel.dst_offsets + first;
    for (int64_t c = 0; c < panel.columns; c += kLanes) {
        const int64_t n = smaller(panel.columns - c, kLanes);
        const float* const scales = finish.scales + panel.column + c;
        const Floats scale = load_some(scales, n);
        std::byte* const dst = args.dst + panel.column + c;
        const auto store_row = [&](int64_t r, int64_t count) QUOIN_LAMBDA_INLINE {
            const Floats scaled = to_floats(load_ints(sums + r * (kPanelColumns * 4) + c * 4)) * scale;
            const Floats x = minimum(high, maximum(low, scaled));
            store_bytes_first(dst + offsets[r], add_ints(round_to_ints(x), shift), count, flip);
        };
        if (n == kLanes) {
            for (int64_t r = 0; r < rows; ++r) store_row(r, kLanes);
        } else {
            for (int64_t r = 0; r < rows; ++r) store_row(r, n);
        }
    }
}

QUOIN_INLINE void finish_byte_rows(const IntegerConvolutionArgs& args, const IntegerFinish& finish,
                                   const BytePanel& panel, int64_t first, int64_t rows, std::byte* sums) {
    const int64_t bytes = result_bytes(args.result);
    if (bytes == 1 && panel.zero_points == nullptr) {
        store_byte_rows(args, finish, panel, first, rows, sums);
        return;
    }
    for (int64_t r = 0; r < rows; ++r, sums += kPanelColumns * 4) {
        if (panel.zero_points != nullptr) {
            for (int64_t c = 0; c < panel.columns; ++c) {
                const uint32_t product =
                    static_cast<uint32_t>(panel.zero_points[c]) * static_cast<uint32_t>(panel.row_sums[first + r]);
                write(sums + c * 4, read<uint32_t>(sums + c * 4) - product);
            }
        }
        std::byte* const dst = args.dst + (panel.dst_offsets[first + r] + panel.column) * bytes;
        if (args.result != IntegerResult::F32) {
            for (int64_t c = 0; c < panel.columns; c += kLanes) {
                finish.store_sums(panel.column + c, smaller(panel.columns - c, kLanes), load_ints(sums + c * 4),
                                  dst + c * bytes);
            }
            continue;
        }
        alignas(64) float values[kPanelColumns];
        for (int64_t c = 0; c < panel.columns; c += kLanes) {
            const int64_t n = smaller(panel.columns - c, kLanes);
            store(values + c, finish.scaled(panel.column + c, n, load_ints(sums + c * 4)) + load(panel.part->bias + c));
        }
        const float* const residual = args.epilogue.residual == nullptr
                                          ? nullptr
                                          : args.epilogue.residual + panel.residual_offsets[first + r] + panel.column;
        finish_row(*panel.part, 0, values, residual, reinterpret_cast<float*>(dst));
    }
}

QUOIN_INLINE void byte_panel(const IntegerConvolutionArgs& args, const IntegerFinish& finish, const BytePanel& panel,
                             const ByteTile& block, int64_t rows, bool last, bool keep) {
    const int64_t vectors = (panel.columns + kLanes - 1) / kLanes;
    ByteTile tile = block;
    const int64_t tiles = (rows + kByteTileRows - 1) / kByteTileRows;
    int64_t first = 0;
    for (int64_t t = tiles; t > 0; --t) {
        const int64_t height = (rows - first + t - 1) / t;
        for (int64_t v = 0; v < vectors;) {
            const int64_t width = v + kByteTileVectors <= vectors ? kByteTileVectors : 1;
            ByteTile one = tile;
            one.weights += v * kVectorBytes;
            one.start += v * kVectorBytes;
            one.sums += v * kVectorBytes;
            if (width == kByteTileVectors) {
                byte_tile_of<kByteTileRows, kByteTileVectors>(height, one);
            } else {
                byte_tile_of<kByteTileRows, 1>(height, one);
            }
            v += width;
        }
        if (last) finish_byte_rows(args, finish, panel, first, height, tile.sums);
        tile.src += height * tile.src_stride;
        tile.start += height * tile.start_stride;
        if (keep) tile.sums += height * kPanelColumns * 4;
        first += height;
    }
}

void convolution_integer(const IntegerConvolutionArgs& args) {
    if (args.count <= 0 || args.columns <= 0) return;
    const int64_t inner = args.window.taps() * args.channels;
    const int64_t part_inner = integer_convolution_block_inner(inner);
    const int64_t block_rows = integer_convolution_block_rows(inner, args.columns);
    const int64_t blocks = (args.count + block_rows - 1) / block_rows;
    const int64_t height = ((args.count + blocks - 1) / blocks + 11) / 12 * 12;
    const int64_t patch_stride = integer_convolution_patch_stride(part_inner);
    const unsigned flip = args.src_signed == kSignedPatches ? 0 : 0x80;
    // Of the bytes as they stand in patches.
    const int32_t zero_point = flip == 0         ? args.src_zero_point
                               : args.src_signed ? args.src_zero_point + 128
                                                 : args.src_zero_point - 128;
    const auto padding = static_cast<std::byte>(zero_point & 255);
    const int64_t plain_stride = plain_row_stride(args.window);
    const bool all_plain = plain_stride != 0 && plain_stride % 2048 != 0 && (flip == 0 || kDotsAnyBytes) &&
                           args.weight_zero_points == nullptr;
    // A quad that ends behind its row meets weights of zero there, but must not reach behind the last row, which may be
    // the end of the memory.
    const int64_t behind = (inner + 3) / 4 * 4 - inner;
    const int64_t plain_end =
        !all_plain ? 0 : larger(args.window.outputs() - (behind + plain_stride - 1) / plain_stride, int64_t{0});
    const int64_t panels = panel_count(args.columns);
    std::byte* const sums = args.scratch + block_rows * patch_stride;
    const IntegerFinish finish(args);

    int64_t dst_offsets[kConvolutionRows];
    int64_t residual_offsets[kConvolutionRows];
    int32_t row_sums[kConvolutionRows];
    alignas(64) std::byte tile_sums[kByteTileRows * kPanelColumns * 4];
    int64_t rows = 0;
    for (int64_t row = 0; row < args.count; row += rows) {
        rows = smaller(args.count - row, height);
        const int64_t first = args.first + row;
        const bool plain = first < plain_end;
        if (plain) rows = smaller(rows, plain_end - first);
        collect_offsets(args.window, args.dst_stride, first, rows, dst_offsets);
        if (args.epilogue.residual != nullptr) {
            collect_offsets(args.window, args.epilogue.residual_stride, first, rows, residual_offsets);
        }
        if (args.weight_zero_points != nullptr) {
            for (int64_t r = 0; r < rows; ++r) row_sums[r] = wrapped(-inner * zero_point);
        }
        // Without anything to sum, the bias alone makes the result.
        const int64_t step = larger<int64_t>(plain ? inner : part_inner, 1);
        for (int64_t k = 0; k == 0 || k < inner; k += step) {
            const int64_t length = smaller(inner - k, step);
            ByteTile tile = {};
            tile.quads = (length + 3) / 4;
            if (plain) {
                tile.src = args.src + source_offset(args.window, Position(args.window, first));
                tile.src_stride = plain_stride;
                tile.flip = flip != 0;
            } else if (inner > 0) {
                collect_patches(BytePatches{args.scratch, flip, padding}, args.window, args.channels, args.src, first,
                                rows, k, k + length, patch_stride);
                tile.src = args.scratch;
                tile.src_stride = patch_stride;
            }
            if (args.weight_zero_points != nullptr) {
                for (int64_t r = 0; r < rows; ++r) {
                    const std::byte* const patch = args.scratch + r * patch_stride;
                    int32_t sum = 0;
                    for (int64_t i = 0; i < length; ++i) {
                        sum += kSignedPatches ? static_cast<int8_t>(patch[i]) : static_cast<int32_t>(patch[i]);
                    }
                    row_sums[r] = wrapped(int64_t{row_sums[r]} + sum);
                }
            }
            const bool begin = k == 0;
            const bool last = k + length == inner;
            const bool whole = begin && last;
            for (int64_t number = 0; number < panels; ++number) {
                const std::byte* const weights = args.weights + number * args.panel_stride;
                const std::byte* const weight_sums = weights + (inner + 3) / 4 * kPanelColumns * 4;
                BytePanel panel;
                panel.column = number * kPanelColumns;
                panel.columns = smaller(args.columns - panel.column, kPanelColumns);
                const EpiloguePart part(args.epilogue, panel.column,
                                        args.result == IntegerResult::F32 ? panel.columns : 0);
                panel.part = &part;
                panel.zero_points =
                    args.weight_zero_points == nullptr ? nullptr : args.weight_zero_points + panel.column;
                panel.row_sums = row_sums;
                panel.dst_offsets = dst_offsets;
                panel.residual_offsets = residual_offsets;
                for (int64_t c = 0; c < kPanelColumns; ++c) {
                    const int64_t bias = args.bias != nullptr && c < panel.columns ? args.bias[panel.column + c] : 0;
                    write(panel.start + c * 4,
                          wrapped(bias - int64_t{zero_point} * read<int32_t>(weight_sums + c * 4)));
                }
                tile.weights = weights + k * kPanelColumns;
                tile.sums = whole ? tile_sums : sums + number * height * kPanelColumns * 4;
                tile.start = begin ? panel.start : tile.sums;
                tile.start_stride = begin ? 0 : kPanelColumns * 4;
                byte_panel(args, finish, panel, tile, rows, last, !whole);
            }
        }
    }
}

QUOIN_INLINE void pack_bytes(const std::byte* src, int64_t columns, int64_t channels, int64_t taps, unsigned flip,
                             std::byte* panel) {
    const int64_t inner = taps * channels;
    int32_t sums[kPanelColumns] = {};
    for (int64_t k = 0; k < (inner + 3) / 4 * 4; ++k) {
        for (int64_t c = 0; c < kPanelColumns; ++c) {
            std::byte value{};
            if (k < inner && c < columns) {
                value = src[(c * channels + k % channels) * taps + k / channels] ^ static_cast<std::byte>(flip);
            }
            panel[(k / 4 * kPanelColumns + c) * 4 + k % 4] = value;
            sums[c] += static_cast<int8_t>(value);
        }
    }
    __builtin_memcpy(panel + (inner + 3) / 4 * kPanelColumns * 4, sums, sizeof(sums));
}
void pack_convolution_s8(const std::byte* src, int64_t columns, int64_t channels, int64_t taps, std::byte* panel) {
    pack_bytes(src, columns, channels, taps, 0, panel);
}
void pack_convolution_u8(const std::byte* src, int64_t columns, int64_t channels, int64_t taps, std::byte* panel) {
    pack_bytes(src, columns, channels, taps, 0x80, panel);
}

}  // namespace
}  // namespace quoin
