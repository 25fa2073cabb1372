// Loops over rows of any length.

namespace quoin {
namespace {

template <class Function>
QUOIN_INLINE void for_vectors(int64_t count, Function function) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) function(i, kLanes);
    if (i < count) function(i, count - i);
}
QUOIN_INLINE Floats load_some(const float* p, int64_t n) {
    return n == kLanes ? load(p) : load_first(p, n);
}
QUOIN_INLINE void store_some(float* p, Floats x, int64_t n) {
    if (n == kLanes) {
        store(p, x);
    } else {
        store_first(p, x, n);
    }
}

}  // namespace
}  // namespace quoin
