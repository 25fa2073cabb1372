// Reductions, running sums, softmax and their like against plain double precision, and values of the specification.
#include <functional>
#include <limits>
#include <map>

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

using Reference = std::function<double(const std::vector<double>&)>;

double sum_of(const std::vector<double>& values, const std::function<double(double)>& function) {
    double sum = 0;
    for (const double each : values) sum += function(each);
    return sum;
}
double log_sum_exp(const std::vector<double>& v) {
    const double top = *std::max_element(v.begin(), v.end());
    return top + std::log(sum_of(v, [&](double x) { return std::exp(x - top); }));
}

const std::vector<std::pair<Op, Reference>> kReductions = {
    {Op::ReduceSum, [](const auto& v) { return sum_of(v, [](double x) { return x; }); }},
    {Op::ReduceMean,
     [](const auto& v) { return sum_of(v, [](double x) { return x; }) / static_cast<double>(v.size()); }},
    {Op::ReduceMax, [](const auto& v) { return *std::max_element(v.begin(), v.end()); }},
    {Op::ReduceMin, [](const auto& v) { return *std::min_element(v.begin(), v.end()); }},
    {Op::ReduceProd,
     [](const auto& v) {
         double product = 1;
         for (const double each : v) product *= each;
         return product;
     }},
    {Op::ReduceL1, [](const auto& v) { return sum_of(v, [](double x) { return std::abs(x); }); }},
    {Op::ReduceL2, [](const auto& v) { return std::sqrt(sum_of(v, [](double x) { return x * x; })); }},
    {Op::ReduceSumSquare, [](const auto& v) { return sum_of(v, [](double x) { return x * x; }); }},
    {Op::ReduceLogSum, [](const auto& v) { return std::log(sum_of(v, [](double x) { return x; })); }},
    {Op::ReduceLogSumExp, log_sum_exp},
};

// The elements of x that make each result, by the axes that stay.
std::vector<double> reduce(const std::vector<double>& x, const Shape& shape, const std::vector<int64_t>& axes,
                           const Reference& reference) {
    std::map<std::vector<int64_t>, std::vector<double>> groups;
    for (size_t index = 0; index < x.size(); ++index) {
        std::vector<int64_t> place(shape.rank());
        auto rest = static_cast<int64_t>(index);
        for (size_t axis = shape.rank(); axis-- > 0;) {
            place[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        for (const int64_t axis : axes) place[static_cast<size_t>(axis)] = 0;
        groups[place].push_back(x[index]);
    }
    std::vector<double> results;
    for (const auto& [place, values] : groups) results.push_back(reference(values));
    return results;
}

TEST_CASE("reductions over any axes agree with double precision, in every element type") {
    const std::vector<std::pair<Shape, std::vector<int64_t>>> cases = {
        {{3, 4, 5}, {2}},       {{3, 4, 5}, {0}},         {{3, 4, 5}, {1}}, {{3, 4, 5}, {0, 2}}, {{3, 4, 5}, {0, 1, 2}},
        {{3, 4, 5}, {1, 2}},    {{2, 3, 37, 41}, {2, 3}}, {{2, 1500}, {0}}, {{1, 1, 7}, {0, 1}}, {{2, 3, 4, 5}, {0, 2}},
        {{2, 3, 4, 5}, {1, 3}}, {{17, 3001}, {1}},        {{150, 33}, {0}}, {{1}, {0}},
    };
    Random random(6);
    for (const auto& [shape, axes] : cases) {
        std::vector<float> x(static_cast<size_t>(shape.element_count().value()));
        for (float& each : x) each = 1.0F + 0.1F * random.normal();
        const std::vector<double> doubles(x.begin(), x.end());
        const Tensor axis_tensor = longs({static_cast<int64_t>(axes.size())}, axes);
        for (const auto& [op, reference] : kReductions) {
            const std::vector<double> wanted = reduce(doubles, shape, axes, reference);
            if (std::abs(wanted[0]) > 1e30) continue;
            CAPTURE(op_info(op).name, to_string(shape), axes);
            const Tensor y = result_of(op, {given(floats(shape, x)), constant(axis_tensor)});
            CHECK(y.shape().rank() == shape.rank());
            CHECK(largest_error(values_of(y), wanted) < 1e-6);
            const Tensor z = result_of(op, {given(tensor_of(DType::F64, shape, doubles)), given(axis_tensor)},
                                       {{"keepdims", int64_t{0}}});
            CHECK(z.shape().rank() == shape.rank() - axes.size());
            const std::vector<double> exact = elements_of<double>(z);
            for (size_t index = 0; index < wanted.size(); ++index) CHECK(exact[index] == Approx(wanted[index]));
        }
    }
}

TEST_CASE("no axes are all axes, or none where that is asked for") {
    const Operand x = given(floats({2, 2}, {1, -2, 3, 4}));
    CHECK(values_of(result_of(Op::ReduceSum, {x})) == std::vector<float>{6});
    CHECK(values_of(result_of(Op::ReduceSum, {x, given(longs({0}, {}))})) == std::vector<float>{6});
    const Attributes none = {{"noop_with_empty_axes", int64_t{1}}};
    CHECK(values_of(result_of(Op::ReduceSum, {x}, none)) == std::vector<float>{1, -2, 3, 4});
    CHECK(values_of(result_of(Op::ReduceSumSquare, {x}, none)) == std::vector<float>{1, 4, 9, 16});
    CHECK_THAT(run_op(Op::ReduceSum, {x, given(longs({1}, {2}))}).status().message(), contains("axis 2 is none"));
}

TEST_CASE("reductions of nothing and of what is no number") {
    const Operand nothing = given(floats({2, 0}, {}));
    const Operand axis = constant(longs({1}, {-1}));
    CHECK(values_of(result_of(Op::ReduceSum, {nothing, axis})) == std::vector<float>{0, 0});
    CHECK(values_of(result_of(Op::ReduceProd, {nothing, axis})) == std::vector<float>{1, 1});
    CHECK(values_of(result_of(Op::ReduceMax, {nothing, axis})) == std::vector<float>{-kInf, -kInf});
    CHECK(values_of(result_of(Op::ReduceLogSumExp, {nothing, axis})) == std::vector<float>{-kInf, -kInf});
    const Operand x = given(floats({3, 2}, {1, kNaN, kInf, -kInf, -kInf, -kInf}));
    const std::vector<float> top = values_of(result_of(Op::ReduceMax, {x, axis}));
    CHECK(std::isnan(top[0]));
    CHECK(top[1] == kInf);
    CHECK(top[2] == -kInf);
    const std::vector<float> sums = values_of(result_of(Op::ReduceLogSumExp, {x, axis}));
    CHECK(std::isnan(sums[0]));
    CHECK(sums[1] == kInf);
    CHECK(sums[2] == -kInf);
    const Operand truth = given(tensor_of<uint8_t>(DType::Bool, {2, 2}, {1, 0, 0, 0}));
    CHECK(elements_of<uint8_t>(result_of(Op::ReduceMax, {truth, axis})) == std::vector<uint8_t>{1, 0});
    const Operand n = given(ints({3}, {-3, 4, 5}));
    CHECK(elements_of<int32_t>(result_of(Op::ReduceL1, {n})) == std::vector<int32_t>{12});
    CHECK(elements_of<int32_t>(result_of(Op::ReduceMean, {n})) == std::vector<int32_t>{2});
}

TEST_CASE("the first or the last of the largest and smallest") {
    const Operand x = given(floats({2, 3}, {2, 7, 7, kNaN, 1, 9}));
    const Attributes last_axis = {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}};
    CHECK(elements_of<int64_t>(result_of(Op::ArgMax, {x}, last_axis)) == std::vector<int64_t>{1, 0});
    CHECK(elements_of<int64_t>(result_of(Op::ArgMin, {x}, last_axis)) == std::vector<int64_t>{0, 0});
    Attributes last = last_axis;
    last.emplace_back("select_last_index", int64_t{1});
    CHECK(elements_of<int64_t>(result_of(Op::ArgMax, {x}, last)) == std::vector<int64_t>{2, 0});
    CHECK(result_of(Op::ArgMax, {x}).shape() == Shape{1, 3});
    CHECK(elements_of<int64_t>(result_of(Op::ArgMax, {x})) == std::vector<int64_t>{1, 0, 1});
}

TEST_CASE("running sums and products") {
    const Operand x = given(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
    const Operand one = given(ints({}, {1}));
    CHECK(values_of(result_of(Op::CumSum, {x, one})) == std::vector<float>{1, 3, 6, 4, 9, 15});
    CHECK(values_of(result_of(Op::CumSum, {x, given(longs({}, {-2}))})) == std::vector<float>{1, 2, 3, 5, 7, 9});
    CHECK(values_of(result_of(Op::CumSum, {x, one}, {{"exclusive", int64_t{1}}, {"reverse", int64_t{1}}})) ==
          std::vector<float>{5, 3, 0, 11, 6, 0});
    CHECK(values_of(result_of(Op::CumProd, {x, one})) == std::vector<float>{1, 2, 6, 4, 20, 120});
    CHECK_THAT(run_op(Op::CumSum, {x, given(ints({}, {2}))}).status().message(), contains("axis 2 is out of range"));
}

TEST_CASE("softmax and its logarithm along any axis") {
    Random random(7);
    const Shape shape = {3, 40, 70};
    const Tensor x = random_floats(shape, random);
    for (const int64_t axis : {0, 1, 2, -1}) {
        const auto at = static_cast<size_t>(axis < 0 ? axis + 3 : axis);
        const auto inner = static_cast<size_t>(at == 2 ? 1 : at == 1 ? 70 : 40 * 70);
        const auto size = static_cast<size_t>(shape[at]);
        std::vector<double> soft(values_of(x).size()), log_soft(soft.size());
        for (size_t index = 0; index < soft.size(); ++index) {
            const size_t first = index / (inner * size) * inner * size + index % inner;
            double sum = 0;
            for (size_t each = 0; each < size; ++each) sum += std::exp(double{values_of(x)[first + each * inner]});
            log_soft[index] = double{values_of(x)[index]} - std::log(sum);
            soft[index] = std::exp(log_soft[index]);
        }
        CAPTURE(axis);
        CHECK(largest_error(values_of(result_of(Op::Softmax, {given(x)}, {{"axis", axis}})), soft) < 1e-6);
        CHECK(largest_error(values_of(result_of(Op::LogSoftmax, {given(x)}, {{"axis", axis}})), log_soft) < 1e-6);
    }
    const Operand large = given(floats({1, 3}, {1e4F, 1e4F - 1, 0}));
    CHECK(values_of(result_of(Op::LogSoftmax, {large}))[2] == Approx(-10000.3133F));
}

TEST_CASE("hardmax marks the first largest, norms divide") {
    const Operand x = given(floats({2, 3}, {3, 3, 1, 0, 1, 2}));
    CHECK(values_of(result_of(Op::Hardmax, {x})) == std::vector<float>{1, 0, 0, 0, 0, 1});
    const Operand y = given(floats({2, 2}, {3, 4, 0, 0}));
    CHECK(largest_error(values_of(result_of(Op::LpNormalization, {y})), {0.6, 0.8, 0, 0}) < 1e-6);
    CHECK(largest_error(values_of(result_of(Op::LpNormalization, {y}, {{"p", int64_t{1}}, {"axis", int64_t{0}}})),
                        {1, 1, 0, 0}) < 1e-6);
}

TEST_CASE("determinants, also of a batch") {
    const Operand x = given(floats({2, 2, 2}, {0, 1, 2, 3, 1, 2, 3, 1}));
    const Tensor y = result_of(Op::Det, {x});
    CHECK(y.shape() == Shape{2});
    CHECK(largest_error(values_of(y), {-2, -5}) < 1e-6);
}

TEST_CASE("unit matrices, triangles and ranges") {
    const Operand x = given(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
    CHECK(values_of(result_of(Op::EyeLike, {x}, {{"k", int64_t{1}}})) == std::vector<float>{0, 1, 0, 0, 0, 1});
    CHECK(values_of(result_of(Op::Trilu, {x})) == std::vector<float>{1, 2, 3, 0, 5, 6});
    CHECK(values_of(result_of(Op::Trilu, {x, given(longs({}, {1}))}, {{"upper", int64_t{0}}})) ==
          std::vector<float>{1, 2, 0, 4, 5, 6});
    const auto range = [](std::vector<int64_t> v) {
        return run_op(Op::Range, {given(longs({}, {v[0]})), given(longs({}, {v[1]})), given(longs({}, {v[2]}))});
    };
    CHECK(elements_of<int64_t>((*range({3, 9, 3}))[0]) == std::vector<int64_t>{3, 6});
    CHECK(elements_of<int64_t>((*range({10, 4, -2}))[0]) == std::vector<int64_t>{10, 8, 6});
    CHECK((*range({4, 4, 1}))[0].shape() == Shape{0});
    CHECK_THAT(range({0, 4, 0}).status().message(), contains("the step is 0"));
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    CHECK_FALSE(range({-kMost, kMost, 1}).ok());
    CHECK_FALSE(range({0, kMost, 1}).ok());
    const auto floats_of = [](float start, float limit, float delta) {
        return run_op(Op::Range,
                      {constant(floats({}, {start})), constant(floats({}, {limit})), constant(floats({}, {delta}))});
    };
    CHECK(values_of((*floats_of(0, 1, 0.25F))[0]) == std::vector<float>{0, 0.25F, 0.5F, 0.75F});
    CHECK_FALSE(floats_of(0, kInf, 1).ok());
}

}  // namespace
}  // namespace quoin::test
