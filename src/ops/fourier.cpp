#include "ops/fourier.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace quoin {
namespace {

bool is_power_of_two(int64_t length) {
    return std::has_single_bit(static_cast<uint64_t>(length));
}
int64_t inner_size(int64_t length) {
    return is_power_of_two(length) ? length
                                   : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * length - 1)));
}

}  // namespace

FourierTransform::PowerOfTwo::PowerOfTwo(int64_t count) : size(count), reversed(static_cast<size_t>(count), 0) {
    const int bits = std::countr_zero(static_cast<uint64_t>(count));
    for (int64_t index = 1; index < count; ++index) {
        const auto at = static_cast<size_t>(index);
        reversed[at] = reversed[at / 2] / 2 + (index % 2 == 0 ? 0 : int64_t{1} << (bits - 1));
    }
    for (int64_t index = 0; index < count / 2; ++index) {
        const double angle = 2 * std::numbers::pi * static_cast<double>(index) / static_cast<double>(count);
        cos.push_back(std::cos(angle));
        sin.push_back(std::sin(angle));
    }
}

void FourierTransform::PowerOfTwo::run(double* real, double* imaginary) const {
    for (int64_t index = 0; index < size; ++index) {
        const int64_t other = reversed[static_cast<size_t>(index)];
        if (other <= index) continue;
        std::swap(real[index], real[other]);
        std::swap(imaginary[index], imaginary[other]);
    }
    for (int64_t half = 1; half < size; half *= 2) {
        const int64_t step = size / (2 * half);
        for (int64_t start = 0; start < size; start += 2 * half) {
            for (int64_t index = 0; index < half; ++index) {
                const auto at = static_cast<size_t>(index * step);
                const int64_t low = start + index;
                const int64_t high = low + half;
                const double x = real[high] * cos[at] + imaginary[high] * sin[at];
                const double y = imaginary[high] * cos[at] - real[high] * sin[at];
                real[high] = real[low] - x;
                imaginary[high] = imaginary[low] - y;
                real[low] += x;
                imaginary[low] += y;
            }
        }
    }
}

FourierTransform::FourierTransform(int64_t length, bool inverse)
    : length_(length), inverse_(inverse), inner_(inner_size(length)) {
    if (is_power_of_two(length)) return;
    const auto size = static_cast<size_t>(inner_.size);
    filter_real_.assign(size, 0);
    filter_imaginary_.assign(size, 0);
    work_real_.resize(size);
    work_imaginary_.resize(size);
    for (int64_t index = 0; index < length; ++index) {
        // The square modulo twice the length, so that the angle stays exact.
        const auto wide = static_cast<uint64_t>(index);
        const auto square = wide * wide % static_cast<uint64_t>(2 * length);
        const double angle = std::numbers::pi * static_cast<double>(square) / static_cast<double>(length);
        chirp_cos_.push_back(std::cos(angle));
        chirp_sin_.push_back(std::sin(angle));
        const auto at = static_cast<size_t>(index);
        filter_real_[at] = chirp_cos_[at];
        filter_imaginary_[at] = chirp_sin_[at];
        if (index == 0) continue;
        filter_real_[size - at] = chirp_cos_[at];
        filter_imaginary_[size - at] = chirp_sin_[at];
    }
    inner_.run(filter_real_.data(), filter_imaginary_.data());
}

void FourierTransform::run(double* real, double* imaginary) {
    // The inverse is the forward transform with real and imaginary parts exchanged.
    if (inverse_) std::swap(real, imaginary);
    if (chirp_cos_.empty()) {
        inner_.run(real, imaginary);
        return;
    }
    const auto count = static_cast<size_t>(length_);
    std::ranges::fill(work_real_, 0.0);
    std::ranges::fill(work_imaginary_, 0.0);
    for (size_t index = 0; index < count; ++index) {
        work_real_[index] = real[index] * chirp_cos_[index] + imaginary[index] * chirp_sin_[index];
        work_imaginary_[index] = imaginary[index] * chirp_cos_[index] - real[index] * chirp_sin_[index];
    }
    inner_.run(work_real_.data(), work_imaginary_.data());
    for (size_t index = 0; index < work_real_.size(); ++index) {
        const double x = work_real_[index] * filter_real_[index] - work_imaginary_[index] * filter_imaginary_[index];
        work_imaginary_[index] =
            work_real_[index] * filter_imaginary_[index] + work_imaginary_[index] * filter_real_[index];
        work_real_[index] = x;
    }
    inner_.run(work_imaginary_.data(), work_real_.data());
    const double factor = 1 / static_cast<double>(inner_.size);
    for (size_t index = 0; index < count; ++index) {
        const double x = work_real_[index] * factor;
        const double y = work_imaginary_[index] * factor;
        real[index] = x * chirp_cos_[index] + y * chirp_sin_[index];
        imaginary[index] = y * chirp_cos_[index] - x * chirp_sin_[index];
    }
}

}  // namespace quoin
