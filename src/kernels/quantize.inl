// Activations to Q8Row.

namespace quoin {
namespace {

void quantize_q8_row(const float* src, int64_t count, std::byte* dst) {
    constexpr int kVectors = static_cast<int>(kActivationBlock / kLanes);
    constexpr int32_t kInfinityBits = 0x7F800000;
    const int64_t blocks = count / kActivationBlock;
    for (int64_t b = 0; b < blocks; ++b, src += kActivationBlock, dst += kActivationBlockBytes) {
        Floats x[kVectors];
        // The largest magnitude by its bits, so that infinity and NaN come out on top.
        Ints bits = broadcast_int(0);
        for (int v = 0; v < kVectors; ++v) {
            x[v] = load(src + v * kLanes);
            bits = max_ints(bits, as_ints(absolute(x[v])));
        }
        const int32_t magnitude = largest_int(bits);
        float scale = __builtin_bit_cast(float, magnitude) / 127.0F;
        const bool finite = magnitude < kInfinityBits;
        // Below the smallest normal the quotient loses bits and may overflow: such a block is zero.
        const bool zero = !finite || scale < 0x1p-126F;
        if (zero) scale = finite ? 0.0F : __builtin_nanf("");
        Ints sum = broadcast_int(0);
        const Floats divisor = broadcast(zero ? 1.0F : scale);
        for (int v = 0; v < kVectors; ++v) {
            const Ints q = zero ? broadcast_int(0) : round_to_ints(x[v] / divisor);
            sum = add_ints(sum, q);
            store_as_bytes(dst + 8 + v * kLanes, q);
        }
        write<float>(dst, scale);
        write<int32_t>(dst + 4, -128 * sum_ints(sum));
    }
}

}  // namespace
}  // namespace quoin
