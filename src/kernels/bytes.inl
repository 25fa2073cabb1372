// Some of a vector's bytes.

namespace quoin {
namespace {

// The words that only some instruction sets have are looked up when Vector is known.
template <class Vector>
QUOIN_INLINE Vector load_lanes_first(const std::byte* p, int64_t n, bool is_signed) {
    if constexpr (kHasByteMasks) {
        Vector x;
        load_first_bytes(x, p, n);
        return low_bytes(x, is_signed);
    } else {
        std::byte bytes[kLanes] = {};
        for (int64_t i = 0; i < n; ++i) bytes[i] = p[i];
        return is_signed ? load_signed_bytes(bytes) : load_bytes(bytes);
    }
}
template <class Vector>
QUOIN_INLINE void store_lanes_first(std::byte* p, Vector x, int64_t n, unsigned flip) {
    if constexpr (kHasByteMasks) {
        store_first_lanes_as_bytes(p, x, n, flip);
    } else {
        alignas(16) std::byte bytes[kLanes];
        store_as_bytes(bytes, x);
        for (int64_t i = 0; i < kLanes; i += 4) write(bytes + i, read<uint32_t>(bytes + i) ^ (flip * 0x01010101U));
        if (n == kLanes) {
            __builtin_memcpy(p, bytes, kLanes);
        } else {
            for (int64_t i = 0; i < n; ++i) p[i] = bytes[i];
        }
    }
}

// n bytes, the rest zero.
QUOIN_INLINE Ints load_bytes_first(const std::byte* p, int64_t n, bool is_signed) {
    if (n == kLanes) return is_signed ? load_signed_bytes(p) : load_bytes(p);
    return load_lanes_first<Ints>(p, n, is_signed);
}
// Lanes -128..127 as bytes with `flip` (0 or 128) exclusive-ored: 128 makes value + 128 unsigned.
QUOIN_INLINE void store_bytes_first(std::byte* p, Ints x, int64_t n, unsigned flip) {
    store_lanes_first(p, x, n, flip);
}

}  // namespace
}  // namespace quoin
