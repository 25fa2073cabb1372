// Pad, scatters, TopK, Unique, NonZero and the other ops whose results are picked or placed by index: values from the
// ONNX specification or from plain loops.
#include <algorithm>
#include <limits>
#include <numeric>

#include "op_test.h"

namespace quoin::test {
namespace {

using Longs = std::vector<int64_t>;

Operand list(const Longs& values, bool known = true) {
    const Tensor tensor = longs({static_cast<int64_t>(values.size())}, values);
    return known ? constant(tensor) : given(tensor);
}
Longs longs_of(const Tensor& tensor) {
    return {tensor.as<int64_t>().begin(), tensor.as<int64_t>().end()};
}
Tensor counted(const Shape& shape) {
    std::vector<float> numbers(static_cast<size_t>(shape.element_count().value()));
    std::iota(numbers.begin(), numbers.end(), 0.0F);
    return floats(shape, numbers);
}
void refused(const Result<std::vector<Tensor>>& result, const std::string& reason) {
    CHECK_FALSE(result.ok());
    CHECK_THAT(result.status().message(), contains(reason));
}

// ---- Pad

// The element that NumPy puts at `index` of a padded axis; -1: the constant.
int64_t padded_source(int64_t index, int64_t dim, const std::string& mode) {
    if (mode == "constant") return index < 0 || index >= dim ? -1 : index;
    if (mode == "edge") return std::clamp<int64_t>(index, 0, dim - 1);
    if (mode == "wrap") return (index % dim + dim) % dim;
    while (dim > 1 && (index < 0 || index >= dim)) index = index < 0 ? -index : 2 * (dim - 1) - index;
    return dim == 1 ? 0 : index;
}

TEST_CASE("padding in every mode, on every axis, wider than the tensor itself") {
    struct Case {
        Longs pads;
        Longs axes;  // empty: all
    };
    const std::vector<Case> cases = {{{0, 0, 0, 0, 0, 0}, {}}, {{1, 0, 2, 0, 3, 1}, {}}, {{0, 5, 0, 0, 7, 0}, {}},
                                     {{3, 9}, {-1}},           {{2, 1, 4, 5}, {2, 0}},   {{0, 0, 11, 0, 0, 13}, {}}};
    const Tensor x = counted({2, 3, 4});
    for (const std::string mode : {"constant", "edge", "wrap", "reflect"}) {
        for (const Case& each : cases) {
            CAPTURE(mode, each.pads, each.axes);
            Longs begin(3);
            Shape shape = x.shape();
            const size_t count = each.pads.size() / 2;
            for (size_t index = 0; index < count; ++index) {
                const int64_t axis = each.axes.empty() ? static_cast<int64_t>(index) : each.axes[index];
                const auto at = static_cast<size_t>(axis < 0 ? axis + 3 : axis);
                begin[at] = each.pads[index];
                shape[at] += each.pads[index] + each.pads[count + index];
            }
            const Tensor y = result_of(
                Op::Pad,
                {given(x), list(each.pads), given(floats({}, {-5})), each.axes.empty() ? left_out() : list(each.axes)},
                {{"mode", mode}});
            REQUIRE(y.shape() == shape);
            bool equal = true;
            for (int64_t position = 0; position < shape.element_count().value(); ++position) {
                int64_t rest = position;
                int64_t offset = 0;
                int64_t stride = 1;
                bool outside = false;
                for (size_t axis = 3; axis-- > 0;) {
                    const int64_t source = padded_source(rest % shape[axis] - begin[axis], x.shape()[axis], mode);
                    outside = outside || source < 0;
                    offset += source * stride;
                    stride *= x.shape()[axis];
                    rest /= shape[axis];
                }
                equal = equal &&
                        y.as<float>()[static_cast<size_t>(position)] == (outside ? -5.0F : static_cast<float>(offset));
            }
            CHECK(equal);
        }
    }
}

TEST_CASE("negative pads cut off, and what cannot be padded is refused") {
    const Tensor y = result_of(Op::Pad, {given(counted({2, 4})), list({-1, -1, 0, 2}, false)});
    CHECK(y.shape() == Shape{1, 5});
    CHECK(values_of(y) == std::vector<float>{5, 6, 7, 0, 0});
    refused(run_op(Op::Pad, {given(counted({2})), list({-2, -1})}), "more than the 2 elements of axis 0 are cut off");
    refused(run_op(Op::Pad, {given(counted({2})), list({1})}), "1 pads are given for 1 axes");
    refused(run_op(Op::Pad, {given(counted({2})), list({std::numeric_limits<int64_t>::max(), 2})}), "too large");
    refused(run_op(Op::Pad, {given(floats({0}, {})), list({1, 0})}, {{"mode", std::string("edge")}}),
            "has nothing to be padded with");
    refused(run_op(Op::Pad, {given(counted({2})), list({1, 0})}, {{"mode", std::string("mirror")}}),
            "there is no mode 'mirror'");
}

TEST_CASE("center crop and pad") {
    Tensor y = result_of(Op::CenterCropPad, {given(counted({5, 3})), list({2, 5})});
    CHECK(values_of(y) == std::vector<float>{0, 3, 4, 5, 0, 0, 6, 7, 8, 0});
    y = result_of(Op::CenterCropPad, {given(counted({2, 3})), list({4}, false)}, {{"axes", Longs{-1}}});
    CHECK(values_of(y) == std::vector<float>{0, 1, 2, 0, 3, 4, 5, 0});
}

// ---- Scatters

TEST_CASE("scattering elements replaces or combines them") {
    const Operand data = given(floats({3, 3}, {1, 1, 1, 1, 1, 1, 1, 1, 1}));
    const Operand indices = given(longs({2, 3}, {1, 0, 2, 0, -1, 1}));
    const Operand updates = given(floats({2, 3}, {2, 3, 4, 5, 6, 7}));
    CHECK(values_of(result_of(Op::ScatterElements, {data, indices, updates})) ==
          std::vector<float>{5, 3, 1, 2, 1, 7, 1, 6, 4});
    CHECK(values_of(result_of(Op::ScatterElements,
                              {data, given(longs({1, 3}, {0, 0, 0})), given(floats({1, 3}, {2, 3, 4}))},
                              {{"axis", int64_t{1}}, {"reduction", std::string("add")}})) ==
          std::vector<float>{10, 1, 1, 1, 1, 1, 1, 1, 1});
    for (const auto& [name, wanted] : std::vector<std::pair<std::string, float>>{{"mul", 24}, {"max", 4}, {"min", 1}}) {
        const Tensor y =
            result_of(Op::ScatterElements, {data, given(longs({1, 3}, {0, 0, 0})), given(floats({1, 3}, {2, 3, 4}))},
                      {{"axis", int64_t{1}}, {"reduction", name}});
        CHECK(y.as<float>()[0] == wanted);
    }
    refused(run_op(Op::ScatterElements, {data, given(longs({1, 1}, {3})), given(floats({1, 1}, {0}))}),
            "index 3 is not below 3");
    refused(run_op(Op::ScatterElements, {data, given(longs({1, 4}, Longs(4))), given(floats({1, 4}, {0, 0, 0, 0}))}),
            "the indices have 4 along axis 1, the data 3");
    refused(run_op(Op::ScatterElements, {data, given(longs({1, 1}, {0})), given(floats({1, 2}, {0, 0}))}),
            "indices and updates have different shapes");
}

TEST_CASE("scattering slices") {
    const Operand data = given(counted({4, 2}));
    const Tensor y = result_of(
        Op::ScatterND, {data, given(longs({3, 1}, {2, -4, 2})), given(floats({3, 2}, {10, 20, 30, 40, 50, 60}))});
    CHECK(values_of(y) == std::vector<float>{30, 40, 2, 3, 50, 60, 6, 7});
    const Tensor sum = result_of(
        Op::ScatterND, {data, given(longs({3, 1}, {2, 0, 2})), given(floats({3, 2}, {10, 20, 30, 40, 50, 60}))},
        {{"reduction", std::string("add")}});
    CHECK(values_of(sum) == std::vector<float>{30, 41, 2, 3, 64, 85, 6, 7});
    refused(run_op(Op::ScatterND, {data, given(longs({1, 2}, {0, 2})), given(floats({1}, {1}))}),
            "index 2 is not below 2");
    refused(run_op(Op::ScatterND, {data, given(longs({1, 1}, {0})), given(floats({1}, {1}))}), "another shape");
}

TEST_CASE("a cache is written from given places on, around its end where it is circular") {
    const Operand cache = given(counted({2, 3, 1}));
    const Operand update = given(floats({2, 2, 1}, {10, 11, 12, 13}));
    CHECK(values_of(result_of(Op::TensorScatter, {cache, update, given(longs({2}, {1, 0}))})) ==
          std::vector<float>{0, 10, 11, 12, 13, 5});
    CHECK(values_of(result_of(Op::TensorScatter, {cache, update, given(longs({2}, {2, 1}))},
                              {{"mode", std::string("circular")}})) == std::vector<float>{11, 1, 10, 3, 12, 13});
    refused(run_op(Op::TensorScatter, {cache, update, given(longs({2}, {2, 0}))}), "leaves no room for 2 of 3");
}

// ---- TopK

TEST_CASE("the best k of each line are those that sorting finds, the earlier first among equals") {
    Random random(3);
    for (const int64_t count : {1, 5, 40, 300}) {
        for (const int64_t k : {int64_t{0}, int64_t{1}, int64_t{3}, std::min<int64_t>(count, 40), count}) {
            if (k > count) continue;
            for (const bool largest : {true, false}) {
                std::vector<float> numbers;
                for (int64_t each = 0; each < 2 * count * 3; ++each) {
                    numbers.push_back(static_cast<float>(random.integer(-20, 20)));  // many are equal
                }
                const auto outputs = run_op(Op::TopK, {given(floats({2, count, 3}, numbers)), list({k})},
                                            {{"axis", int64_t{1}}, {"largest", int64_t{largest}}});
                CAPTURE(count, k, largest);
                REQUIRE(outputs.ok());
                const Longs positions = longs_of((*outputs)[1]);
                const std::vector<float> values = values_of((*outputs)[0]);
                REQUIRE((*outputs)[0].shape() == Shape{2, k, 3});
                bool equal = true;
                for (int64_t line = 0; line < 6; ++line) {
                    const int64_t start = line / 3 * count * 3 + line % 3;
                    const auto number = [&](int64_t at) { return numbers[static_cast<size_t>(start + at * 3)]; };
                    Longs order(static_cast<size_t>(count));
                    std::iota(order.begin(), order.end(), 0);
                    std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
                        return largest ? number(a) > number(b) : number(a) < number(b);
                    });
                    for (int64_t each = 0; each < k; ++each) {
                        const auto at = static_cast<size_t>(line / 3 * k * 3 + each * 3 + line % 3);
                        equal = equal && positions[at] == order[static_cast<size_t>(each)] &&
                                values[at] == number(order[static_cast<size_t>(each)]);
                    }
                }
                CHECK(equal);
            }
        }
    }
    refused(run_op(Op::TopK, {given(counted({3})), list({4}, false)}), "k is 4 for 3 elements");
    refused(run_op(Op::TopK, {given(counted({3})), list({-1}, false)}), "k is no size");
}

TEST_CASE("NaN is the largest of all, wherever it stands") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> numbers(100);
    for (size_t each = 0; each < numbers.size(); ++each) numbers[each] = each % 3 == 0 ? nan : static_cast<float>(each);
    const auto outputs = run_op(Op::TopK, {given(floats({100}, numbers)), list({40})});
    REQUIRE(outputs.ok());
    CHECK(std::isnan(values_of((*outputs)[0])[33]));
    CHECK(values_of((*outputs)[0])[34] == 98);
}

// ---- NonZero, Compress, Unique, OneHot, ReverseSequence

TEST_CASE("indices of what is not zero") {
    const Tensor y = result_of(Op::NonZero, {given(floats({2, 3}, {0, 1, 0, 2, -0.0F, 3}))});
    CHECK(y.shape() == Shape{2, 3});
    CHECK(longs_of(y) == Longs{0, 1, 1, 1, 0, 2});
}

TEST_CASE("compressing keeps what the condition says") {
    const Operand x = given(counted({3, 2}));
    const auto condition = [](const std::vector<uint8_t>& flags) {
        return given(tensor_of(DType::Bool, {static_cast<int64_t>(flags.size())}, flags));
    };
    CHECK(values_of(result_of(Op::Compress, {x, condition({0, 1, 1})}, {{"axis", int64_t{0}}})) ==
          std::vector<float>{2, 3, 4, 5});
    CHECK(values_of(result_of(Op::Compress, {x, condition({0, 1})}, {{"axis", int64_t{-1}}})) ==
          std::vector<float>{1, 3, 5});
    CHECK(values_of(result_of(Op::Compress, {x, condition({0, 1, 0, 0, 1})})) == std::vector<float>{1, 4});
    refused(run_op(Op::Compress, {x, condition({0, 0, 1})}, {{"axis", int64_t{1}}}), "keeps element 2 of 2");
}

// All four outputs of Unique.
std::vector<Tensor> unique(const Tensor& x, const Attributes& attributes = {}) {
    Graph graph;
    Node node{Op::Unique, "node", {graph.add_input("x", x.dtype(), dims_of(x.shape()))}, {}, attributes};
    for (const char* const name : {"y", "indices", "inverse", "counts"}) {
        node.outputs.push_back(graph.add_value(name, DType::Undefined, {}));
        graph.add_output(node.outputs.back());
    }
    graph.append_node(std::move(node));
    const auto outputs = run_graph(std::move(graph), {x});
    REQUIRE(outputs.ok());
    return *outputs;
}

TEST_CASE("unique elements, sorted and in the order of their appearance") {
    const Tensor x = floats({6}, {2, 1, 1, 3, 4, 3});
    auto outputs = unique(x);
    CHECK(values_of(outputs[0]) == std::vector<float>{1, 2, 3, 4});
    CHECK(longs_of(outputs[1]) == Longs{1, 0, 3, 4});
    CHECK(longs_of(outputs[2]) == Longs{1, 0, 0, 2, 3, 2});
    CHECK(longs_of(outputs[3]) == Longs{2, 1, 2, 1});
    outputs = unique(x, {{"sorted", int64_t{0}}});
    CHECK(values_of(outputs[0]) == std::vector<float>{2, 1, 3, 4});
    CHECK(longs_of(outputs[1]) == Longs{0, 1, 3, 4});
    CHECK(longs_of(outputs[2]) == Longs{0, 1, 1, 2, 3, 2});
    outputs = unique(floats({2, 3}, {1, 0, 1, 2, 3, 2}), {{"axis", int64_t{1}}});
    CHECK(outputs[0].shape() == Shape{2, 2});
    CHECK(values_of(outputs[0]) == std::vector<float>{0, 1, 3, 2});
    CHECK(longs_of(outputs[2]) == Longs{1, 0, 1});
}

TEST_CASE("one hot on any axis; indices outside are off") {
    const Operand indices = given(longs({2, 2}, {0, -1, 2, 5}));
    const Tensor y = result_of(Op::OneHot, {indices, constant(longs({}, {3})), given(floats({2}, {-1, 1}))});
    CHECK(y.shape() == Shape{2, 2, 3});
    CHECK(values_of(y) == std::vector<float>{1, -1, -1, -1, -1, 1, -1, -1, 1, -1, -1, -1});
    const Tensor first =
        result_of(Op::OneHot, {indices, given(floats({1}, {3})), given(floats({2}, {0, 1}))}, {{"axis", int64_t{0}}});
    CHECK(first.shape() == Shape{3, 2, 2});
    CHECK(values_of(first) == std::vector<float>{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0});
    refused(run_op(Op::OneHot, {indices, given(longs({}, {-3})), given(floats({2}, {0, 1}))}), "the depth is no size");
}

TEST_CASE("sequences are reversed up to their lengths") {
    const Operand x = given(counted({4, 2}));
    CHECK(values_of(result_of(Op::ReverseSequence, {x, given(longs({2}, {4, 2}))})) ==
          std::vector<float>{6, 3, 4, 1, 2, 5, 0, 7});
    CHECK(values_of(result_of(Op::ReverseSequence, {given(counted({2, 4})), given(longs({2}, {1, 3}))},
                              {{"batch_axis", int64_t{0}}, {"time_axis", int64_t{1}}})) ==
          std::vector<float>{0, 1, 2, 3, 6, 5, 4, 7});
    refused(run_op(Op::ReverseSequence, {x, given(longs({2}, {5, 0}))}), "a length of 5 of 4 steps");
}

// ---- NonMaxSuppression, MaxUnpool, Col2Im

TEST_CASE("boxes that a better one covers are suppressed") {
    const Operand boxes = given(floats({1, 6, 4}, {0, 0,  1, 1,  0, 0.1F,  1, 1.1F,  0, -0.1F, 1, 0.9F,
                                                   0, 10, 1, 11, 0, 10.1F, 1, 11.1F, 0, 100,   1, 101}));
    const Operand scores = given(floats({1, 1, 6}, {0.9F, 0.75F, 0.6F, 0.95F, 0.5F, 0.3F}));
    const auto kept = [&](int64_t most, float least) {
        return longs_of(result_of(Op::NonMaxSuppression, {boxes, scores, given(longs({1}, {most})),
                                                          given(floats({1}, {0.5F})), given(floats({1}, {least}))}));
    };
    CHECK(kept(3, 0) == Longs{0, 0, 3, 0, 0, 0, 0, 0, 5});
    CHECK(kept(3, 0.4F) == Longs{0, 0, 3, 0, 0, 0});
    CHECK(kept(1, 0) == Longs{0, 0, 3});
    CHECK(kept(0, 0).empty());
    refused(run_op(Op::NonMaxSuppression, {boxes, given(floats({1, 1, 5}, {0, 0, 0, 0, 0}))}),
            "do not belong together");
}

TEST_CASE("maxima go back where they came from") {
    const Operand x = given(floats({1, 1, 2, 2}, {1, 2, 3, 4}));
    const Operand indices = given(longs({1, 1, 2, 2}, {5, 7, 13, 15}));
    const Attributes attributes = {{"kernel_shape", Longs{2, 2}}, {"strides", Longs{2, 2}}};
    CHECK(values_of(result_of(Op::MaxUnpool, {x, indices}, attributes)) ==
          std::vector<float>{0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4});
    refused(run_op(Op::MaxUnpool, {x, given(longs({1, 1, 2, 2}, {5, 7, 13, 16}))}, attributes),
            "index 16 is not below 16");
}

TEST_CASE("columns that overlap in the image are added") {
    const Tensor y = result_of(Op::Col2Im, {given(floats({1, 2, 3}, {1, 2, 3, 10, 20, 30})), list({4}), list({2})});
    CHECK(y.shape() == Shape{1, 1, 4});
    CHECK(values_of(y) == std::vector<float>{1, 12, 23, 30});
    refused(run_op(Op::Col2Im, {given(counted({1, 3, 3})), list({4}), list({2})}), "no multiple of a block's 2");
    refused(run_op(Op::Col2Im, {given(counted({1, 2, 4})), list({4}), list({2})}),
            "has 4 windows where the image takes 3");
}

}  // namespace
}  // namespace quoin::test
