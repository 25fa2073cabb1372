// Softmax, LogSoftmax, Hardmax, LpNormalization along one axis (ONNX).
#include <cmath>

#include "core/rounding.h"
#include "ops/axis.h"
#include "ops/element_types.h"

namespace quoin {
namespace {

enum class Along : uint8_t { Softmax, LogSoftmax, Hardmax, L1, L2 };

constexpr int64_t kTaskElements = 8192;
constexpr int64_t kMostColumns = 512;

// Neighbouring lines [size] in steps of inner, elements in the arithmetic of T.
template <class T>
void normalize_line(Along along, const T* src, int64_t size, int64_t step, T* dst) {
    const auto at = [&](int64_t index) { return static_cast<double>(to_arithmetic(src[index * step])); };
    const auto put = [&](int64_t index, double value) {
        dst[index * step] = from_arithmetic<T>(static_cast<Arithmetic<T>>(value));
    };
    if (along == Along::L1 || along == Along::L2) {
        double total = 0;
        for (int64_t index = 0; index < size; ++index) {
            total += along == Along::L1 ? std::abs(at(index)) : at(index) * at(index);
        }
        const double norm = along == Along::L1 ? total : std::sqrt(total);
        for (int64_t index = 0; index < size; ++index) put(index, norm == 0 ? 0 : at(index) / norm);
        return;
    }
    int64_t top = 0;
    for (int64_t index = 1; index < size; ++index) {
        if (at(index) > at(top) || (std::isnan(at(index)) && !std::isnan(at(top)))) top = index;
    }
    if (along == Along::Hardmax) {
        for (int64_t index = 0; index < size; ++index) put(index, index == top ? 1 : 0);
        return;
    }
    const double largest = at(top);
    double total = 0;
    for (int64_t index = 0; index < size; ++index) total += std::exp(at(index) - largest);
    const double log_total = std::log(total);
    for (int64_t index = 0; index < size; ++index) {
        const double distance = at(index) - largest;
        put(index, along == Along::Softmax ? std::exp(distance) / total : distance - log_total);
    }
}

class AlongAxis final : public PreparedNode {
public:
    AlongAxis(Along along, int64_t axis, const KernelTable& kernels) : along_(along), axis_(axis), kernels_(kernels) {}

    // A unit is a line, or where lines lie beside each other in memory some of them.
    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const AxisView view = *axis_view(arguments.inputs[0].shape, axis_);
        const int64_t columns = std::min(view.inner, kMostColumns);
        if (view.outer * view.size * view.inner == 0) return Work{.tasks = 0};
        const int64_t units = view.outer * divide_up(view.inner, columns);
        const int64_t grain = std::max<int64_t>(1, kTaskElements / (view.size * columns));
        return Work{.tasks = divide_up(units, grain),
                    .scratch_bytes = 2 * columns * int64_t{sizeof(float)},
                    .grain = {grain, columns, units}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const AxisView view = *axis_view(arguments.inputs[0].shape, axis_);
        const auto& [grain, columns, units] = arguments.work.grain;
        const int64_t pieces = divide_up(view.inner, columns);
        const int64_t end = std::min((task + 1) * grain, units);
        for (int64_t unit = task * grain; unit < end; ++unit) {
            const int64_t first = unit % pieces * columns;
            const int64_t offset = unit / pieces * view.size * view.inner + first;
            run_unit(arguments, view, offset, std::min(columns, view.inner - first), scratch);
        }
        return {};
    }

private:
    void run_unit(const Arguments& arguments, const AxisView& view, int64_t offset, int64_t columns,
                  std::byte* scratch) const {
        const bool exponential = along_ == Along::Softmax || along_ == Along::LogSoftmax;
        if (arguments.inputs[0].dtype == DType::F32 && exponential) {
            const float* const src = arguments.inputs[0].as<float>() + offset;
            float* const dst = arguments.outputs[0].as<float>() + offset;
            if (view.inner > 1) {
                soften_columns(src, view, columns, reinterpret_cast<float*>(scratch), dst);
            } else if (along_ == Along::Softmax) {
                kernels_.softmax_row(src, view.size, dst);
            } else {
                log_soften_row(src, view.size, dst);
            }
            return;
        }
        visit_floats(arguments.inputs[0].dtype, [&]<class T>() {
            for (int64_t column = offset; column < offset + columns; ++column) {
                normalize_line(along_, arguments.inputs[0].as<T>() + column, view.size, view.inner,
                               arguments.outputs[0].as<T>() + column);
            }
        });
    }

    void log_soften_row(const float* src, int64_t size, float* dst) const {
        constexpr int64_t kSome = 256;
        alignas(64) std::array<float, kSome> subtrahend;
        alignas(64) std::array<float, kSome> powers;
        const int64_t filled = std::min(kSome, size);
        const float largest = kernels_.largest_of_row(src, size);
        std::fill_n(subtrahend.begin(), filled, largest);
        double total = 0;
        for (int64_t begin = 0; begin < size; begin += kSome) {
            const int64_t some = std::min(kSome, size - begin);
            kernels_.subtract_row(src + begin, subtrahend.data(), some, powers.data());
            kernels_.exp_row(powers.data(), some, 0, 0, powers.data());
            total += kernels_.sum_row(powers.data(), some);
        }
        // In two steps, as the distance from the largest is exact where it matters.
        const auto log_total = static_cast<float>(std::log(total));
        for (int64_t index = 0; index < size; ++index) dst[index] = src[index] - largest - log_total;
    }

    // scratch: 2 * columns floats
    void soften_columns(const float* src, const AxisView& view, int64_t columns, float* scratch, float* dst) const {
        float* const largest = scratch;
        float* const sums = scratch + columns;
        std::fill_n(largest, columns, -INFINITY);
        std::fill_n(sums, columns, 0.0F);
        const int64_t step = view.inner;
        for (int64_t row = 0; row < view.size; ++row) {
            kernels_.maximum_row(largest, src + row * step, columns, largest);
        }
        for (int64_t row = 0; row < view.size; ++row) {
            float* const to = dst + row * step;
            kernels_.subtract_row(src + row * step, largest, columns, to);
            kernels_.exp_row(to, columns, 0, 0, to);
            kernels_.add(sums, to, columns, sums);
        }
        if (along_ == Along::Softmax) {
            for (int64_t row = 0; row < view.size; ++row) {
                kernels_.divide_row(dst + row * step, sums, columns, dst + row * step);
            }
            return;
        }
        kernels_.log_row(sums, columns, 0, 0, sums);
        for (int64_t row = 0; row < view.size; ++row) {
            kernels_.subtract_row(src + row * step, largest, columns, dst + row * step);
            kernels_.subtract_row(dst + row * step, sums, columns, dst + row * step);
        }
    }

    Along along_;
    int64_t axis_;
    const KernelTable& kernels_;
};

Status infer_normalized(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    return infer_along_axis(context, context.node().integer("axis", -1));
}

Status infer_lp(InferContext& context) {
    const int64_t p = context.node().integer("p", 2);
    if (p != 1 && p != 2) return context.fail("the attribute 'p' is ", p, "; it must be 1 or 2");
    return infer_normalized(context);
}

Result<std::unique_ptr<PreparedNode>> make(const PrepareContext& context, Along along) {
    return std::unique_ptr<PreparedNode>(
        std::make_unique<AlongAxis>(along, context.node.integer("axis", -1), context.kernels()));
}

template <Along kAlong>
Result<std::unique_ptr<PreparedNode>> prepare_along(const PrepareContext& context) {
    return make(context, kAlong);
}

Result<std::unique_ptr<PreparedNode>> prepare_lp(const PrepareContext& context) {
    return make(context, context.node.integer("p", 2) == 1 ? Along::L1 : Along::L2);
}

}  // namespace

extern const OpImplementation kSoftmaxOp{infer_normalized, prepare_along<Along::Softmax>};
extern const OpImplementation kLogSoftmaxOp{infer_normalized, prepare_along<Along::LogSoftmax>};
extern const OpImplementation kHardmaxOp{infer_normalized, prepare_along<Along::Hardmax>};
extern const OpImplementation kLpNormalizationOp{infer_lp, prepare_lp};

}  // namespace quoin
