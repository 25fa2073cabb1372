// Shared by the kernel tests: the instruction sets of this machine, random numbers, weights in the file's layouts with
// what they mean in double precision. Buffers have exactly the size a kernel may touch. Sanitizers watch kernels only
// where QUOIN_SANITIZE_KERNELS asks for it; what lies in GuardedBytes is watched by the machine, everywhere.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#if __has_include("support/catch.h")
#include "support/catch.h"
#else
#include <catch2/catch.hpp>
#endif

#include "core/half.h"
#include "kernels/kernels.h"
#include "worse.h"

namespace quoin::test {

inline std::vector<Isa> machine_isas() {
    std::vector<Isa> isas;
    for (int i = 0; i < kIsaCount; ++i) {
        if (machine_has(static_cast<Isa>(i))) isas.push_back(static_cast<Isa>(i));
    }
    return isas;
}

class Random {
public:
    explicit Random(uint32_t seed) : engine_(seed) {}
    float normal() { return std::normal_distribution<float>()(engine_); }
    int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
    void fill(std::byte* bytes, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            if (i % 4 == 0) word_ = engine_();
            bytes[i] = static_cast<std::byte>(word_ >> (i % 4 * 8));
        }
    }
    std::vector<float> normals(int64_t count) {
        std::vector<float> values(static_cast<size_t>(count));
        for (float& value : values) value = normal();
        return values;
    }

private:
    std::mt19937 engine_;
    std::uint_fast32_t word_ = 0;
};

// A copy whose end is the end of what may be touched: a kernel that goes on dies, with or without sanitizers.
class GuardedBytes {
public:
    explicit GuardedBytes(std::span<const std::byte> bytes) {
        const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t readable = (bytes.size() + page - 1) / page * page;
        mapped_ = readable + page;
        pages_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages_ == MAP_FAILED) throw std::runtime_error("no memory to guard");
        auto* const begin = static_cast<std::byte*>(pages_);
        if (mprotect(begin + readable, page, PROT_NONE) != 0) throw std::runtime_error("the page cannot be guarded");
        data_ = begin + readable - bytes.size();
        if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
    }
    GuardedBytes(const GuardedBytes&) = delete;
    GuardedBytes& operator=(const GuardedBytes&) = delete;
    ~GuardedBytes() { munmap(pages_, mapped_); }
    const std::byte* data() const { return data_; }
    std::byte* data() { return data_; }

private:
    void* pages_ = nullptr;
    size_t mapped_ = 0;
    std::byte* data_ = nullptr;
};

template <class T>
void put(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof(T));
}
template <class T>
T get(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
}

inline bool same_bits(float a, float b) {
    return std::memcmp(&a, &b, sizeof(float)) == 0;
}
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// A weight [columns, inner] in the file's layout, and its values.
struct Weight {
    DType dtype;
    int64_t columns;
    int64_t inner;
    int64_t row_bytes;
    std::vector<std::byte> file;
    std::vector<float> values;

    const std::byte* row(int64_t column) const { return file.data() + column * row_bytes; }
    float value(int64_t column, int64_t k) const { return values[static_cast<size_t>(column * inner + k)]; }
};

inline bool is_block(DType dtype) {
    return find_block_format(dtype) != nullptr;
}
// Values of a block of the file.
inline int64_t block_size(DType dtype) {
    return is_block(dtype) ? block_values(find_block_format(dtype)->scales) : 1;
}

// The functions of one weight dtype.
struct WeightKernels {
    void (*pack)(const std::byte*, int64_t, int64_t, int64_t, std::byte*);
    void (*linear)(const LinearArgs&);
    void (*unpack_column)(const std::byte*, int64_t, int64_t, float*);
    void (*dequantize)(const std::byte*, int64_t, float*);
};
inline WeightKernels weight_kernels(const KernelTable& t, DType dtype) {
    switch (dtype) {
        case DType::F32: return {t.pack_f32, t.linear_f32, t.unpack_column_f32, t.dequantize_f32};
        case DType::F16: return {t.pack_f16, t.linear_f16, t.unpack_column_f16, t.dequantize_f16};
        case DType::BF16: return {t.pack_bf16, t.linear_bf16, t.unpack_column_bf16, t.dequantize_bf16};
#define QUOIN_BLOCK_FORMAT(type, name) \
    case DType::type:                  \
        return {t.pack_##name, t.linear_##name, t.unpack_column_##name, t.dequantize_##name};
#include "kernels/block_formats.inc"
#undef QUOIN_BLOCK_FORMAT
        default: return {};
    }
}
// Bytes of `count` pieces, `stride` apart.
inline size_t strided_bytes(int64_t count, int64_t stride, int64_t bytes) {
    return count == 0 ? 0 : static_cast<size_t>((count - 1) * stride + bytes);
}
// With scratch of exactly the promised size, full of NaN, and copies of weights, source and result that are guarded.
inline void run_linear(void (*linear)(const LinearArgs&), DType weight, LinearArgs args) {
    const int64_t scratch_bytes = linear_scratch_bytes(weight, args.rows, args.panels);
    GuardedBytes scratch(std::vector<std::byte>(static_cast<size_t>(scratch_bytes), std::byte{0xFF}));
    const bool codes = code_bits(weight) != 0;
    const bool quantised = activation_dtype(weight) == DType::Q8Row;
    const int64_t panel = codes ? code_panel(weight, args.codes, args.inner).bytes : panel_bytes(weight, args.inner);
    const int64_t row = quantised ? activation_row_bytes(args.inner) : args.inner * 4;
    const std::span dst(reinterpret_cast<std::byte*>(args.dst),
                        strided_bytes(args.rows, args.dst_stride * 4, args.columns * 4));
    const GuardedBytes weights({args.weights, strided_bytes(args.panels, args.panel_stride, panel)});
    const GuardedBytes src({args.src, strided_bytes(args.rows, args.src_stride, row)});
    GuardedBytes result(dst);
    if (args.residual == args.dst) args.residual = reinterpret_cast<const float*>(result.data());
    args.weights = weights.data();
    args.src = src.data();
    args.dst = reinterpret_cast<float*>(result.data());
    args.scratch = scratch.data();
    linear(args);
    std::copy_n(result.data(), dst.size(), dst.data());
}
inline constexpr DType kWeightDTypes[] = {
    DType::F32,
    DType::F16,
    DType::BF16,
#define QUOIN_BLOCK_FORMAT(type, name) DType::type,
#include "kernels/block_formats.inc"
#undef QUOIN_BLOCK_FORMAT
};
inline constexpr DType kBlockDTypes[] = {
#define QUOIN_BLOCK_FORMAT(type, name) DType::type,
#include "kernels/block_formats.inc"
#undef QUOIN_BLOCK_FORMAT
};

// Where the f16 scales of a block of the file stand (-1: none). MXFP4 begins with an exponent; IQ1_M has its scale in
// the high four bits of its last four words.
struct HalvesAt {
    int scale;
    int minimum;
};
inline HalvesAt halves_at(DType dtype) {
    switch (dtype) {
        case DType::Q4_1:
        case DType::Q5_1:
        case DType::Q4_K:
        case DType::Q5_K: return {0, 2};
        case DType::Q2_K: return {80, 82};
        case DType::Q3_K: return {108, -1};
        case DType::Q6_K: return {208, -1};
        case DType::TQ1_0: return {52, -1};
        case DType::TQ2_0: return {64, -1};
        case DType::MXFP4:
        case DType::IQ1_M: return {-1, -1};
        default: return {0, -1};
    }
}

// Any bits are a valid block but for the scales, which are small numbers here: 2^scale_exponent exactly, or random when
// that is 0. What blocks mean is checked in block_formats_test.cpp; here the kernels' own dequantize says it.
inline Weight make_weight(DType dtype, int64_t columns, int64_t inner, Random& random, int scale_exponent = 0) {
    Weight weight = {dtype, columns, inner, 0, {}, std::vector<float>(static_cast<size_t>(columns * inner))};
    weight.row_bytes = static_cast<int64_t>(*byte_size(dtype, inner));
    weight.file.resize(static_cast<size_t>(columns * weight.row_bytes));
    const auto scale_bits = [&] {
        return f32_to_f16(scale_exponent != 0 ? std::ldexp(1.0F, scale_exponent) : 0.01F * random.normal());
    };
    const int64_t step = dtype == DType::F32 ? 4 : is_block(dtype) ? file_block_bytes(dtype) : 2;
    for (size_t at = 0; at < weight.file.size(); at += static_cast<size_t>(step)) {
        std::byte* const block = weight.file.data() + at;
        if (dtype == DType::F32) {
            put(block, random.normal());
        } else if (dtype == DType::F16) {  // now and then a subnormal
            put(block, f32_to_f16(random.normal() * (random.integer(0, 9) == 0 ? 0x1p-20F : 1.0F)));
        } else if (dtype == DType::BF16) {
            put(block, f32_to_bf16(random.normal()));
        } else {
            random.fill(block, step);
            const HalvesAt halves = halves_at(dtype);
            if (halves.scale >= 0) put(block + halves.scale, scale_bits());
            if (halves.minimum >= 0) put(block + halves.minimum, scale_bits());
            if (dtype == DType::IQ1_M) {
                const unsigned bits = scale_bits();
                for (unsigned i = 0; i < 4; ++i) {
                    std::byte* const word = block + 48 + 2 * i;
                    put(word, static_cast<uint16_t>((get<uint16_t>(word) & 0xFFFU) | (bits >> (4 * i) & 15U) << 12));
                }
            }
            if (dtype == DType::MXFP4) {
                const int exponent = scale_exponent != 0 ? scale_exponent : random.integer(-12, 2);
                put(block, static_cast<uint8_t>(127 + exponent));
            }
        }
    }
    for (int64_t c = 0; c < columns; ++c) {
        weight_kernels(kernels(Isa::Baseline), dtype)
            .dequantize(weight.row(c), inner, weight.values.data() + c * inner);
    }
    return weight;
}

inline std::vector<std::byte> pack(const KernelTable& table, const Weight& weight) {
    const int64_t bytes = panel_bytes(weight.dtype, weight.inner);
    std::vector<std::byte> panels(static_cast<size_t>(bytes * panel_count(weight.columns)));
    for (int64_t p = 0; p < panel_count(weight.columns); ++p) {
        const int64_t columns = std::min(weight.columns - p * kPanelColumns, kPanelColumns);
        weight_kernels(table, weight.dtype)
            .pack(weight.row(p * kPanelColumns), weight.row_bytes, columns, weight.inner, panels.data() + p * bytes);
    }
    return panels;
}

}  // namespace quoin::test
