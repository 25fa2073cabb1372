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

// 1 / (1 + e^-u) within 4.1 ulp, in half the time of a division; 0 below -88.5.
template <class Vector>
QUOIN_INLINE Vector fast_sigmoid_of(Vector u) {
    const Vector limit = broadcast(88.5F);
    const Vector bounded = minimum(limit, maximum(zeros() - limit, u));
    const Vector scale = broadcast(-1.44269504F);  // e^-u = 2^(scale u), in two parts
    const Vector n = round_floats(bounded * scale);
    const Vector f = fma(bounded, broadcast(-1.92596299e-8F), fma(bounded, scale, zeros() - n));
    // 2^f from -1/2 to 1/2 within 7.5e-8 of it
    Vector p = broadcast(0x1.5c08f4p-10F);
    p = fma(p, f, broadcast(0x1.3d0c5ep-7F));
    p = fma(p, f, broadcast(0x1.c6b6e6p-5F));
    p = fma(p, f, broadcast(0x1.ebf918p-3F));
    p = fma(p, f, broadcast(0x1.62e428p-1F));
    p = fma(p, f, broadcast(0x1.000002p+0F));
    const Vector d = broadcast(1.0F) + scale_by_powers(p, n);
    const Vector near = near_reciprocal(d);
    const Vector sigmoid = fma(near, fma(zeros() - d, near, broadcast(1.0F)), near);
    return select_less(u, zeros() - limit, zeros(), sigmoid);
}
// x * sigmoid(u) within 5 ulp, for x that is finite where the sigmoid may be 0; what is smaller than 3e-37 may become
// zero.
template <class Vector>
QUOIN_INLINE Vector times_sigmoid(Vector x, Vector u) {
    if constexpr (kHasExponents) {
        return x * fast_sigmoid_of(u);
    } else {
        return x / (broadcast(1.0F) + exp_of(zeros() - u));
    }
}
// x sigmoid(alpha x). Of -infinity the limit: -0, or -infinity where alpha is negative.
QUOIN_INLINE Floats swish_of(Floats x, float alpha) {
    const Floats least = broadcast(alpha < 0 ? -kInfinity : -kLargestFloat);
    return times_sigmoid(maximum(least, x), broadcast(alpha) * x);
}
QUOIN_INLINE Floats gelu_tanh_of(Floats x) {
    // 0.5 x (1 + tanh(v)) = x sigmoid(2 v), v = sqrt(2 / pi) (x + 0.044715 x^3)
    const Floats cube = x * x * x;
    const Floats u = broadcast(1.5957691216F) * fma(broadcast(0.044715F), cube, x);
    return times_sigmoid(maximum(broadcast(-kLargestFloat), x), u);  // -0 of -infinity
}

QUOIN_INLINE Floats relu_of(Floats x) {
    return maximum(zeros(), x);
}
QUOIN_INLINE Floats leaky_relu_of(Floats x, Floats slope) {
    return select_less(x, zeros(), slope * x, x);
}
// NaN stays; `high` where the bounds contradict each other.
QUOIN_INLINE Floats clip_of(Floats x, Floats low, Floats high) {
    return minimum(high, maximum(low, x));
}
QUOIN_INLINE Floats hard_sigmoid_of(Floats x, Floats alpha, Floats beta) {
    return clip_of(fma(alpha, x, beta), zeros(), broadcast(1.0F));
}
// Of -infinity the limit, -0.
QUOIN_INLINE Floats hard_swish_of(Floats x) {
    const Floats gate = hard_sigmoid_of(x, broadcast(1.0F / 6.0F), broadcast(0.5F));
    return maximum(broadcast(-kLargestFloat), x) * gate;
}

// 1 / (1 + e^-x)
QUOIN_INLINE Floats sigmoid_of(Floats x) {
    return broadcast(1.0F) / (broadcast(1.0F) + exp_of(zeros() - x));
}

// e^x - 1, small arguments included.
QUOIN_INLINE Floats expm1_of(Floats x) {
    Floats p = broadcast(1.9875691500e-4F);
    p = fma(p, x, broadcast(1.3981999507e-3F));
    p = fma(p, x, broadcast(8.3334519073e-3F));
    p = fma(p, x, broadcast(4.1665795894e-2F));
    p = fma(p, x, broadcast(1.6666665459e-1F));
    p = fma(p, x, broadcast(5.0000001201e-1F));
    return select_less(absolute(x), broadcast(0.34F), fma(p, x * x, x), exp_of(x) - broadcast(1.0F));
}
// Elu and Selu: above x, below (e^x - 1) where negative.
QUOIN_INLINE Floats elu_of(Floats x, Floats below, Floats above) {
    return select_less(x, zeros(), below * expm1_of(x), above * x);
}

// Natural logarithm, within 2 ulp; -infinity for 0, NaN below.
QUOIN_INLINE Floats log_of(Floats argument) {
    const Floats smallest_normal = broadcast(0x1p-126F);
    const Floats x = select_less(argument, smallest_normal, argument * broadcast(0x1p23F), argument);
    // x = 2^n m with m from sqrt(1/2) to sqrt(2)
    const Ints offset = broadcast_int(0x3F3504F3);
    const Ints distance = subtract_ints(as_ints(x), offset);
    const Floats power = to_floats(shift_right_arithmetic<23>(distance));
    const Ints fraction = and_ints(distance, broadcast_int(0x007FFFFF));
    const Floats r = as_floats(add_ints(fraction, offset)) - broadcast(1.0F);
    const Floats n = select_less(argument, smallest_normal, power - broadcast(23.0F), power);
    Floats p = broadcast(0x1.145a62p-4F);
    p = fma(p, r, broadcast(-0x1.de41d4p-4F));
    p = fma(p, r, broadcast(0x1.e6f25ap-4F));
    p = fma(p, r, broadcast(-0x1.fc214ep-4F));
    p = fma(p, r, broadcast(0x1.23373ep-3F));
    p = fma(p, r, broadcast(-0x1.555c50p-3F));
    p = fma(p, r, broadcast(0x1.99a4b8p-3F));
    p = fma(p, r, broadcast(-0x1.000006p-2F));
    p = fma(p, r, broadcast(0x1.555548p-2F));
    const Floats square = r * r;
    Floats y = fma(p * r, square, n * broadcast(-2.12194440e-4F));
    y = fma(square, broadcast(-0.5F), y);
    y = fma(n, broadcast(0.693359375F), r + y);
    y = select_less(argument, broadcast(0x1p-149F), broadcast(-kInfinity), y);
    const Floats not_a_number = broadcast(__builtin_nanf(""));
    y = select_less(argument, zeros(), not_a_number, y);
    // infinity and NaN stay
    return select_less(argument, broadcast(kInfinity), y, argument);
}

// log(1 + x) for x from 0 to 1.
QUOIN_INLINE Floats log1p_of(Floats x) {
    const Floats sum = broadcast(1.0F) + x;
    return log_of(sum) + (x - (sum - broadcast(1.0F))) / sum;
}

// log(1 + e^x)
QUOIN_INLINE Floats softplus_of(Floats x) {
    const Floats positive = select_less(x, zeros(), zeros(), x);
    return positive + log1p_of(exp_of(zeros() - absolute(x)));
}

// The complement of the error function for x >= 0; its relative error grows with x^2.
QUOIN_INLINE Floats erfc_of(Floats x) {
    const Floats u = broadcast(1.0F) / fma(broadcast(0.45F), x, broadcast(1.0F));
    Floats p = broadcast(0x1.6a338ap-4F);
    p = fma(p, u, broadcast(-0x1.4707d8p-2F));
    p = fma(p, u, broadcast(0x1.51a414p-2F));
    p = fma(p, u, broadcast(-0x1.e78a06p-5F));
    p = fma(p, u, broadcast(0x1.e53232p-3F));
    p = fma(p, u, broadcast(0x1.b6bdb8p-3F));
    p = fma(p, u, broadcast(0x1.060c30p-2F));
    p = fma(p, u, broadcast(0x1.03cef2p-2F));
    p = fma(p, u, broadcast(0x1.8d395ep-18F));
    return p * exp_of(zeros() - x * x);
}
// The error function for |x| below 0.95.
QUOIN_INLINE Floats erf_near_zero(Floats x) {
    const Floats square = x * x;
    Floats p = broadcast(0x1.574ef0p-14F);
    p = fma(p, square, broadcast(-0x1.a88dd0p-11F));
    p = fma(p, square, broadcast(0x1.549676p-8F));
    p = fma(p, square, broadcast(-0x1.b80964p-6F));
    p = fma(p, square, broadcast(0x1.ce2dccp-4F));
    p = fma(p, square, broadcast(-0x1.812742p-2F));
    p = fma(p, square, broadcast(0x1.20dd76p+0F));
    return x * p;
}
QUOIN_INLINE Floats erf_of(Floats x) {
    const Floats magnitude = absolute(x);
    const Floats large = copy_sign(broadcast(1.0F) - erfc_of(magnitude), x);
    return select_less(magnitude, broadcast(0.9F), erf_near_zero(x), large);
}
// x times the distribution function of the normal distribution.
QUOIN_INLINE Floats gelu_of(Floats x) {
    const Floats bounded = maximum(broadcast(-15.0F), x);  // the result is 0 there
    const Floats scaled = bounded * broadcast(0.70710678F);
    const Floats magnitude = absolute(scaled);
    const Floats tail = broadcast(0.5F) * erfc_of(magnitude);
    const Floats large = select_less(scaled, zeros(), tail, broadcast(1.0F) - tail);
    const Floats near = fma(broadcast(0.5F), erf_near_zero(scaled), broadcast(0.5F));
    return bounded * select_less(magnitude, broadcast(0.9F), near, large);
}

// x tanh(log(1 + e^x)); the fraction is 1 from 20 on.
QUOIN_INLINE Floats mish_of(Floats x) {
    const Floats bounded = maximum(broadcast(-100.0F), x);
    const Floats e = exp_of(minimum(broadcast(20.0F), bounded));
    const Floats n = e * (e + broadcast(2.0F));
    return bounded * (n / (n + broadcast(2.0F)));
}

}  // namespace
}  // namespace quoin
