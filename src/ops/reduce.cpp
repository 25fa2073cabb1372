// Reductions over any axes (ONNX): ReduceL1, L2, LogSum, LogSumExp, Max, Mean, Min, Prod, Sum, SumSquare.
#include <cmath>
#include <limits>

#include "core/rounding.h"
#include "ops/axis.h"
#include "ops/element_types.h"

namespace quoin {
namespace {

enum class Reduction : uint8_t { Sum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp };

constexpr int64_t kTaskElements = 16384;  // of the input
constexpr int64_t kLeastColumns = 64;
constexpr int64_t kMostColumns = 1024;
// Rows that are added in float before they join the sum: the error grows with this and with the number of such blocks.
constexpr int64_t kBlockRows = 64;

// ---- Which axes

// The axes that input 1 names, from the front; all when it is left out or empty, unless that means none.
Result<std::vector<bool>> reduced_axes(const InferContext& context, std::span<const int64_t> axes, size_t rank) {
    const bool none = context.node().integer("noop_with_empty_axes", 0) != 0;
    if (axes.empty()) return std::vector<bool>(rank, !none);
    std::vector<bool> reduced(rank);
    for (const int64_t axis : axes) {
        const std::optional<size_t> at = find_axis(axis, rank);
        if (!at) return context.fail("axis ", axis, " is none of the ", rank, " there are");
        reduced[*at] = true;
    }
    return reduced;
}

bool takes(Reduction reduction, DType dtype) {
    const bool extremes = reduction == Reduction::Max || reduction == Reduction::Min;
    const auto nothing = []<class T>() {};
    return extremes ? visit_numbers_and_bool(dtype, nothing) : visit_numbers(dtype, nothing);
}

template <Reduction kReduction>
Status infer_reduction(InferContext& context) {
    const ValueType& input = context.input(0);
    if (input.dtype != DType::Undefined && !takes(kReduction, input.dtype)) {
        return context.fail("the element type ", dtype_name(input.dtype), " cannot be reduced");
    }
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::I64}));
    const bool keep = context.node().integer("keepdims", 1) != 0;
    if (!input.dims) {
        context.set_output(0, input.dtype, std::nullopt);
        return {};
    }
    std::vector<int64_t> axes;
    if (context.has_input(1)) {
        QUOIN_ASSIGN_OR_RETURN(const auto known, context.integers(1));
        if (!known) {
            auto dims = keep ? std::optional(std::vector<Dim>(input.dims->size())) : std::nullopt;
            context.set_output(0, input.dtype, std::move(dims));
            return {};
        }
        axes = *known;
    }
    QUOIN_ASSIGN_OR_RETURN(const std::vector<bool> reduced, reduced_axes(context, axes, input.dims->size()));
    std::vector<Dim> dims;
    for (size_t axis = 0; axis < reduced.size(); ++axis) {
        if (!reduced[axis]) dims.push_back((*input.dims)[axis]);
        if (reduced[axis] && keep) dims.push_back({.size = 1});
    }
    context.set_output(0, input.dtype, std::move(dims));
    return {};
}

// ---- How the input lies

struct Axis {
    int64_t size;
    int64_t stride;
};

// Kept and reduced axes, innermost first, neighbours of one kind joined, those of size 1 left out.
struct Geometry {
    std::array<Axis, Shape::kMaxRank> kept{};
    std::array<Axis, Shape::kMaxRank> reduced{};
    size_t kept_rank = 0;
    size_t reduced_rank = 0;
    int64_t outputs = 1;
    int64_t count = 1;          // elements that make one output
    bool inner_reduced = true;  // the innermost axis: runs of elements make one output, else rows are added up

    std::span<const Axis> kept_axes() const { return std::span(kept).first(kept_rank); }
    std::span<const Axis> reduced_axes() const { return std::span(reduced).first(reduced_rank); }
};

Geometry geometry_of(const Shape& shape, std::span<const int64_t> axes, bool none) {
    std::array<bool, Shape::kMaxRank> is_reduced{};
    if (axes.empty() && !none) is_reduced.fill(true);
    for (const int64_t axis : axes) {
        if (const std::optional<size_t> at = find_axis(axis, shape.rank())) is_reduced[*at] = true;
    }
    Geometry geometry;
    int64_t stride = 1;
    std::optional<bool> last;
    for (size_t axis = shape.rank(); axis-- > 0;) {
        const int64_t size = shape[axis];
        const bool now = is_reduced[axis];
        (now ? geometry.count : geometry.outputs) *= size;
        if (size == 1) continue;
        if (!last) geometry.inner_reduced = now;
        auto& group = now ? geometry.reduced : geometry.kept;
        size_t& rank = now ? geometry.reduced_rank : geometry.kept_rank;
        if (last == now) {
            group[rank - 1].size *= size;
        } else {
            group[rank++] = {size, stride};
        }
        last = now;
        stride *= size;
    }
    return geometry;
}

// body(offset) for every combination of these axes, outermost slowest.
template <class Body>
void for_offsets(std::span<const Axis> axes, int64_t offset, Body&& body) {
    if (axes.empty()) {
        body(offset);
        return;
    }
    for (int64_t index = 0; index < axes.back().size; ++index, offset += axes.back().stride) {
        for_offsets(axes.first(axes.size() - 1), offset, body);
    }
}

int64_t offset_of(std::span<const Axis> axes, int64_t index) {
    int64_t offset = 0;
    for (const Axis& axis : axes) {
        offset += index % axis.size * axis.stride;
        index /= axis.size;
    }
    return offset;
}

// ---- f32 with kernels

float finished(Reduction reduction, double total, int64_t count) {
    switch (reduction) {
        case Reduction::Mean: return static_cast<float>(total / static_cast<double>(count));
        case Reduction::L2: return static_cast<float>(std::sqrt(total));
        case Reduction::LogSum: return static_cast<float>(std::log(total));
        default: return static_cast<float>(total);
    }
}

// What is subtracted before exp(): the largest, unless it is infinite.
float shift_of(float largest) {
    return std::isinf(largest) ? 0.0F : largest;
}

// The sum of exp(x - shift) over a run.
double sum_of_exp(const KernelTable& kernels, const float* src, int64_t count, float shift) {
    constexpr int64_t kSome = 256;
    alignas(64) std::array<float, kSome> shifts;
    alignas(64) std::array<float, kSome> powers;
    std::fill_n(shifts.begin(), std::min(kSome, count), shift);
    double total = 0;
    for (int64_t begin = 0; begin < count; begin += kSome) {
        const int64_t some = std::min(kSome, count - begin);
        kernels.subtract_row(src + begin, shifts.data(), some, powers.data());
        kernels.exp_row(powers.data(), some, 0, 0, powers.data());
        total += kernels.sum_row(powers.data(), some);
    }
    return total;
}

float reduce_run(const KernelTable& kernels, Reduction reduction, const Geometry& geometry, const float* src) {
    const std::span<const Axis> reduced = geometry.reduced_axes();
    const int64_t run = reduced.empty() ? 1 : reduced[0].size;
    const auto outer = reduced.empty() ? reduced : reduced.subspan(1);
    const auto extreme = [&](float start, auto of_row, auto better) {
        float best = start;
        for_offsets(outer, 0, [&](int64_t offset) {
            const float value = of_row(src + offset, run);
            if (better(value, best) || std::isnan(value)) best = value;
        });
        return best;
    };
    const auto largest = [&] { return extreme(-INFINITY, kernels.largest_of_row, std::greater<>()); };
    if (reduction == Reduction::Max) return largest();
    if (reduction == Reduction::Min) return extreme(INFINITY, kernels.smallest_of_row, std::less<>());
    double total = 0;
    if (reduction == Reduction::LogSumExp) {
        const float shift = shift_of(largest());
        for_offsets(outer, 0, [&](int64_t offset) { total += sum_of_exp(kernels, src + offset, run, shift); });
        return static_cast<float>(std::log(total) + double{shift});
    }
    const auto sum = reduction == Reduction::L1                                        ? kernels.sum_magnitudes_row
                     : reduction == Reduction::L2 || reduction == Reduction::SumSquare ? kernels.sum_squares_row
                                                                                       : kernels.sum_row;
    for_offsets(outer, 0, [&](int64_t offset) { total += sum(src + offset, run); });
    return finished(reduction, total, geometry.count);
}

// Runs so short that a call of a kernel for each costs more than its work, one behind the other.
constexpr int64_t kShortRun = 16;

bool has_short_runs(Reduction reduction, const Geometry& geometry) {
    return geometry.inner_reduced && geometry.reduced_rank == 1 && geometry.count <= kShortRun &&
           reduction != Reduction::LogSumExp;
}

template <class Step>
void reduce_short_runs(const float* src, int64_t count, int64_t outputs, float start, Step step, float* dst) {
    for (int64_t output = 0; output < outputs; ++output, src += count) {
        float best = start;
        for (int64_t index = 0; index < count; ++index) best = step(best, src[index]);
        dst[output] = best;
    }
}

void reduce_short_runs(Reduction reduction, const float* src, int64_t count, int64_t outputs, float* dst) {
    const auto total = [&](auto value) {
        for (int64_t output = 0; output < outputs; ++output, src += count) {
            double sum = 0;
            for (int64_t index = 0; index < count; ++index) sum += value(double{src[index]});
            dst[output] = finished(reduction, sum, count);
        }
    };
    switch (reduction) {
        case Reduction::Max:
            return reduce_short_runs(
                src, count, outputs, -INFINITY, [](float a, float b) { return b > a || std::isnan(b) ? b : a; }, dst);
        case Reduction::Min:
            return reduce_short_runs(
                src, count, outputs, INFINITY, [](float a, float b) { return b < a || std::isnan(b) ? b : a; }, dst);
        case Reduction::L1: return total([](double x) { return std::abs(x); });
        case Reduction::L2:
        case Reduction::SumSquare: return total([](double x) { return x * x; });
        default: return total([](double x) { return x; });
    }
}

// `columns` neighbouring outputs from rows that begin at src + offset. scratch: 3 * columns floats.
void reduce_columns(const KernelTable& kernels, Reduction reduction, const Geometry& geometry, const float* src,
                    int64_t columns, float* scratch, float* dst) {
    const std::span<const Axis> reduced = geometry.reduced_axes();
    const auto extreme = [&](float start, auto kernel, float* best) {
        std::fill_n(best, columns, start);
        for_offsets(reduced, 0, [&](int64_t offset) { kernel(best, src + offset, columns, best); });
    };
    if (reduction == Reduction::Max) return extreme(-INFINITY, kernels.maximum_row, dst);
    if (reduction == Reduction::Min) return extreme(INFINITY, kernels.minimum_row, dst);
    float* const block = scratch;
    float* const shifts = scratch + columns;
    float* const powers = scratch + 2 * columns;
    if (reduction == Reduction::LogSumExp) {
        extreme(-INFINITY, kernels.maximum_row, shifts);
        for (int64_t column = 0; column < columns; ++column) shifts[column] = shift_of(shifts[column]);
    }
    std::fill_n(dst, columns, 0.0F);
    std::fill_n(block, columns, 0.0F);
    int64_t rows = 0;
    for_offsets(reduced, 0, [&](int64_t offset) {
        const float* const row = src + offset;
        switch (reduction) {
            case Reduction::L1: kernels.add_magnitudes_row(row, columns, block); break;
            case Reduction::L2:
            case Reduction::SumSquare: kernels.add_squares_row(row, columns, block); break;
            case Reduction::LogSumExp:
                kernels.subtract_row(row, shifts, columns, powers);
                kernels.exp_row(powers, columns, 0, 0, powers);
                kernels.add(block, powers, columns, block);
                break;
            default: kernels.add(block, row, columns, block); break;
        }
        if (++rows % kBlockRows != 0) return;
        kernels.add(dst, block, columns, dst);
        std::fill_n(block, columns, 0.0F);
    });
    kernels.add(dst, block, columns, dst);
    for (int64_t column = 0; column < columns; ++column) {
        const double total = double{dst[column]};
        dst[column] = reduction == Reduction::LogSumExp ? static_cast<float>(std::log(total) + double{shifts[column]})
                                                        : finished(reduction, total, geometry.count);
    }
}

// ---- All element types

template <class T>
T from_double(double value) {
    if constexpr (std::is_integral_v<T>) {
        if (std::isnan(value)) return T{0};
        if (value <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
        if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
        return static_cast<T>(value);
    } else {
        return from_arithmetic<T>(static_cast<Arithmetic<T>>(value));
    }
}

template <class T, class Visit>
T extreme_of(bool largest, Visit visit) {
    using A = Arithmetic<T>;
    using Limits = std::numeric_limits<A>;
    const A low = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    const A high = Limits::has_infinity ? Limits::infinity() : Limits::max();
    A best = largest ? low : high;
    visit([&](T element) {
        const A x = to_arithmetic(element);
        if (largest ? x > best : x < best) best = x;
        if constexpr (!std::is_integral_v<A>) {
            if (std::isnan(x)) best = x;
        }
    });
    return from_arithmetic<T>(best);
}

// `visit` calls its argument with every element that makes this output.
template <class T, class Visit>
T reduced_value(Reduction reduction, int64_t count, Visit visit) {
    if (reduction == Reduction::Max || reduction == Reduction::Min) {
        return extreme_of<T>(reduction == Reduction::Max, visit);
    }
    if constexpr (std::is_integral_v<T>) {
        // Exact, wrapping around like the type itself.
        uint64_t total = reduction == Reduction::Prod ? 1 : 0;
        const auto exact = [&](auto step) {
            visit([&](T x) { total = step(total, static_cast<uint64_t>(x)); });
            return static_cast<T>(total);
        };
        switch (reduction) {
            case Reduction::Sum: return exact([](uint64_t sum, uint64_t x) { return sum + x; });
            case Reduction::Prod: return exact([](uint64_t product, uint64_t x) { return product * x; });
            case Reduction::SumSquare: return exact([](uint64_t sum, uint64_t x) { return sum + x * x; });
            case Reduction::L1:
                return exact([](uint64_t sum, uint64_t x) {
                    return std::is_signed_v<T> && static_cast<int64_t>(x) < 0 ? sum - x : sum + x;
                });
            default: break;
        }
    }
    double total = reduction == Reduction::Prod ? 1 : 0;
    double shift = 0;
    if (reduction == Reduction::LogSumExp) {
        shift = -INFINITY;
        visit([&](T x) { shift = std::max(shift, static_cast<double>(to_arithmetic(x))); });
        if (std::isinf(shift)) shift = 0;
    }
    visit([&](T element) {
        const auto x = static_cast<double>(to_arithmetic(element));
        switch (reduction) {
            case Reduction::Prod: total *= x; break;
            case Reduction::L1: total += std::abs(x); break;
            case Reduction::L2:
            case Reduction::SumSquare: total += x * x; break;
            case Reduction::LogSumExp: total += std::exp(x - shift); break;
            default: total += x; break;
        }
    });
    switch (reduction) {
        case Reduction::Mean: return from_double<T>(total / static_cast<double>(count));
        case Reduction::L2: return from_double<T>(std::sqrt(total));
        case Reduction::LogSum: return from_double<T>(std::log(total));
        case Reduction::LogSumExp: return from_double<T>(std::log(total) + shift);
        default: return from_double<T>(total);
    }
}

class Reduce final : public PreparedNode {
public:
    Reduce(Reduction reduction, bool none, const KernelTable& kernels)
        : reduction_(reduction), none_(none), kernels_(kernels) {}

    // A unit is an output, or some columns of outputs beside each other; a task is some units.
    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const Geometry geometry = geometry_of(arguments);
        const int64_t columns = columns_of(arguments, geometry);
        const int64_t inner = columns == 1 ? 1 : geometry.kept[0].size;
        const int64_t units = geometry.outputs == 0 ? 0 : geometry.outputs / inner * divide_up(inner, columns);
        const int64_t grain = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, columns * geometry.count));
        return Work{.tasks = divide_up(units, grain),
                    .scratch_bytes = 3 * columns * int64_t{sizeof(float)},
                    .grain = {grain, columns, units}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const Geometry geometry = geometry_of(arguments);
        const auto& [grain, columns, units] = arguments.work.grain;
        const int64_t begin = task * grain;
        const int64_t end = std::min(begin + grain, units);
        if (arguments.inputs[0].dtype == DType::F32 && reduction_ != Reduction::Prod) {
            run_f32(arguments, geometry, begin, end, scratch);
            return {};
        }
        visit_numbers_and_bool(arguments.inputs[0].dtype, [&]<class T>() {
            const T* const src = arguments.inputs[0].as<T>();
            for (int64_t output = begin; output < end; ++output) {
                const int64_t base = offset_of(geometry.kept_axes(), output);
                const auto visit = [&](auto take) {
                    for_offsets(geometry.reduced_axes(), base, [&](int64_t offset) { take(src[offset]); });
                };
                if constexpr (std::is_same_v<T, bool>) {
                    arguments.outputs[0].as<T>()[output] = extreme_of<T>(reduction_ == Reduction::Max, visit);
                } else {
                    arguments.outputs[0].as<T>()[output] = reduced_value<T>(reduction_, geometry.count, visit);
                }
            }
        });
        return {};
    }

private:
    Geometry geometry_of(const Arguments& arguments) const {
        std::span<const int64_t> axes;
        if (arguments.inputs.size() > 1 && arguments.inputs[1].data != nullptr) {
            axes = {arguments.inputs[1].as<int64_t>(), static_cast<size_t>(arguments.inputs[1].elements())};
        }
        return quoin::geometry_of(arguments.inputs[0].shape, axes, none_);
    }

    // Outputs that are computed together; 1: one by one.
    int64_t columns_of(const Arguments& arguments, const Geometry& geometry) const {
        if (geometry.inner_reduced || arguments.inputs[0].dtype != DType::F32 || reduction_ == Reduction::Prod ||
            geometry.outputs == 0) {
            return 1;
        }
        const int64_t wanted = kTaskElements / std::max<int64_t>(1, geometry.count);
        return std::min(geometry.kept[0].size, std::clamp(wanted, kLeastColumns, kMostColumns));
    }

    void run_f32(const Arguments& arguments, const Geometry& geometry, int64_t begin, int64_t end,
                 std::byte* scratch) const {
        const float* const src = arguments.inputs[0].as<float>();
        float* const dst = arguments.outputs[0].as<float>();
        const int64_t columns = arguments.work.grain[1];
        if (has_short_runs(reduction_, geometry)) {
            reduce_short_runs(reduction_, src + begin * geometry.count, geometry.count, end - begin, dst + begin);
            return;
        }
        if (geometry.inner_reduced) {
            for (int64_t output = begin; output < end; ++output) {
                dst[output] = reduce_run(kernels_, reduction_, geometry, src + offset_of(geometry.kept_axes(), output));
            }
            return;
        }
        const int64_t inner = geometry.kept[0].size;
        const int64_t pieces = divide_up(inner, columns);
        for (int64_t unit = begin; unit < end; ++unit) {
            const int64_t first = unit % pieces * columns;
            const int64_t output = unit / pieces * inner + first;
            reduce_columns(kernels_, reduction_, geometry, src + offset_of(geometry.kept_axes(), output),
                           std::min(columns, inner - first), reinterpret_cast<float*>(scratch), dst + output);
        }
    }

    Reduction reduction_;
    bool none_;
    const KernelTable& kernels_;
};

template <Reduction kReduction>
Result<std::unique_ptr<PreparedNode>> prepare_reduction(const PrepareContext& context) {
    const bool none = context.node.integer("noop_with_empty_axes", 0) != 0;
    return std::unique_ptr<PreparedNode>(std::make_unique<Reduce>(kReduction, none, context.kernels()));
}

}  // namespace

extern const OpImplementation kReduceSumOp{infer_reduction<Reduction::Sum>, prepare_reduction<Reduction::Sum>};
extern const OpImplementation kReduceMeanOp{infer_reduction<Reduction::Mean>, prepare_reduction<Reduction::Mean>};
extern const OpImplementation kReduceMaxOp{infer_reduction<Reduction::Max>, prepare_reduction<Reduction::Max>};
extern const OpImplementation kReduceMinOp{infer_reduction<Reduction::Min>, prepare_reduction<Reduction::Min>};
extern const OpImplementation kReduceProdOp{infer_reduction<Reduction::Prod>, prepare_reduction<Reduction::Prod>};
extern const OpImplementation kReduceL1Op{infer_reduction<Reduction::L1>, prepare_reduction<Reduction::L1>};
extern const OpImplementation kReduceL2Op{infer_reduction<Reduction::L2>, prepare_reduction<Reduction::L2>};
extern const OpImplementation kReduceSumSquareOp{infer_reduction<Reduction::SumSquare>,
                                                 prepare_reduction<Reduction::SumSquare>};
extern const OpImplementation kReduceLogSumOp{infer_reduction<Reduction::LogSum>, prepare_reduction<Reduction::LogSum>};
extern const OpImplementation kReduceLogSumExpOp{infer_reduction<Reduction::LogSumExp>,
                                                 prepare_reduction<Reduction::LogSumExp>};

}  // namespace quoin
