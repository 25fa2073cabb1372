// Discrete Fourier transforms of any length, in double precision.
#pragma once

#include <cstdint>
#include <vector>

namespace quoin {

// A plan for one length: powers of two directly, other lengths as a convolution of the next power of two that holds it
// (Bluestein). Sums have few roundings in either case. Not thread-safe: it owns its work space.
class FourierTransform {
public:
    // length >= 1. The inverse does not divide by the length.
    FourierTransform(int64_t length, bool inverse);

    int64_t length() const { return length_; }
    // In place; both [length].
    void run(double* real, double* imaginary);

private:
    struct PowerOfTwo {
        explicit PowerOfTwo(int64_t size);
        // Forward; swap the arguments for the inverse.
        void run(double* real, double* imaginary) const;

        int64_t size;
        std::vector<int64_t> reversed;
        std::vector<double> cos;  // of 2 pi k / size, k < size / 2
        std::vector<double> sin;
    };

    int64_t length_;
    bool inverse_;
    PowerOfTwo inner_;
    // Bluestein only: exp(-i pi k^2 / length) and the transform of its conjugate.
    std::vector<double> chirp_cos_, chirp_sin_;
    std::vector<double> filter_real_, filter_imaginary_;
    std::vector<double> work_real_, work_imaginary_;
};

}  // namespace quoin
