// Codes and scales of the block formats as the integer tiles want them: bytes for dot products, scales as floats.

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
constexpr ByteForm byte_form(const BlockFormat& format) {
    const ByteForm widest = {kWideBytes, kAnyBytesOffset};
    if (kWideBytes == Bytes::Any) return widest;
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

// Dot products of unsigned bytes that begin with what remains to be taken off: any power of two costs as little as 128.
constexpr bool kDotsUnsigned = kWideBytes == Bytes::Any && kAnyBytesOffset == 128;

// Whether tiles of prepared weights are products of matrices, of signed bytes (matrix_tile.inl). With a scale for every
// 16 values these would be half as deep and take as long: slower than dot products (q6_k: 0.8 of their speed).
constexpr bool is_multiplied_as_matrix(const BlockFormat& format) {
    return kHasMatrixDot && scale_values(format.scales) == 32;
}

// Adds to every number of a codebook.
constexpr Codebook shifted(Codebook values, int by) {
    for (int8_t& value : values.values) value = static_cast<int8_t>(value + by);
    return values;
}

// kKeepCodes: leave codes as they are where ByteDot can begin with any offset, instead of one offset for all formats,
// with which they share tiles.
template <DType kType, bool kKeepCodes>
struct Prepare {
    static constexpr BlockFormat kFormat = *find_block_format(kType);
    static constexpr Bytes kBytes = byte_form(kFormat).bytes;
    static constexpr int kOffset = kKeepCodes && kDotsUnsigned && !kFormat.values.used ? kFormat.offset
                                   : !kKeepCodes && is_multiplied_as_matrix(kFormat)   ? 0
                                                                                       : byte_form(kFormat).offset;
    static constexpr Codebook kNumbers = shifted(kFormat.values, kOffset);

    static QUOIN_INLINE Ints prepare(Ints codes) {
        if constexpr (kFormat.values.used) {
            return look_up(kNumbers.values, codes);
        } else if constexpr (kFormat.offset == kOffset) {
            return codes;
        } else if constexpr (kFormat.offset == 128) {
            return xor_ints(codes, broadcast_byte(0x80));
        } else {
            return add_bytes(codes, broadcast_byte(kOffset - kFormat.offset));
        }
    }

    // One group alone: for tiles whose registers have no room for a whole plane.
    template <int kGroup>
    static QUOIN_INLINE Ints group(const std::byte* rows) {
        constexpr int kLow = kFormat.low_bits;
        constexpr int kHigh = kFormat.high_bits;
        Ints codes = load_ints(rows + kGroup % kLow * kRowBytes);
        if constexpr (kLow != 8) {
            codes = and_ints(shift_words<-(kGroup / kLow * kLow)>(codes), broadcast_byte((1 << kLow) - 1));
        }
        if constexpr (kHigh != 0) {
            constexpr int kShift = kLow - kGroup / kHigh * kHigh;
            const Ints bits = shift_words<kShift>(load_ints(rows + (kLow + kGroup % kHigh) * kRowBytes));
            codes = or_ints(codes, and_ints(bits, broadcast_byte(((1 << kHigh) - 1) << kLow)));
        }
        return prepare(codes);
    }

    // use(vector, group, bytes) for the eight groups of 32 values of V vectors of columns; `rows`: lane of the first
    // column in the planes. Lines are read in the order in which they lie, for the prefetchers: the compiler would read
    // those of the high bits between those of the low ones, which cost one thread a quarter of the bandwidth (q6_k).
    // Not where registers are few and a run is a block: there the order costs more than it gives.
    template <int V, class Use>
    static QUOIN_INLINE void for_groups(const std::byte* rows, Use use) {
        constexpr int kLow = kFormat.low_bits;
        constexpr int kHigh = kFormat.high_bits;
        constexpr bool kInOrder = kLanes == 16 || block_values(kFormat.scales) > 32;
        Ints planes[kLow + kHigh][V];
        for (int p = 0; p < kLow + kHigh; ++p) {
            for (int v = 0; v < V; ++v) {
                planes[p][v] = load_ints(rows + p * kRowBytes + v * kVectorBytes);
                if constexpr (kInOrder) opaque(planes[p][v]);
            }
        }
        for_constant<8 / kLow>([&](auto part) QUOIN_LAMBDA_INLINE {
            for_constant<kLow>([&](auto row) QUOIN_LAMBDA_INLINE {
                constexpr int kGroup = row + part * kLow;
                for_constant<V>([&](auto v) QUOIN_LAMBDA_INLINE {
                    Ints codes = planes[row][v];
                    if constexpr (kLow != 8) {
                        codes = and_ints(shift_words<-(part * kLow)>(codes), broadcast_byte((1 << kLow) - 1));
                    }
                    if constexpr (kHigh != 0) {
                        constexpr int kShift = kLow - kGroup / kHigh * kHigh;
                        const Ints bits = shift_words<kShift>(planes[kLow + kGroup % kHigh][v]);
                        codes = or_ints(codes, and_ints(bits, broadcast_byte(((1 << kHigh) - 1) << kLow)));
                    }
                    use(v, Constant<kGroup>{}, prepare(codes));
                });
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
        return block + Place::scales_at(row) + column;
    }
    // What all runs of a block share, of one vector of columns; unused where a block is one run.
    struct Shared {
        Floats scale;
        Floats minimum;
    };
    static QUOIN_INLINE Shared read_shared(const std::byte* block, int64_t column) {
        Shared shared = {zeros(), zeros()};
        if constexpr (kScales != Scales::Exponent) {
            shared.scale = half(block, 0, column);
            if constexpr (Place::kFormat.unit != 1.0F) shared.scale = shared.scale * broadcast(Place::kFormat.unit);
        }
        if constexpr (kScales == Scales::HalfAndMinimum) {
            shared.minimum = half(block, 1, column);
        } else if constexpr (kMinimum) {
            shared.minimum = zeros() - half(block, 1, column);
        }
        return shared;
    }
    static QUOIN_INLINE void read(const Shared& shared, const std::byte* block, int64_t part, int64_t column,
                                  Floats* scale, Floats* minimum) {
        if constexpr (kScales == Scales::Exponent) {
            // 2^(e - 128): half of the power of two, which for e of 0 and 1 is subnormal
            const Ints e = load_bytes(byte_row(block, 0, column));
            const Ints one = broadcast_int(1);
            scale[0] = as_floats(max_ints(shift_left<23>(subtract_ints(e, one)), shift_left<21>(add_ints(e, one))));
        } else if constexpr (kScales == Scales::Half || kScales == Scales::HalfAndMinimum || kScales == Scales::One) {
            scale[0] = shared.scale;
            if constexpr (kMinimum) minimum[0] = shared.minimum;
        } else if constexpr (kScales == Scales::Sub32AndMinimum) {
            scale[0] = to_floats(load_bytes(byte_row(block, part, column))) * shared.scale;
            minimum[0] = to_floats(load_bytes(byte_row(block, 8 + part, column))) * shared.minimum;
        } else {
            for (int i = 0; i < kRuns; ++i) {
                const std::byte* const row = byte_row(block, part * kRuns + i, column);
                if constexpr (kScales == Scales::Sub16AndMinimum) {
                    const Ints both = load_bytes(row);
                    scale[i] = to_floats(and_ints(both, broadcast_int(15))) * shared.scale;
                    minimum[i] = to_floats(shift_right_arithmetic<4>(both)) * shared.minimum;
                } else {
                    scale[i] = to_floats(load_signed_bytes(row)) * shared.scale;
                }
            }
        }
    }
    static QUOIN_INLINE void read(const std::byte* block, int64_t part, int64_t column, Floats* scale,
                                  Floats* minimum) {
        read(read_shared(block, column), block, part, column, scale, minimum);
    }
};

}  // namespace
}  // namespace quoin
