// Functions on vectors of floats: exp, tanh, and the activations made of them.

namespace quoin {
namespace {

constexpr float kInfinity = __builtin_huge_valf();
constexpr float kLargestFloat = 0x1.fffffep127F;

// Within 2 ulp; 0 below -104, infinity above 88.8, NaN for NaN.
QUOIN_INLINE Floats exp_of(Floats argument) {
    const Floats x = minimum(broadcast(89.0F), maximum(broadcast(-110.0F), argument));
    const Ints n = round_to_ints(x * broadcast(1.44269504F));
    const Floats nf = to_floats(n);
    // x - n ln 2, with ln 2 in two parts so that the first product is exact.
    const Floats r = fma(nf, broadcast(2.12194440e-4F), fma(nf, broadcast(-0.693359375F), x));
    Floats p = broadcast(1.9875691500e-4F);
    p = fma(p, r, broadcast(1.3981999507e-3F));
    p = fma(p, r, broadcast(8.3334519073e-3F));
    p = fma(p, r, broadcast(4.1665795894e-2F));
    p = fma(p, r, broadcast(1.6666665459e-1F));
    p = fma(p, r, broadcast(5.0000001201e-1F));
    const Floats y = fma(p, r * r, r) + broadcast(1.0F);
    // 2^n in two factors: n runs from -159 to 128, more than one exponent holds.
    const Ints half = shift_right_arithmetic<1>(n);
    const Ints bias = broadcast_int(127);
    const Floats first = as_floats(shift_left<23>(add_ints(half, bias)));
    const Floats second = as_floats(shift_left<23>(add_ints(subtract_ints(n, half), bias)));
    return y * first * second;
}

// Within 3 ulp, small arguments included.
QUOIN_INLINE Floats tanh_of(Floats x) {
    const Floats magnitude = absolute(x);
    const Floats square = x * x;
    Floats p = broadcast(-5.70498872745e-3F);
    p = fma(p, square, broadcast(2.06390887954e-2F));
    p = fma(p, square, broadcast(-5.37397155531e-2F));
    p = fma(p, square, broadcast(1.33314422036e-1F));
    p = fma(p, square, broadcast(-3.33332819422e-1F));
    const Floats small = fma(p * square, x, x);
    const Floats one = broadcast(1.0F);
    const Floats large = one - broadcast(2.0F) / (exp_of(magnitude + magnitude) + one);
    return select_less(magnitude, broadcast(0.625F), small, copy_sign(large, x));
}

// x * sigmoid(2 u); the numerator is kept finite so that -inf gives -0 as the limit does.
QUOIN_INLINE Floats times_sigmoid(Floats x, Floats u) {
    return maximum(broadcast(-kLargestFloat), x) / (broadcast(1.0F) + exp_of(zeros() - u));
}
QUOIN_INLINE Floats silu_of(Floats x) {
    return times_sigmoid(x, x);
}
QUOIN_INLINE Floats gelu_tanh_of(Floats x) {
    // 0.5 x (1 + tanh(v)) = x sigmoid(2 v), v = sqrt(2 / pi) (x + 0.044715 x^3)
    const Floats cube = x * x * x;
    return times_sigmoid(x, broadcast(1.5957691216F) * fma(broadcast(0.044715F), cube, x));
}

}  // namespace
}  // namespace quoin
