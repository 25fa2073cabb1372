// Functions of one and two elements: values from the ONNX specification or from plain double precision.
#include <cfloat>
#include <functional>
#include <limits>

#include "core/half.h"
#include "op_test.h"

namespace quoin::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

template <class T>
std::vector<T> elements_of(const Tensor& tensor) {
    const auto values = tensor.as<T>();
    return {values.begin(), values.end()};
}

struct UnaryCase {
    Op op;
    double (*function)(double);
    float low;
    float high;
    double most_units;  // of the last place
    Attributes attributes = {};
};

double softplus(double x) {
    return std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0);
}

const std::vector<UnaryCase> kUnaryCases = {
    {Op::Abs, [](double x) { return std::abs(x); }, -9, 9, 0},
    {Op::Neg, [](double x) { return -x; }, -9, 9, 0},
    {Op::Sign, [](double x) { return x < 0   ? -1.0
                                     : x > 0 ? 1.0
                                             : 0.0; }, -9, 9, 0},
    {Op::Floor, [](double x) { return std::floor(x); }, -9, 9, 0},
    {Op::Ceil, [](double x) { return std::ceil(x); }, -9, 9, 0},
    {Op::Round, [](double x) { return std::nearbyint(x); }, -9, 9, 0},
    {Op::Sqrt, [](double x) { return std::sqrt(x); }, 0, 900, 0.6},
    {Op::Reciprocal, [](double x) { return 1 / x; }, 0.01F, 9, 0.6},
    {Op::Exp, [](double x) { return std::exp(x); }, -80, 80, 2},
    {Op::Log, [](double x) { return std::log(x); }, 1e-6F, 90, 2},
    {Op::Log, [](double x) { return std::log(x); }, 0.5F, 2, 2},
    {Op::Erf, [](double x) { return std::erf(x); }, -4.5F, 4.5F, 4},
    {Op::Sin, [](double x) { return std::sin(x); }, -9, 9, 2},
    {Op::Cos, [](double x) { return std::cos(x); }, -9, 9, 2},
    {Op::Tan, [](double x) { return std::tan(x); }, -1, 1, 2},
    {Op::Asin, [](double x) { return std::asin(x); }, -1, 1, 2},
    {Op::Acos, [](double x) { return std::acos(x); }, -1, 0.9F, 2},
    {Op::Atan, [](double x) { return std::atan(x); }, -9, 9, 2},
    {Op::Sinh, [](double x) { return std::sinh(x); }, -9, 9, 2},
    {Op::Cosh, [](double x) { return std::cosh(x); }, -9, 9, 2},
    {Op::Tanh, [](double x) { return std::tanh(x); }, -12, 12, 4},
    {Op::Asinh, [](double x) { return std::asinh(x); }, -9, 9, 2},
    {Op::Acosh, [](double x) { return std::acosh(x); }, 1.5F, 90, 2},
    {Op::Atanh, [](double x) { return std::atanh(x); }, -0.9F, 0.9F, 2},
    {Op::Sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -80, 80, 5},
    {Op::Relu, [](double x) { return std::max(x, 0.0); }, -9, 9, 0},
    {Op::LeakyRelu, [](double x) { return x < 0 ? double{0.01F} * x : x; }, -9, 9, 0.6},
    {Op::Elu, [](double x) { return x < 0 ? std::expm1(x) : x; }, -9, 9, 4},
    {Op::Selu,
     [](double x) {
         return x < 0 ? double{1.0507009873554805F} * double{1.6732632423543772F} * std::expm1(x)
                      : double{1.0507009873554805F} * x;
     },
     -9, 9, 5},
    {Op::Celu, [](double x) { return x < 0 ? 2 * std::expm1(x / 2) : x; }, -9, 9, 4, {{"alpha", 2.0}}},
    {Op::ThresholdedRelu, [](double x) { return x > 1 ? x : 0.0; }, -9, 9, 0},
    {Op::HardSigmoid, [](double x) { return std::clamp(double{0.2F} * x + 0.5, 0.0, 1.0); }, -2.2F, 9, 8},
    {Op::HardSwish, [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }, -2.5F, 9, 8},
    {Op::Softplus, softplus, -80, 80, 6},
    {Op::Softsign, [](double x) { return x / (1 + std::abs(x)); }, -9, 9, 2},
    {Op::Mish, [](double x) { return x * std::tanh(softplus(x)); }, -20, 30, 8},
    {Op::Gelu, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }, -3, 9, 16},
    {Op::Gelu,
     [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); },
     -2,
     9,
     12,
     {{"approximate", std::string("tanh")}}},
    {Op::Swish, [](double x) { return x / (1 + std::exp(-1.5 * x)); }, -9, 9, 12, {{"alpha", 1.5}}},
    {Op::Shrink,
     [](double x) { return x < -1  ? x + 0.5
                           : x > 1 ? x - 0.5
                                   : 0.0; },
     -9,
     9,
     0.6,
     {{"lambd", 1.0}, {"bias", 0.5}}},
};

TEST_CASE("functions of one number are within a few units of the last place, on every instruction set") {
    Random random(3);
    for (const UnaryCase& each : kUnaryCases) {
        std::vector<float> x(20011);  // more than one task, and a tail
        for (float& value : x)
            value = each.low + (each.high - each.low) * static_cast<float>(random.integer(0, 1 << 24)) * 0x1p-24F;
        const Tensor input = floats({20011}, x);
        for (const Isa isa : machine_isas()) {
            RunOptions options;
            options.runtime = make_runtime(1, isa);
            const std::vector<float> y = values_of(result_of(each.op, {given(input)}, each.attributes, options));
            double worst = 0;
            float worst_at = 0;
            for (size_t index = 0; index < x.size(); ++index) {
                const double wanted = each.function(double{x[index]});
                const double unit = std::ldexp(1.0, std::ilogb(std::max(std::abs(wanted), 1e-30)) - 23);
                const double error = std::abs(double{y[index]} - wanted) / unit;
                if (!(error <= worst)) {
                    worst = error;
                    worst_at = x[index];
                }
            }
            CAPTURE(op_info(each.op).name, isa_name(isa), worst_at);
            CHECK(worst <= each.most_units);
        }
    }
}

TEST_CASE("functions of one number agree in double and half precision") {
    Random random(4);
    for (const UnaryCase& each : kUnaryCases) {
        std::vector<double> x(100);
        std::vector<uint16_t> halves(100);
        for (size_t index = 0; index < x.size(); ++index) {
            const float value = each.low + (each.high - each.low) * static_cast<float>(random.integer(0, 1000)) / 1000;
            x[index] = double{value};
            halves[index] = f32_to_f16(value);
        }
        CAPTURE(op_info(each.op).name);
        const auto y =
            elements_of<double>(result_of(each.op, {given(tensor_of(DType::F64, {100}, x))}, each.attributes));
        const auto z =
            elements_of<uint16_t>(result_of(each.op, {given(tensor_of(DType::F16, {100}, halves))}, each.attributes));
        for (size_t index = 0; index < x.size(); ++index) {
            const double wanted = each.function(x[index]);
            CHECK(std::abs(y[index] - wanted) <= 1e-7 * std::abs(wanted) + 1e-9);
            const double half = each.function(double{f16_to_f32(halves[index])});
            if (std::abs(half) < 60000)
                CHECK(std::abs(double{f16_to_f32(z[index])} - half) <= 1e-3 * std::abs(half) + 1e-3);
        }
    }
}

TEST_CASE("functions at the ends of the number line") {
    const Tensor x = floats({6}, {0.0F, -0.0F, kInf, -kInf, kNaN, 1e-42F});
    for (const Isa isa : machine_isas()) {
        RunOptions options;
        options.runtime = make_runtime(1, isa);
        CAPTURE(isa_name(isa));
        const auto of = [&](Op op) { return values_of(result_of(op, {given(x)}, {}, options)); };
        const std::vector<float> log = of(Op::Log);
        CHECK(log[0] == -kInf);
        CHECK(log[2] == kInf);
        CHECK(std::isnan(log[3]));
        CHECK(std::isnan(log[4]));
        CHECK(log[5] == Approx(-96.7085871F));
        const std::vector<float> exp = of(Op::Exp);
        CHECK(exp[0] == 1);
        CHECK(exp[2] == kInf);
        CHECK(exp[3] == 0);
        CHECK(std::isnan(exp[4]));
        const std::vector<float> erf = of(Op::Erf);
        CHECK(erf[2] == 1);
        CHECK(erf[3] == -1);
        CHECK(std::isnan(erf[4]));
        const std::vector<float> gelu = of(Op::Gelu);
        CHECK(gelu[2] == kInf);
        CHECK(gelu[3] == 0);
        CHECK(std::isnan(gelu[4]));
        const std::vector<float> softplus_of = of(Op::Softplus);
        CHECK(softplus_of[2] == kInf);
        CHECK(softplus_of[3] == 0);
        CHECK(std::isnan(softplus_of[4]));
        CHECK(of(Op::Shrink)[4] == 0);  // as ONNX defines it: neither below nor above
        for (const Op op : {Op::Relu, Op::LeakyRelu, Op::Sigmoid, Op::Tanh, Op::Mish, Op::Elu, Op::HardSwish}) {
            CAPTURE(op_info(op).name);
            CHECK(std::isnan(of(op)[4]));
            CHECK(of(op)[2] == (op == Op::Sigmoid || op == Op::Tanh ? 1.0F : kInf));
        }
    }
}

TEST_CASE("swish of minus infinity is the limit, on either side of zero for alpha") {
    const std::vector<float> x = {-kInf, kNaN, -3};
    const auto given_in = [&](DType dtype) {
        return given(result_of(Op::Cast, {given(floats({3}, x))}, {{"to", static_cast<int64_t>(dtype)}}));
    };
    const auto floats_of = [](const Tensor& y) {
        return values_of(result_of(Op::Cast, {given(y)}, {{"to", static_cast<int64_t>(DType::F32)}}));
    };
    const auto of = [&](DType dtype, double alpha) {
        return floats_of(result_of(Op::Swish, {given_in(dtype)}, {{"alpha", alpha}}));
    };
    for (const DType dtype : {DType::F32, DType::F16, DType::F64}) {
        CAPTURE(dtype_name(dtype));
        CHECK(of(dtype, 1)[0] == 0);
        CHECK(of(dtype, -0.5)[0] == -kInf);
        CHECK(std::isnan(of(dtype, -0.5)[1]));
        CHECK(std::abs(of(dtype, -0.5)[2] + 3 / (1 + std::exp(-1.5F))) < 1e-3F);
        const std::vector<float> hard = floats_of(result_of(Op::HardSwish, {given_in(dtype)}));
        CHECK(hard[0] == 0);
        CHECK(std::isnan(hard[1]));
        CHECK(hard[2] == 0);
    }
}

TEST_CASE("integers have signs, magnitudes and opposites") {
    const Operand x = given(tensor_of<int8_t>(DType::I8, {4}, {-128, -3, 0, 127}));
    CHECK(elements_of<int8_t>(result_of(Op::Abs, {x})) == std::vector<int8_t>{-128, 3, 0, 127});
    CHECK(elements_of<int8_t>(result_of(Op::Neg, {x})) == std::vector<int8_t>{-128, 3, 0, -127});
    CHECK(elements_of<int8_t>(result_of(Op::Sign, {x})) == std::vector<int8_t>{-1, -1, 0, 1});
    CHECK(elements_of<int8_t>(result_of(Op::BitwiseNot, {x})) == std::vector<int8_t>{127, 2, -1, -128});
    CHECK(elements_of<int8_t>(result_of(Op::Relu, {x})) == std::vector<int8_t>{0, 0, 0, 127});
}

TEST_CASE("NaN and infinities are found, in float8 as well") {
    const Operand x = given(floats({4}, {1, kNaN, kInf, -kInf}));
    CHECK(elements_of<uint8_t>(result_of(Op::IsNaN, {x})) == std::vector<uint8_t>{0, 1, 0, 0});
    CHECK(elements_of<uint8_t>(result_of(Op::IsInf, {x})) == std::vector<uint8_t>{0, 0, 1, 1});
    CHECK(elements_of<uint8_t>(result_of(Op::IsInf, {x}, {{"detect_negative", int64_t{0}}})) ==
          std::vector<uint8_t>{0, 0, 1, 0});
    const Operand small = given(tensor_of<uint8_t>(DType::F8E5M2, {4}, {0x3C, 0x7F, 0x7C, 0xFC}));
    CHECK(elements_of<uint8_t>(result_of(Op::IsNaN, {small})) == std::vector<uint8_t>{0, 1, 0, 0});
    CHECK(elements_of<uint8_t>(result_of(Op::IsInf, {small})) == std::vector<uint8_t>{0, 0, 1, 1});
}

TEST_CASE("clipping takes the bounds that are there") {
    const Operand x = given(floats({4}, {-5, 0.5F, 7, kNaN}));
    const Operand low = given(floats({}, {-1}));
    const Operand high = given(floats({}, {1}));
    const auto clipped = [&](const std::vector<Operand>& operands) {
        std::vector<float> y = values_of(result_of(Op::Clip, operands));
        CHECK(std::isnan(y[3]));
        y.pop_back();
        return y;
    };
    CHECK(clipped({x, low, high}) == std::vector<float>{-1, 0.5F, 1});
    CHECK(clipped({x, low}) == std::vector<float>{-1, 0.5F, 7});
    CHECK(clipped({x, left_out(), high}) == std::vector<float>{-5, 0.5F, 1});
    CHECK(clipped({x}) == std::vector<float>{-5, 0.5F, 7});
    CHECK(clipped({x, high, low}) == std::vector<float>{-1, -1, -1});
    // Left out bounds are the ends of the element type.
    const Operand infinite = given(floats({2}, {kInf, -kInf}));
    CHECK(values_of(result_of(Op::Clip, {infinite})) == std::vector<float>{FLT_MAX, -FLT_MAX});
    CHECK(values_of(result_of(Op::Clip, {infinite, low})) == std::vector<float>{FLT_MAX, -1});
    const Operand halves = given(tensor_of<uint16_t>(DType::F16, {2}, {0x7C00, 0xFC00}));
    CHECK(elements_of<uint16_t>(result_of(Op::Clip, {halves})) == std::vector<uint16_t>{0x7BFF, 0xFBFF});
    const Operand bytes = given(tensor_of<uint8_t>(DType::U8, {3}, {0, 100, 255}));
    const Operand ten = given(tensor_of<uint8_t>(DType::U8, {}, {10}));
    CHECK(elements_of<uint8_t>(result_of(Op::Clip, {bytes, ten})) == std::vector<uint8_t>{10, 100, 255});
    CHECK_THAT(run_op(Op::Clip, {x, ten}).status().message(), contains("input 1 is u8 where input 0 is f32"));
}

TEST_CASE("SwiGLU gates its second input") {
    const Operand gate = given(floats({3}, {1, -2, 0}));
    const Operand value = given(floats({3}, {2, 3, 4}));
    const std::vector<double> wanted = {2 / (1 + std::exp(-0.5)), -6 / (1 + std::exp(1.0)), 0};
    CHECK(largest_error(values_of(result_of(Op::SwiGLU, {gate, value}, {{"alpha", 0.5}})), wanted) < 1e-6);
}

// ---- two operands

TEST_CASE("differences and quotients keep the order of their operands") {
    const Operand a = given(floats({2, 2}, {1, 2, 3, 4}));
    const Operand row = given(floats({2}, {10, -1}));
    CHECK(values_of(result_of(Op::Sub, {a, row})) == std::vector<float>{-9, 3, -7, 5});
    CHECK(values_of(result_of(Op::Sub, {row, a})) == std::vector<float>{9, -3, 7, -5});
    CHECK(values_of(result_of(Op::Div, {row, a})) == std::vector<float>{10, -0.5F, 10.0F / 3, -0.25F});
    const Status status = run_op(Op::Sub, {a, given(floats({3}, {1, 2, 3}))}).status();
    CHECK(status.code() == StatusCode::InvalidModel);
    CHECK_THAT(status.message(), contains("dimensions 2 and 3 cannot be broadcast"));
}

TEST_CASE("a value per channel in the middle and several tasks") {
    Random random(5);
    const Tensor x = random_floats({2, 30, 17, 19}, random);
    const Tensor scale = random_floats({1, 30, 1, 1}, random);
    const std::vector<float> y = values_of(result_of(Op::Div, {given(x), given(scale)}));
    const std::vector<float> z = values_of(result_of(Op::Sub, {given(scale), given(x)}));
    bool exact = true;
    for (size_t index = 0; index < y.size(); ++index) {
        const float s = scale.as<float>()[index / (17 * 19) % 30];
        exact = exact && y[index] == x.as<float>()[index] / s && z[index] == s - x.as<float>()[index];
    }
    CHECK(exact);
}

TEST_CASE("integer quotients and remainders round as ONNX says and never trap") {
    const std::vector<int32_t> x = {-4, 7, 5, 4, -7, 8, std::numeric_limits<int32_t>::min()};
    const std::vector<int32_t> y = {2, -3, 8, -2, 3, 5, -1};
    const Operand a = given(ints({7}, x));
    const Operand b = given(ints({7}, y));
    CHECK(elements_of<int32_t>(result_of(Op::Div, {a, b})) ==
          std::vector<int32_t>{-2, -2, 0, -2, -2, 1, std::numeric_limits<int32_t>::min()});
    CHECK(elements_of<int32_t>(result_of(Op::Mod, {a, b})) == std::vector<int32_t>{0, -2, 5, 0, 2, 3, 0});
    CHECK(elements_of<int32_t>(result_of(Op::Mod, {a, b}, {{"fmod", int64_t{1}}})) ==
          std::vector<int32_t>{0, 1, 5, 0, -1, 3, 0});
    const Operand zero = given(ints({}, {0}));
    for (const Op op : {Op::Div, Op::Mod}) {
        const Status status = run_op(op, {a, zero}).status();
        CHECK(status.code() == StatusCode::InvalidArgument);
        CHECK(status.message() == "node 'node' (" + std::string(op_info(op).name) + "): an integer is divided by zero");
    }
}

TEST_CASE("remainders of floats have the sign that was asked for") {
    const Operand a = given(floats({4}, {-4.5F, 7, 5, -1}));
    const Operand b = given(floats({4}, {2, -3, kInf, kInf}));
    CHECK(values_of(result_of(Op::Mod, {a, b})) == std::vector<float>{1.5F, -2, 5, kInf});
    CHECK(values_of(result_of(Op::Mod, {a, b}, {{"fmod", int64_t{1}}})) == std::vector<float>{-0.5F, 1, 5, -1});
}

TEST_CASE("powers of any two element types") {
    const Operand x = given(floats({4}, {1, 2, 3, 4}));
    CHECK(values_of(result_of(Op::Pow, {x, given(floats({}, {2}))})) == std::vector<float>{1, 4, 9, 16});
    CHECK(values_of(result_of(Op::Pow, {x, given(floats({}, {0.5F}))})) ==
          std::vector<float>{1, std::sqrt(2.0F), std::sqrt(3.0F), 2});
    CHECK(values_of(result_of(Op::Pow, {x, given(ints({4}, {0, -1, 3, 2}))})) == std::vector<float>{1, 0.5F, 27, 16});
    const Operand n = given(longs({3}, {-2, 3, 1}));
    CHECK(elements_of<int64_t>(result_of(Op::Pow, {n, given(floats({}, {3}))})) == std::vector<int64_t>{-8, 27, 1});
    CHECK(elements_of<int64_t>(result_of(Op::Pow, {n, given(ints({}, {-1}))})) == std::vector<int64_t>{0, 0, 1});
}

TEST_CASE("bits are shifted, by too much as well") {
    const Operand x = given(tensor_of<int8_t>(DType::I8, {4}, {-128, 3, -1, 64}));
    const Operand y = given(tensor_of<int8_t>(DType::I8, {4}, {7, 1, 9, -1}));
    CHECK(elements_of<int8_t>(result_of(Op::BitShift, {x, y}, {{"direction", std::string("RIGHT")}})) ==
          std::vector<int8_t>{-1, 1, -1, 0});
    CHECK(elements_of<int8_t>(result_of(Op::BitShift, {x, y}, {{"direction", std::string("LEFT")}})) ==
          std::vector<int8_t>{0, 6, 0, 0});
    CHECK_THAT(run_op(Op::BitShift, {x, y}).status().message(), contains("must be LEFT or RIGHT"));
}

TEST_CASE("bits and truth values are joined") {
    const Operand a = given(tensor_of<uint8_t>(DType::Bool, {2, 1}, {0, 1}));
    const Operand b = given(tensor_of<uint8_t>(DType::Bool, {2}, {0, 1}));
    CHECK(elements_of<uint8_t>(result_of(Op::And, {a, b})) == std::vector<uint8_t>{0, 0, 0, 1});
    CHECK(elements_of<uint8_t>(result_of(Op::Or, {a, b})) == std::vector<uint8_t>{0, 1, 1, 1});
    CHECK(elements_of<uint8_t>(result_of(Op::Xor, {a, b})) == std::vector<uint8_t>{0, 1, 1, 0});
    CHECK(elements_of<uint8_t>(result_of(Op::Not, {b})) == std::vector<uint8_t>{1, 0});
    const Operand x = given(ints({2}, {12, -1}));
    const Operand y = given(ints({}, {10}));
    CHECK(elements_of<int32_t>(result_of(Op::BitwiseAnd, {x, y})) == std::vector<int32_t>{8, 10});
    CHECK(elements_of<int32_t>(result_of(Op::BitwiseOr, {x, y})) == std::vector<int32_t>{14, -1});
    CHECK(elements_of<int32_t>(result_of(Op::BitwiseXor, {x, y})) == std::vector<int32_t>{6, -11});
}

TEST_CASE("comparisons give truth values, false for NaN") {
    const Operand a = given(floats({4}, {1, 2, 3, kNaN}));
    const Operand b = given(floats({}, {2}));
    CHECK(elements_of<uint8_t>(result_of(Op::Less, {a, b})) == std::vector<uint8_t>{1, 0, 0, 0});
    CHECK(elements_of<uint8_t>(result_of(Op::LessOrEqual, {a, b})) == std::vector<uint8_t>{1, 1, 0, 0});
    CHECK(elements_of<uint8_t>(result_of(Op::Greater, {a, b})) == std::vector<uint8_t>{0, 0, 1, 0});
    CHECK(elements_of<uint8_t>(result_of(Op::GreaterOrEqual, {a, b})) == std::vector<uint8_t>{0, 1, 1, 0});
    CHECK(elements_of<uint8_t>(result_of(Op::Equal, {a, b})) == std::vector<uint8_t>{0, 1, 0, 0});
    const Operand words = given(tensor_of<std::string>(DType::String, {3}, {"a", "b", "a"}));
    const Operand word = given(tensor_of<std::string>(DType::String, {1}, {"a"}));
    CHECK(elements_of<uint8_t>(result_of(Op::Equal, {words, word})) == std::vector<uint8_t>{1, 0, 1});
}

TEST_CASE("where chooses element by element, strings too") {
    const Operand condition = given(tensor_of<uint8_t>(DType::Bool, {2, 1}, {1, 0}));
    const Operand x = given(floats({2}, {1, 2}));
    const Operand y = given(floats({2, 2}, {5, 6, 7, 8}));
    CHECK(values_of(result_of(Op::Where, {condition, x, y})) == std::vector<float>{1, 2, 7, 8});
}

TEST_CASE("minimum, maximum, sum and mean of any number of operands") {
    const Operand a = given(floats({2, 2}, {1, 5, kNaN, 0}));
    const Operand b = given(floats({2}, {3, 2}));
    const Operand c = given(floats({}, {4}));
    const auto with = [&](Op op) { return values_of(result_of(op, {a, b, c})); };
    CHECK(with(Op::Max)[0] == 4);
    CHECK(with(Op::Max)[1] == 5);
    CHECK(std::isnan(with(Op::Max)[2]));
    CHECK(with(Op::Min)[1] == 2);
    CHECK(std::isnan(with(Op::Min)[2]));
    CHECK(with(Op::Sum)[1] == 11);
    CHECK(with(Op::Mean)[3] == 2);
    CHECK(values_of(result_of(Op::Max, {b})) == std::vector<float>{3, 2});
    const Operand n = given(tensor_of<uint8_t>(DType::U8, {2}, {200, 3}));
    const Operand m = given(tensor_of<uint8_t>(DType::U8, {1}, {100}));
    CHECK(elements_of<uint8_t>(result_of(Op::Min, {n, m})) == std::vector<uint8_t>{100, 3});
}

TEST_CASE("a slope for each channel") {
    const Operand x = given(floats({1, 2, 2}, {-1, 2, -3, 4}));
    const Operand slope = given(floats({2, 1}, {0.5F, 0.1F}));
    CHECK(values_of(result_of(Op::PRelu, {x, slope})) == std::vector<float>{-0.5F, 2, -3 * 0.1F, 4});
    const Operand wide = given(floats({3, 1, 1}, {1, 1, 1}));
    CHECK_THAT(run_op(Op::PRelu, {x, wide}).status().message(), contains("the slope cannot be broadcast"));
}

}  // namespace
}  // namespace quoin::test
