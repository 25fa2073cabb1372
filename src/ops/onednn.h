// oneDNN in a few of our own words. onednn.cpp alone includes its headers and knows how its versions 2 and 3 differ.
//
// Every primitive is made for one thread and run on one: the team is ours, and a task of a step runs a primitive on its
// part of the result. Tensors are channels last in memory. Where the build has no oneDNN nothing here is defined but
// what ops/providers.cpp says in its place.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/status.h"
#include "kernels/window.h"

namespace quoin::onednn {

// What a primitive reads and writes; not every one has all.
enum class Operand : uint8_t { Src, Weights, Bias, Dst, Slopes };
inline constexpr size_t kOperandCount = 5;
using Pointers = std::array<const std::byte*, kOperandCount>;  // by Operand; null where there is none

// What makes numbers of sums of integer products: activation(scale * (sum + bias)), and where the result is integer,
// within lowest..highest, plus its zero point, rounded and saturated. Zero points of the source count as zero.
struct Requantization {
    std::vector<float> scales;  // [OC]; empty: products of floats
    std::vector<double> bias;   // [OC] or empty
    int32_t src_zero_point = 0;
    int32_t dst_zero_point = 0;
    float lowest = 0;  // before the zero point is added; no limits where both are 0
    float highest = 0;
};

// Dims in oneDNN's order, whatever lies where in memory.
struct ConvolutionSpec {
    std::vector<int64_t> src;     // [N, C, spatial...], memory [N, spatial..., C]
    std::vector<int64_t> dst;     // [N, OC, spatial...], likewise
    std::vector<int64_t> kernel;  // taps along each spatial axis
    std::vector<int64_t> step;
    std::vector<int64_t> dilation;  // 1: dense
    std::vector<int64_t> pad_begin;
    std::vector<int64_t> pad_end;
    int64_t group = 1;
    DType src_dtype = DType::F32;  // f32, bf16, u8 or i8
    DType weight_dtype = DType::F32;
    DType dst_dtype = DType::F32;  // f32, with integers also u8 or i8
    bool bias = false;             // f32 [OC]; not with integers
    bool residual = false;         // lies in dst before it runs
    bool residual_last = false;    // after the activation
    Activation activation{};       // slopes are an operand of their own: f32 [OC]
    Requantization integers{};
};

// How a primitive wants its weights; opaque.
class WeightFormat;
using WeightFormatPtr = std::shared_ptr<const WeightFormat>;

class Primitive {
public:
    virtual ~Primitive() = default;
    // Bytes of scratch, aligned to 64, that one run needs.
    virtual int64_t scratch_bytes() const = 0;
    // oneDNN's name of what runs: "brgconv:avx512_core".
    virtual std::string name() const = 0;
    // Compiled for this machine, no plain loops.
    virtual bool is_fast() const = 0;
    // On this thread. At most as many at the same time as it was made for.
    virtual Status run(const Pointers& pointers, std::byte* dst, std::byte* scratch) const = 0;
};
using PrimitivePtr = std::shared_ptr<const Primitive>;

// Why oneDNN cannot work in this process; ok when it can.
Status check_available();
// "oneDNN 2.6.3".
std::string version();

// Whether the activation has its like here.
bool has_activation(const Activation& activation);

struct Choice {
    WeightFormatPtr format;
    std::string name;  // of the implementation
    bool fast = false;
};
// What oneDNN would take, without making it.
Result<Choice> choose_convolution(const ConvolutionSpec& spec);
// For weights of this format. Unsupported when nothing takes it. `runs`: how many may go on at the same time.
Result<PrimitivePtr> make_convolution(const ConvolutionSpec& spec, const WeightFormatPtr& format, int runs);

struct PoolSpec {
    std::vector<int64_t> src;  // [N, C, spatial...], memory [N, spatial..., C]
    std::vector<int64_t> dst;  // likewise
    std::vector<int64_t> kernel;
    std::vector<int64_t> step;
    std::vector<int64_t> dilation;  // 1: dense
    std::vector<int64_t> pad_begin;
    std::vector<int64_t> pad_end;
    DType dtype = DType::F32;    // f32, u8 or i8
    bool maximum = true;         // else the mean
    bool count_padding = false;  // of the mean
};
// Src to Dst. Unsupported when nothing takes it.
Result<PrimitivePtr> make_pool(const PoolSpec& spec, int runs);

// Dst [rows, columns] = Src [rows, inner] x Weights [inner, columns] + Bias [columns], f32, dense.
struct ProductSpec {
    int64_t rows = 0;
    int64_t inner = 0;
    int64_t columns = 0;
    bool transposed = false;  // Weights lie as [columns, inner]
    bool bias = false;
};
Result<PrimitivePtr> make_product(const ProductSpec& spec, int runs);

// Dst[i] = bf16 of Src[i] (f32), rounded to nearest even.
Result<PrimitivePtr> make_rounding(int64_t count, int runs);

int64_t weight_bytes(const WeightFormatPtr& format);
// From row-major [OC, C / group, kernel...] of `dtype` (f32 or i8).
Status reorder_weights(const ConvolutionSpec& spec, DType dtype, const std::byte* weights,
                       const WeightFormatPtr& format, std::byte* dst);
// From one format to another.
Status reorder_weights(const WeightFormatPtr& from, const std::byte* weights, const WeightFormatPtr& to,
                       std::byte* dst);

}  // namespace quoin::onednn
