// Random numbers (ONNX): Bernoulli, Dropout, Multinomial, RandomNormal, RandomNormalLike, RandomUniform,
// RandomUniformLike. Equal seeds give equal numbers, on every machine.
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>
#include <random>

#include "ops/axes.h"
#include "ops/element_types.h"
#include "ops/op_kernel.h"
#include "ops/small_formats.h"

namespace quoin {
namespace {

// SplitMix64 of Steele, Lea and Flood: a counter, well mixed.
class Generator {
public:
    explicit Generator(const Node& node) : state_(seed_of(node)) {}

    // From 0 to 1, 1 excluded.
    double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
    // By Box and Muller.
    double normal() {
        const double radius = std::sqrt(-2 * std::log(1 - uniform()));
        return radius * std::cos(2 * std::numbers::pi * uniform());
    }

private:
    static uint64_t seed_of(const Node& node) {
        const Attribute* const seed = node.attribute("seed");
        if (seed != nullptr && std::holds_alternative<double>(*seed))
            return std::bit_cast<uint64_t>(std::get<double>(*seed));
        if (seed != nullptr && std::holds_alternative<int64_t>(*seed)) {
            return static_cast<uint64_t>(std::get<int64_t>(*seed));
        }
        std::random_device device;
        return uint64_t{device()} << 32 | device();
    }
    uint64_t next() {
        state_ += 0x9E3779B97F4A7C15U;
        uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
        return mixed ^ (mixed >> 31);
    }

    uint64_t state_;
};

// The attribute 'dtype'; `fallback` where it is absent, Undefined where it is no type.
DType dtype_of(const Node& node, DType fallback) {
    if (node.attribute("dtype") == nullptr) return fallback;
    const int64_t number = node.integer("dtype", 0);
    if (number <= 0 || number > 255) return DType::Undefined;
    return dtype_from_number(static_cast<uint32_t>(number)).value_or(DType::Undefined);
}

bool is_float(DType dtype) {
    return visit_floats(dtype, []<class T>() {});
}

template <class Next>
void fill(const Tensor& output, Next next) {
    visit_numbers_and_bool(output.dtype(), [&]<class T>() {
        for (T& each : output.as<T>()) each = static_cast<T>(static_cast<Arithmetic<T>>(next()));
    });
}

// ---- RandomNormal, RandomUniform, and Like

Status set_random(InferContext& context, DType dtype, std::optional<std::vector<Dim>> dims) {
    if (dtype != DType::Undefined || context.node().attribute("dtype") != nullptr) {
        if (!is_float(dtype)) return context.fail("the attribute 'dtype' is no type of floats");
    }
    context.set_output(0, dtype, std::move(dims));
    return {};
}

Status infer_random(InferContext& context) {
    const std::vector<int64_t>* const shape = list_attribute(context.node(), "shape");
    if (shape == nullptr) return context.fail("the attribute 'shape' is missing");
    std::vector<Dim> dims;
    for (const int64_t size : *shape) {
        if (size < 0) return context.fail("the shape has the dimension ", size);
        dims.push_back({.size = size});
    }
    if (dims.size() > Shape::kMaxRank) return context.fail("the result has ", dims.size(), " dimensions");
    return set_random(context, dtype_of(context.node(), DType::F32), std::move(dims));
}

Status infer_random_like(InferContext& context) {
    const ValueType& input = context.input(0);
    return set_random(context, dtype_of(context.node(), input.dtype), input.dims);
}

Result<Tensor> random_output(ComputeContext& context) {
    if (context.has_input(0)) {
        const Tensor& like = context.input(0);
        return context.output(0, dtype_of(context.node(), like.dtype()), like.shape());
    }
    const std::vector<int64_t>* const shape = list_attribute(context.node(), "shape");
    if (shape == nullptr || shape->size() > Shape::kMaxRank) return context.fail("the shape is missing");
    return context.output(0, dtype_of(context.node(), DType::F32), Shape(std::span(*shape)));
}

Status compute_normal(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, random_output(context));
    const double mean = context.node().number("mean", 0);
    const double scale = context.node().number("scale", 1);
    Generator generator(context.node());
    fill(output, [&] { return mean + scale * generator.normal(); });
    return {};
}

Status compute_uniform(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, random_output(context));
    const double low = context.node().number("low", 0);
    const double high = context.node().number("high", 1);
    Generator generator(context.node());
    fill(output, [&] { return low + (high - low) * generator.uniform(); });
    return {};
}

// ---- Bernoulli

Status infer_bernoulli(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    const DType dtype = dtype_of(context.node(), input.dtype);
    if (context.node().attribute("dtype") != nullptr && !visit_numbers_and_bool(dtype, []<class T>() {})) {
        return context.fail("the attribute 'dtype' is no type of numbers");
    }
    context.set_output(0, dtype, input.dims);
    return {};
}

Status compute_bernoulli(ComputeContext& context) {
    const Tensor& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(0, dtype_of(context.node(), input.dtype()), input.shape()));
    Generator generator(context.node());
    visit_floats(input.dtype(), [&]<class T>() {
        const T* probability = input.as<const T>().data();
        fill(output, [&] {
            const auto p = static_cast<double>(to_arithmetic(*probability++));
            return generator.uniform() < p ? 1 : 0;
        });
    });
    return {};
}

// ---- Multinomial: rows of logarithms of probabilities, up to a constant

Status infer_multinomial(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16, DType::BF16}));
    const DType dtype = dtype_of(context.node(), DType::I32);
    if (dtype != DType::I32 && dtype != DType::I64) return context.fail("the attribute 'dtype' is neither i32 nor i64");
    const int64_t samples = context.node().integer("sample_size", 1);
    if (samples < 0) return context.fail("the attribute 'sample_size' is ", samples);
    Dim rows;
    if (input.dims) {
        if (input.dims->size() != 2) return context.fail("the input has ", input.dims->size(), " dimensions, not 2");
        if ((*input.dims)[1].size == 0) return context.fail("there are no classes to choose from");
        rows = (*input.dims)[0];
    }
    context.set_output(0, dtype, std::vector<Dim>{rows, {.size = samples}});
    return {};
}

Status compute_multinomial(ComputeContext& context) {
    const Tensor& input = context.input(0);
    if (input.shape().rank() != 2 || input.shape()[1] == 0) return context.fail("there are no classes to choose from");
    const auto classes = static_cast<size_t>(input.shape()[1]);
    const int64_t samples = context.node().integer("sample_size", 1);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(0, dtype_of(context.node(), DType::I32), Shape{input.shape()[0], samples}));
    Generator generator(context.node());
    std::vector<double> below(classes);  // the probability of this class and those before it
    size_t row = 0;
    int64_t sample = 0;
    const auto next = [&] {
        if (sample == 0) {
            visit_floats(input.dtype(), [&]<class T>() {
                const auto logits = input.as<const T>().subspan(row * classes, classes);
                double largest = -INFINITY;
                for (const T& each : logits) largest = std::max(largest, static_cast<double>(to_arithmetic(each)));
                double total = 0;
                for (size_t index = 0; index < classes; ++index) {
                    total += std::exp(static_cast<double>(to_arithmetic(logits[index])) - largest);
                    below[index] = total;
                }
            });
        }
        if (++sample == samples) {
            sample = 0;
            ++row;
        }
        const double drawn = generator.uniform() * below.back();
        const auto found = std::ranges::find_if(below, [&](double bound) { return drawn < bound; });
        return static_cast<int64_t>(std::min<size_t>(static_cast<size_t>(found - below.begin()), classes - 1));
    };
    fill(output, next);
    return {};
}

// ---- Dropout

Status infer_dropout(InferContext& context) {
    const ValueType& input = context.input(0);
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::Bool}));
    const auto nothing = []<class T>() {};
    if (input.dtype != DType::Undefined && !is_float(input.dtype) && !visit_float8(input.dtype, nothing)) {
        return context.fail("input 0 has the element type ", dtype_name(input.dtype),
                            ", which this operator does not take");
    }
    context.set_output(0, input.dtype, input.dims);
    context.set_output(1, DType::Bool, input.dims);
    return {};
}

Status compute_dropout(ComputeContext& context) {
    const Tensor& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(0, input.dtype(), input.shape()));
    QUOIN_ASSIGN_OR_RETURN(const Tensor mask, context.output(1, DType::Bool, input.shape()));
    bool training = false;
    if (context.has_input(2)) {
        if (context.input(2).byte_size() != 1) return context.fail("the training mode is no scalar");
        training = context.input(2).as<const bool>()[0];
    }
    double ratio = 0.5;
    if (context.has_input(1)) {
        if (context.input(1).shape().element_count() != 1) return context.fail("the ratio is no scalar");
        const auto read = [&]<class T>() {
            ratio = static_cast<double>(to_arithmetic(context.input(1).as<const T>()[0]));
        };
        if (!visit_floats(context.input(1).dtype(), read) && !visit_float8(context.input(1).dtype(), read)) {
            return context.fail("the ratio is no float");
        }
    }
    if (!(ratio >= 0 && ratio < 1)) return context.fail("the ratio ", ratio, " is not from 0 to 1");
    const auto kept = mask.as<bool>();
    if (!training || ratio == 0) {
        if (input.byte_size() != 0) std::memcpy(output.data(), input.data(), input.byte_size());
        std::fill(kept.begin(), kept.end(), true);
        return {};
    }
    Generator generator(context.node());
    const auto drop = [&]<class T>() {
        using A = Arithmetic<T>;
        const auto from = input.as<const T>();
        const auto to = output.as<T>();
        const A scale = static_cast<A>(1 / (1 - ratio));
        for (size_t index = 0; index < to.size(); ++index) {
            kept[index] = generator.uniform() >= ratio;
            to[index] = static_cast<T>(kept[index] ? static_cast<A>(to_arithmetic(from[index]) * scale) : A{0});
        }
    };
    if (!visit_floats(input.dtype(), drop) && !visit_float8(input.dtype(), drop)) {
        return context.fail("the element type ", dtype_name(input.dtype()), " is not implemented");
    }
    return {};
}

}  // namespace

extern const OpImplementation kRandomNormalOp{infer_random, nullptr, compute_normal};
extern const OpImplementation kRandomNormalLikeOp{infer_random_like, nullptr, compute_normal};
extern const OpImplementation kRandomUniformOp{infer_random, nullptr, compute_uniform};
extern const OpImplementation kRandomUniformLikeOp{infer_random_like, nullptr, compute_uniform};
extern const OpImplementation kBernoulliOp{infer_bernoulli, nullptr, compute_bernoulli};
extern const OpImplementation kMultinomialOp{infer_multinomial, nullptr, compute_multinomial};
extern const OpImplementation kDropoutOp{infer_dropout, nullptr, compute_dropout};

}  // namespace quoin
