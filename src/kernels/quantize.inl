// Activations to Q8Row.

namespace quoin {
namespace {

void quantize_q8_row(const float* src, int64_t count, std::byte* dst) {
    constexpr int64_t kParts = kActivationBlock / 32;
    constexpr int32_t kInfinityBits = 0x7F800000;
    for (; count > 0; count -= kActivationBlock, src += kActivationBlock, dst += kActivationBlockBytes) {
        const int64_t parts = smaller(count / 32, kParts);
        // The largest magnitude by its bits, so that infinity and NaN come out on top.
        Ints bits = broadcast_int(0);
        for (int64_t i = 0; i < parts * 32; i += kLanes) bits = max_ints(bits, as_ints(absolute(load(src + i))));
        const int32_t magnitude = largest_int(bits);
        float scale = __builtin_bit_cast(float, magnitude) / 127.0F;
        const bool finite = magnitude < kInfinityBits;
        // Below the smallest normal the quotient loses bits and may overflow: such a group is zero.
        const bool zero = !finite || scale < 0x1p-126F;
        if (zero) scale = finite ? 0.0F : __builtin_nanf("");
        const Floats steps = broadcast(zero ? 0.0F : 1.0F / scale);
        for (int64_t part = 0; part < kParts; ++part) {
            const bool empty = zero || part >= parts;
            int32_t halves[2] = {};
            for (int half = 0; half < 2; ++half) {
                Ints sum = broadcast_int(0);
                for (int64_t i = part * 32 + half * 16; i < part * 32 + half * 16 + 16; i += kLanes) {
                    const Ints q = empty ? broadcast_int(0) : round_to_ints(load(src + i) * steps);
                    sum = add_ints(sum, q);
                    store_as_bytes(dst + ActivationGroup::kValues + i, q);
                }
                halves[half] = sum_ints(sum);
                write<int32_t>(dst + ActivationGroup::kOffsets16 + (part * 2 + half) * 4, -128 * halves[half]);
                write<float>(dst + ActivationGroup::kSums16 + (part * 2 + half) * 4, static_cast<float>(halves[half]));
            }
            const int32_t sum = halves[0] + halves[1];
            write<int32_t>(dst + ActivationGroup::kOffsets32 + part * 4, -128 * sum);
            write<float>(dst + ActivationGroup::kSums32 + part * 4, static_cast<float>(sum));
        }
        write<float>(dst + ActivationGroup::kScale, scale);
    }
}

}  // namespace
}  // namespace quoin
