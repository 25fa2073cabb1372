#include <limits>

#include "kernel_test.h"

namespace quoin::test {
namespace {

const std::vector<int64_t> kCounts = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 172, 2048};

double silu_of(double x) {
    return x / (1 + std::exp(-x));
}
// 0.5 x (1 + tanh(v)), written without its cancellation for negative x.
double gelu_of(double x) {
    return x / (1 + std::exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
}
// |got - want| in units of the last place of want, one unit of the smallest normal for results near zero.
double ulps(float got, double want) {
    if (std::isinf(want) || std::fabs(want) > static_cast<double>(std::numeric_limits<float>::max())) {
        return std::isinf(got) && (got > 0) == (want > 0) ? 0 : 1e9;
    }
    const double unit = std::max(std::ldexp(1.0, std::ilogb(want == 0 ? 1e-300 : want) - 23), 0x1p-126);
    return std::fabs(static_cast<double>(got) - want) / unit;
}

TEST_CASE("elementwise kernels agree with double precision", "[kernels]") {
    Random random(21);
    for (const Isa isa : machine_isas()) {
        const KernelTable& t = kernels(isa);
        for (const int64_t count : kCounts) {
            std::vector<float> a = random.normals(count);
            std::vector<float> b = random.normals(count);
            for (float& x : a) x *= 6;
            std::vector<float> sum(a.size()), product(a.size()), gated(a.size()), swish(a.size()), gelu(a.size());
            t.add(a.data(), b.data(), count, sum.data());
            t.multiply(a.data(), b.data(), count, product.data());
            t.silu_multiply(a.data(), b.data(), count, gated.data());
            t.swish_row(a.data(), count, 1, 0, swish.data());
            t.gelu_tanh_row(a.data(), count, 0, 0, gelu.data());
            double worst = 0;
            double worst_gelu = 0;
            bool exact = true;
            for (size_t i = 0; i < a.size(); ++i) {
                const double x = static_cast<double>(a[i]);
                exact &= sum[i] == a[i] + b[i] && product[i] == a[i] * b[i];
                worst = worse(worst, ulps(swish[i], silu_of(x)));
                worst = worse(worst, ulps(gated[i], silu_of(x) * static_cast<double>(b[i])));
                // The argument of the exponential is rounded: the error grows with it.
                const double u = std::fabs(1.6 * x * (1 + 0.044715 * x * x));
                worst_gelu = worse(worst_gelu, ulps(gelu[i], gelu_of(x)) / (6 + 2 * u));
            }
            CAPTURE(isa_name(isa), count);
            CHECK(exact);
            CHECK(worst < 6);
            CHECK(worst_gelu < 1.5);
            // in place
            std::vector<float> copy = a;
            t.silu_multiply(copy.data(), b.data(), count, copy.data());
            CHECK(same_bits(copy, gated));
            copy = b;
            t.add(a.data(), copy.data(), count, copy.data());
            CHECK(same_bits(copy, sum));
        }
    }
}

TEST_CASE("activations are right at the extremes", "[kernels]") {
    // Where exp overflows a result of less than 1e-36 becomes zero: too small to matter, so allowed for.
    const auto close = [](float got, double want) {
        return ulps(got, want) < 4 || std::fabs(static_cast<double>(got) - want) < 1e-36;
    };
    const float largest = std::numeric_limits<float>::max();
    const std::vector<float> src = {0,    -0.0F, 1e-30F, -1e-30F, 80,      -80,      90,       -90,       100, -100,
                                    1e4F, -1e4F, 1e20F,  -1e20F,  largest, -largest, INFINITY, -INFINITY, NAN};
    const auto count = static_cast<int64_t>(src.size());
    for (const Isa isa : machine_isas()) {
        std::vector<float> gelu(src.size()), swish(src.size());
        kernels(isa).swish_row(src.data(), count, 1, 0, swish.data());
        kernels(isa).gelu_tanh_row(src.data(), count, 0, 0, gelu.data());
        for (size_t i = 0; i + 1 < src.size(); ++i) {
            const bool low = src[i] < -1e4F || std::isinf(src[i]);
            const double x = static_cast<double>(src[i]);
            CAPTURE(isa_name(isa), src[i], swish[i], gelu[i]);
            CHECK(close(swish[i], low ? (x < 0 ? 0 : x) : silu_of(x)));
            CHECK(close(gelu[i], x < -20 ? 0 : x > 20 ? x : gelu_of(x)));
        }
        CHECK(std::isnan(swish.back()));
        CHECK(std::isnan(gelu.back()));
    }
}

TEST_CASE("softmax_row agrees with double precision", "[kernels]") {
    Random random(22);
    for (const Isa isa : machine_isas()) {
        for (const int64_t count : kCounts) {
            for (const float spread : {1.0F, 30.0F, 1e5F}) {
                std::vector<float> src = random.normals(count);
                for (float& x : src) x = x * spread - 2 * spread;
                if (count > 4) src[2] = -INFINITY;
                double top = -INFINITY;
                for (const float x : src) top = std::max(top, static_cast<double>(x));
                double total = 0;
                for (const float x : src) total += std::exp(static_cast<double>(x) - top);
                std::vector<float> dst(src.size());
                kernels(isa).softmax_row(src.data(), count, dst.data());
                double worst = 0;
                for (size_t i = 0; i < src.size(); ++i) {
                    const double distance = static_cast<double>(src[i] - static_cast<float>(top));  // as rounded
                    const double want = std::exp(distance) / total;
                    worst = worse(worst, std::fabs(static_cast<double>(dst[i]) - want) / (want * 4e-7 + 1e-38));
                }
                CAPTURE(isa_name(isa), count, spread);
                CHECK(worst < (spread > 1 ? 4 : 1));
                std::vector<float> copy = src;
                kernels(isa).softmax_row(copy.data(), count, copy.data());
                CHECK(same_bits(copy, dst));
            }
        }
    }
}

TEST_CASE("exp stays within two units in the last place", "[kernels]") {
    // The softmax of (0, x) is exp(x) itself where exp(x) is lost beside 1.
    for (const Isa isa : machine_isas()) {
        for (float x = -17.5F; x > -86; x -= 0.0371F) {
            const std::vector<float> src = {0, x};
            std::vector<float> dst(2);
            kernels(isa).softmax_row(src.data(), 2, dst.data());
            CAPTURE(isa_name(isa), x);
            REQUIRE(ulps(dst[1], std::exp(static_cast<double>(x))) < 2);
        }
    }
}

TEST_CASE("norms agree with double precision", "[kernels]") {
    Random random(23);
    for (const Isa isa : machine_isas()) {
        for (const int64_t count : kCounts) {
            for (const float offset : {0.0F, 100.0F}) {
                std::vector<float> src = random.normals(count);
                for (float& x : src) x += offset;
                const std::vector<float> weight = random.normals(count);
                const std::vector<float> bias = random.normals(count);
                double squares = 0, mean = 0, variance = 0;
                for (const float x : src) {
                    squares += static_cast<double>(x) * static_cast<double>(x);
                    mean += static_cast<double>(x);
                }
                const double n = static_cast<double>(count);
                mean /= n;
                for (const float x : src) variance += std::pow(static_cast<double>(x) - mean, 2);
                const double rms = std::sqrt(squares / n + 1e-5);
                const double deviation = std::sqrt(variance / n + 1e-5);
                std::vector<float> rms_got(src.size()), layer_got(src.size()), no_bias(src.size());
                kernels(isa).rms_norm(src.data(), weight.data(), 1e-5F, count, rms_got.data());
                kernels(isa).layer_norm(src.data(), weight.data(), bias.data(), 1e-5F, count, layer_got.data());
                kernels(isa).layer_norm(src.data(), weight.data(), nullptr, 1e-5F, count, no_bias.data());
                double worst_rms = 0, worst_layer = 0;
                for (size_t i = 0; i < src.size(); ++i) {
                    const double x = static_cast<double>(src[i]);
                    const double w = static_cast<double>(weight[i]);
                    const double want = x / rms * w;
                    worst_rms =
                        worse(worst_rms, std::fabs(static_cast<double>(rms_got[i]) - want) / (std::fabs(want) + 1e-30));
                    const double centred = (x - mean) / deviation * w;
                    // the rounded mean shifts every element by up to half a unit of the offset
                    const double allowed = 1e-6 * (std::fabs(centred) + 1) +
                                           std::fabs(w) / deviation * static_cast<double>(offset) * 0x1p-23;
                    worst_layer = worse(worst_layer, std::fabs(static_cast<double>(no_bias[i]) - centred) / allowed);
                    worst_layer = worse(worst_layer, std::fabs(static_cast<double>(layer_got[i]) - centred -
                                                               static_cast<double>(bias[i])) /
                                                         (allowed + 1e-6));
                }
                CAPTURE(isa_name(isa), count, offset);
                CHECK(worst_rms < 1e-6);
                CHECK(worst_layer < 1);
                std::vector<float> copy = src;
                kernels(isa).rms_norm(copy.data(), weight.data(), 1e-5F, count, copy.data());
                CHECK(same_bits(copy, rms_got));
            }
        }
    }
}

TEST_CASE("rotary agrees with double precision", "[kernels]") {
    Random random(24);
    for (const Isa isa : machine_isas()) {
        for (const int64_t head_size : {2, 8, 10, 64, 80, 96, 128, 134}) {
            for (const int64_t rotary_size : {head_size, head_size / 4 * 2, int64_t{2}}) {
                for (const bool interleaved : {false, true}) {
                    const int64_t heads = 3;
                    const int64_t half = rotary_size / 2;
                    const std::vector<float> src = random.normals(heads * head_size);
                    const std::vector<float> cosine = random.normals(half);
                    const std::vector<float> sine = random.normals(half);
                    std::vector<float> dst(src.size());
                    kernels(isa).rotary(src.data(), cosine.data(), sine.data(), heads, head_size, rotary_size,
                                        interleaved, dst.data());
                    double worst = 0;
                    for (int64_t h = 0; h < heads; ++h) {
                        std::vector<double> want(src.begin() + h * head_size, src.begin() + (h + 1) * head_size);
                        for (int64_t i = 0; i < half; ++i) {
                            const auto first = static_cast<size_t>(interleaved ? 2 * i : i);
                            const auto second = static_cast<size_t>(interleaved ? 2 * i + 1 : i + half);
                            const double c = static_cast<double>(cosine[static_cast<size_t>(i)]);
                            const double s = static_cast<double>(sine[static_cast<size_t>(i)]);
                            const double x = want[first];
                            const double y = want[second];
                            want[first] = x * c - y * s;
                            want[second] = y * c + x * s;
                        }
                        for (size_t i = 0; i < want.size(); ++i) {
                            const float got = dst[static_cast<size_t>(h * head_size) + i];
                            worst = worse(worst, std::fabs(static_cast<double>(got) - want[i]));
                        }
                    }
                    CAPTURE(isa_name(isa), head_size, rotary_size, interleaved);
                    CHECK(worst < 2e-6);
                    std::vector<float> copy = src;
                    kernels(isa).rotary(copy.data(), cosine.data(), sine.data(), heads, head_size, rotary_size,
                                        interleaved, copy.data());
                    CHECK(same_bits(copy, dst));
                }
            }
        }
    }
}

}  // namespace
}  // namespace quoin::test
