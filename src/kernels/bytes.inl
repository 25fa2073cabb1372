// Some of a vector's bytes.

namespace quoin {
namespace {

// n bytes, the rest zero.
QUOIN_INLINE Ints load_bytes_first(const std::byte* p, int64_t n, bool is_signed) {
    if (n == kLanes) return is_signed ? load_signed_bytes(p) : load_bytes(p);
    std::byte bytes[kLanes] = {};
    for (int64_t i = 0; i < n; ++i) bytes[i] = p[i];
    return is_signed ? load_signed_bytes(bytes) : load_bytes(bytes);
}
// Lanes -128..127 as bytes with `flip` (0 or 128) exclusive-ored: 128 makes value + 128 unsigned.
QUOIN_INLINE void store_bytes_first(std::byte* p, Ints x, int64_t n, unsigned flip) {
    alignas(16) std::byte bytes[kLanes];
    store_as_bytes(bytes, x);
    for (int64_t i = 0; i < kLanes; i += 4) write(bytes + i, read<uint32_t>(bytes + i) ^ (flip * 0x01010101U));
    if (n == kLanes) {
        __builtin_memcpy(p, bytes, kLanes);
    } else {
        for (int64_t i = 0; i < n; ++i) p[i] = bytes[i];
    }
}

}  // namespace
}  // namespace quoin
