// Transpose, Concat, Split, Slice, Expand, Tile, DepthToSpace, SpaceToDepth, GatherElements, GatherND: every result
// element is looked up by its index, as the ONNX specification puts it.
#include <functional>
#include <limits>
#include <numeric>

#include "op_test.h"

namespace quoin::test {
namespace {

using Index = std::vector<int64_t>;

Tensor counted(const Shape& shape) {
    std::vector<float> numbers(static_cast<size_t>(shape.element_count().value()));
    std::iota(numbers.begin(), numbers.end(), 0.0F);
    return floats(shape, numbers);
}

float at(const Tensor& tensor, const Index& index) {
    int64_t offset = 0;
    for (size_t axis = 0; axis < index.size(); ++axis) offset = offset * tensor.shape()[axis] + index[axis];
    return tensor.as<float>()[static_cast<size_t>(offset)];
}

// A tensor whose elements are those that `element` names for their index.
std::vector<float> looked_up(const Shape& shape, const std::function<float(const Index&)>& element) {
    std::vector<float> numbers;
    Index index(shape.rank());
    for (int64_t position = 0; position < shape.element_count().value(); ++position) {
        int64_t rest = position;
        for (size_t axis = shape.rank(); axis-- > 0;) {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        numbers.push_back(element(index));
    }
    return numbers;
}

Attribute list(const Index& values) {
    return values;
}

// ---- Transpose

TEST_CASE("transposing reorders the axes, at sizes around every tile") {
    struct Case {
        Shape shape;
        Index order;
    };
    const std::vector<Case> cases = {
        {{3, 4}, {1, 0}},
        {{33, 65}, {1, 0}},
        {{128, 31}, {1, 0}},
        {{2, 3, 4}, {2, 0, 1}},
        {{2, 3, 4}, {0, 1, 2}},
        {{2, 7, 5, 16}, {0, 2, 1, 3}},
        {{2, 40, 3, 37}, {0, 3, 1, 2}},
        {{2, 3, 40, 37}, {0, 2, 3, 1}},
        {{1, 5, 1, 6}, {3, 2, 1, 0}},
        {{2, 3, 2, 3, 2}, {4, 2, 0, 3, 1}},
        {{70, 300}, {1, 0}},
        {{3, 2, 58}, {0, 2, 1}},
        {{2, 3, 4200}, {0, 2, 1}},
        {{4, 37}, {1, 0}},
        {{2, 5000}, {1, 0}},
        {{5000, 2}, {1, 0}},
        {{0, 3}, {1, 0}},
        {{5}, {0}},
        {{}, {}},
    };
    for (const Case& each : cases) {
        CAPTURE(to_string(each.shape), each.order);
        const Tensor x = counted(each.shape);
        const Tensor y = result_of(Op::Transpose, {given(x)}, {{"perm", list(each.order)}});
        Shape shape = each.shape;
        for (size_t axis = 0; axis < each.order.size(); ++axis) {
            shape[axis] = each.shape[static_cast<size_t>(each.order[axis])];
        }
        CHECK(y.shape() == shape);
        const auto wanted = looked_up(shape, [&](const Index& index) {
            Index source(index.size());
            for (size_t axis = 0; axis < index.size(); ++axis)
                source[static_cast<size_t>(each.order[axis])] = index[axis];
            return at(x, source);
        });
        CHECK(values_of(y) == wanted);
    }
}

TEST_CASE("without an order the axes are reversed; bytes and longs move like floats") {
    CHECK(values_of(result_of(Op::Transpose, {given(counted({2, 3}))})) == std::vector<float>{0, 3, 1, 4, 2, 5});
    const Tensor bytes = result_of(Op::Transpose, {given(tensor_of<uint8_t>(DType::U8, {2, 3}, {1, 2, 3, 4, 5, 6}))});
    CHECK(std::ranges::equal(bytes.as<uint8_t>(), std::vector<uint8_t>{1, 4, 2, 5, 3, 6}));
    const Tensor wide = result_of(Op::Transpose, {given(longs({2, 3}, {1, 2, 3, 4, 5, 6}))});
    CHECK(std::ranges::equal(wide.as<int64_t>(), std::vector<int64_t>{1, 4, 2, 5, 3, 6}));
}

TEST_CASE("elements of four bits are transposed one by one") {
    // 1 2 3 / 4 5 6, the first in the low bits
    const Tensor x = tensor_of<uint8_t>(DType::U4, {2, 3}, {0x21, 0x43, 0x65});
    const Tensor y = result_of(Op::Transpose, {given(x)});
    CHECK(std::ranges::equal(y.as<uint8_t>(), std::vector<uint8_t>{0x41, 0x52, 0x63}));
}

TEST_CASE("an order that is none of the axes is refused") {
    const auto refused = [](const Index& order, const std::string& reason) {
        const Status status = run_op(Op::Transpose, {given(counted({2, 3}))}, {{"perm", list(order)}}).status();
        CHECK(status.code() == StatusCode::InvalidModel);
        CHECK_THAT(status.message(), contains(reason));
    };
    refused({0, 0}, "no order of the axes");
    refused({0, 2}, "no order of the axes");
    refused({-1, 0}, "no order of the axes");
    refused({0}, "orders 1 axes of an input that has 2");
    refused(Index(20, 0), "has 20 axes");
}

// ---- Concat and Split

TEST_CASE("joining along any axis, also with parts that are empty") {
    for (const int64_t axis : {0, 1, 2, -1, -3}) {
        const auto place = static_cast<size_t>(axis < 0 ? axis + 3 : axis);
        std::vector<Operand> operands;
        std::vector<Tensor> parts;
        Shape whole{3, 4, 5};
        whole[place] = 0;
        for (const int64_t size : {2, 0, 1, 70}) {
            Shape shape{3, 4, 5};
            shape[place] = size;
            whole[place] += size;
            parts.push_back(counted(shape));
            operands.push_back(given(parts.back()));
        }
        const Tensor y = result_of(Op::Concat, operands, {{"axis", axis}});
        CAPTURE(axis);
        CHECK(y.shape() == whole);
        CHECK(values_of(y) == looked_up(whole, [&](Index index) {
                  size_t part = 0;
                  while (index[place] >= parts[part].shape()[place]) index[place] -= parts[part++].shape()[place];
                  return at(parts[part], index);
              }));
    }
}

TEST_CASE("joining what does not fit is refused") {
    const auto refused = [](const std::vector<Operand>& operands, const Attributes& attributes, const char* reason) {
        CHECK_THAT(run_op(Op::Concat, operands, attributes).status().message(), contains(reason));
    };
    const Operand a = given(counted({2, 3}));
    refused({a, given(counted({2, 2, 2}))}, {{"axis", int64_t{0}}}, "different ranks");
    refused({a, given(counted({2, 4}))}, {{"axis", int64_t{0}}}, "dimension 1 is 3 in one input and 4");
    refused({a, given(longs({2, 3}, Index(6)))}, {{"axis", int64_t{0}}}, "different element types");
    refused({a, a}, {{"axis", int64_t{2}}}, "axis 2 is out of range");
    refused({a, a}, {}, "'axis' is missing");
}

// A Split into this many parts, without the `left_out`-th of them.
Result<std::vector<Tensor>> split(const Tensor& x, size_t parts, const std::vector<int64_t>& sizes, int64_t axis,
                                  size_t left_out = 99, Attributes attributes = {}) {
    Graph graph;
    std::vector<ValueId> inputs = {graph.add_input("x", x.dtype(), dims_of(x.shape()))};
    if (!sizes.empty()) {
        inputs.push_back(graph.add_constant("sizes", Constant(longs({static_cast<int64_t>(sizes.size())}, sizes))));
    }
    attributes.emplace_back("axis", axis);
    Node node{Op::Split, "node", inputs, {}, attributes};
    for (size_t part = 0; part < parts; ++part) {
        const bool wanted = part != left_out;
        node.outputs.push_back(wanted ? graph.add_value("y" + std::to_string(part), DType::Undefined, {}) : kNoValue);
        if (wanted) graph.add_output(node.outputs.back());
    }
    graph.append_node(std::move(node));
    return run_graph(std::move(graph), {x});
}

TEST_CASE("splitting into equal parts, the last smaller, and into parts of given sizes") {
    const Tensor x = counted({3, 7});
    auto parts = split(x, 3, {}, 1, 99, {{"num_outputs", int64_t{3}}});
    REQUIRE(parts.ok());
    CHECK((*parts)[0].shape() == Shape{3, 3});
    CHECK((*parts)[2].shape() == Shape{3, 1});
    CHECK(values_of((*parts)[1]) == std::vector<float>{3, 4, 5, 10, 11, 12, 17, 18, 19});
    parts = split(x, 3, {5, 0, 2}, -1);
    REQUIRE(parts.ok());
    CHECK((*parts)[1].shape() == Shape{3, 0});
    CHECK(values_of((*parts)[2]) == std::vector<float>{5, 6, 12, 13, 19, 20});
    parts = split(x, 3, {1, 1, 1}, 0);
    REQUIRE(parts.ok());
    CHECK(values_of((*parts)[1]) == std::vector<float>{7, 8, 9, 10, 11, 12, 13});
}

TEST_CASE("a part that nobody wants is skipped") {
    const auto parts = split(counted({5}), 3, {1, 3, 1}, 0, 1);
    REQUIRE(parts.ok());
    REQUIRE(parts->size() == 2);
    CHECK(values_of((*parts)[1]) == std::vector<float>{4});
    const auto equal = split(counted({5}), 3, {}, 0, 0);
    REQUIRE(equal.ok());
    CHECK(values_of((*equal)[1]) == std::vector<float>{4});
}

TEST_CASE("parts that do not make up the whole are refused") {
    CHECK_THAT(split(counted({5}), 2, {1, 3}, 0).status().message(), contains("parts of 4 elements are cut from 5"));
    CHECK_THAT(split(counted({5}), 2, {-1, 6}, 0).status().message(), contains("a part has the size -1"));
    CHECK_THAT(split(counted({5}), 2, {5}, 0).status().message(), contains("1 sizes are given for 2 parts"));
    constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
    CHECK_THAT(split(counted({5}), 2, {kHuge, kHuge}, 0).status().message(), contains("too large"));
}

// ---- Slice

// What NumPy takes for start:end:step, by walking.
std::vector<int64_t> walked(int64_t dim, int64_t start, int64_t end, int64_t step) {
    std::vector<int64_t> taken;
    if (start < 0) start += dim;
    if (end < 0) end += dim;
    if (step > 0) {
        for (int64_t at = std::max<int64_t>(0, start); at < std::min(end, dim); at += step) taken.push_back(at);
    } else {
        for (int64_t at = std::min(start, dim - 1); at > std::max<int64_t>(end, -1); at += step) taken.push_back(at);
    }
    return taken;
}

TEST_CASE("slices of one axis take what walking takes") {
    for (const int64_t axis : {0, 1}) {
        const Tensor x = counted({7, 7});
        for (const int64_t start : {0, 2, 6, 9, -1, -7}) {
            for (const int64_t end : {0, 3, 7, 100, -1, -8, -100}) {
                for (const int64_t step : {1, 2, 3, 10, -1, -2, -9}) {
                    const Tensor y =
                        result_of(Op::Slice, {given(x), constant(longs({1}, {start})), constant(longs({1}, {end})),
                                              constant(longs({1}, {axis})), constant(longs({1}, {step}))});
                    const auto taken = walked(7, start, end, step);
                    CAPTURE(axis, start, end, step);
                    Shape shape{7, 7};
                    shape[static_cast<size_t>(axis)] = static_cast<int64_t>(taken.size());
                    REQUIRE(y.shape() == shape);
                    CHECK(values_of(y) == looked_up(shape, [&](Index index) {
                              auto& place = index[static_cast<size_t>(axis)];
                              place = taken[static_cast<size_t>(place)];
                              return at(x, index);
                          }));
                }
            }
        }
    }
}

TEST_CASE("bounds known only at run time, and the largest numbers as bounds") {
    constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    const auto sliced = [](const Index& start, const Index& end, const Index& axes, const Index& steps) {
        const auto list = [](const Index& values) {
            return given(longs({static_cast<int64_t>(values.size())}, values));
        };
        return result_of(Op::Slice, {given(counted({4, 3})), list(start), list(end), list(axes), list(steps)});
    };
    CHECK(values_of(sliced({1, 0}, {3, kMost}, {0, 1}, {1, 2})) == std::vector<float>{3, 5, 6, 8});
    CHECK(values_of(sliced({kMost}, {kLeast}, {0}, {-1})) == std::vector<float>{9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2});
    CHECK(values_of(sliced({kMost}, {kLeast}, {0}, {kLeast})) == std::vector<float>{9, 10, 11});
    CHECK(sliced({kMost}, {kMost}, {0}, {kMost}).shape() == Shape{0, 3});
    CHECK(values_of(sliced({}, {}, {}, {})) == values_of(counted({4, 3})));
}

TEST_CASE("bounds for no axis are refused, also when they come with a run") {
    const Operand one = given(longs({1}, {0}));
    const auto result = run_op(Op::Slice, {given(counted({4, 3})), one, one, constant(longs({0}, {})), one});
    CHECK_THAT(result.status().message(), contains("different numbers of axes"));
}

TEST_CASE("slices that make no sense are refused") {
    const auto refused = [](const Index& start, const Index& end, const Index& axes, const Index& steps,
                            const char* reason) {
        const auto list = [](const Index& values) {
            return constant(longs({static_cast<int64_t>(values.size())}, values));
        };
        const auto result =
            run_op(Op::Slice, {given(counted({4, 3})), list(start), list(end), list(axes), list(steps)});
        CHECK_THAT(result.status().message(), contains(reason));
    };
    refused({0}, {1}, {2}, {1}, "axis 2 is out of range");
    refused({0}, {1}, {0}, {0}, "a step is 0");
    refused({0, 0}, {1, 1}, {0, -2}, {1, 1}, "axis 0 is named twice");
    refused({0}, {1, 2}, {0}, {1}, "different numbers of axes");
}

// ---- Expand and Tile

TEST_CASE("expanding broadcasts both ways") {
    struct Case {
        Shape shape;
        Index target;
        Shape result;
    };
    const std::vector<Case> cases = {
        {{3, 1}, {2, 1, 6}, {2, 3, 6}}, {{3, 1}, {3, 4}, {3, 4}}, {{2, 3}, {1}, {2, 3}},
        {{}, {2, 2}, {2, 2}},           {{1}, {0}, {0}},          {{5, 1, 2}, {70, 1}, {5, 70, 2}}};
    for (const Case& each : cases) {
        CAPTURE(to_string(each.shape), each.target);
        const Tensor x = counted(each.shape);
        const Tensor target = longs({static_cast<int64_t>(each.target.size())}, each.target);
        for (const Operand& operand : {constant(target), given(target)}) {
            const Tensor y = result_of(Op::Expand, {given(x), operand});
            REQUIRE(y.shape() == each.result);
            CHECK(values_of(y) == looked_up(each.result, [&](const Index& index) {
                      Index source(index.end() - static_cast<std::ptrdiff_t>(each.shape.rank()), index.end());
                      for (size_t axis = 0; axis < source.size(); ++axis) {
                          if (each.shape[axis] == 1) source[axis] = 0;
                      }
                      return at(x, source);
                  }));
        }
    }
    CHECK_THAT(run_op(Op::Expand, {given(counted({3})), constant(longs({1}, {4}))}).status().message(),
               contains("a dimension of 3 cannot be expanded to 4"));
}

TEST_CASE("tiles repeat each axis") {
    const Tensor x = counted({2, 3});
    for (const Index& repeats : {Index{2, 2}, Index{1, 3}, Index{3, 1}, Index{0, 2}, Index{1, 1}}) {
        const Tensor y = result_of(Op::Tile, {given(x), given(longs({2}, repeats))});
        const Shape shape{2 * repeats[0], 3 * repeats[1]};
        CAPTURE(repeats);
        REQUIRE(y.shape() == shape);
        CHECK(values_of(y) == looked_up(shape, [&](const Index& index) {
                  return at(x, {index[0] % 2, index[1] % 3});
              }));
    }
    const auto refused = [&](const Index& repeats, const char* reason) {
        const Tensor list = longs({static_cast<int64_t>(repeats.size())}, repeats);
        CHECK_THAT(run_op(Op::Tile, {given(x), given(list)}).status().message(), contains(reason));
    };
    refused({1}, "1 repeats are given for 2 axes");
    refused({1, -1}, "an axis is repeated -1 times");
    refused({int64_t{1} << 62, 4}, "");
}

// ---- DepthToSpace and SpaceToDepth

TEST_CASE("depth becomes space in both orders, and space depth again") {
    const Tensor x = counted({2, 12, 2, 3});
    for (const std::string mode : {"DCR", "CRD"}) {
        const Attributes attributes = {{"blocksize", int64_t{2}}, {"mode", mode}};
        const Tensor y = result_of(Op::DepthToSpace, {given(x)}, attributes);
        REQUIRE(y.shape() == Shape{2, 3, 4, 6});
        CHECK(values_of(y) == looked_up(y.shape(), [&](const Index& i) {
                  const int64_t block = i[2] % 2 * 2 + i[3] % 2;
                  const int64_t channel = mode == "DCR" ? block * 3 + i[1] : i[1] * 4 + block;
                  return at(x, {i[0], channel, i[2] / 2, i[3] / 2});
              }));
        if (mode == "CRD") continue;
        const Tensor back = result_of(Op::SpaceToDepth, {given(y)}, {{"blocksize", int64_t{2}}});
        CHECK(back.shape() == x.shape());
        CHECK(values_of(back) == values_of(x));
    }
    CHECK_THAT(run_op(Op::DepthToSpace, {given(counted({1, 3, 1, 1}))}, {{"blocksize", int64_t{2}}}).status().message(),
               contains("a dimension of 3 cannot be cut into blocks of 4"));
}

// ---- GatherElements and GatherND

TEST_CASE("elements gathered along an axis, negative indices from the end") {
    const Tensor x = counted({3, 4, 5});
    Random random(5);
    for (const int64_t axis : {0, 1, 2, -1}) {
        const auto place = static_cast<size_t>(axis < 0 ? axis + 3 : axis);
        Shape shape{2, 3, 4};
        std::vector<int64_t> indices(24);
        for (int64_t& each : indices) {
            each = random.integer(0, static_cast<int>(x.shape()[place]) - 1);
            if (random.integer(0, 2) == 0) each -= x.shape()[place];
        }
        const Tensor picks = longs(shape, indices);
        const Tensor y = result_of(Op::GatherElements, {given(x), given(picks)}, {{"axis", axis}});
        REQUIRE(y.shape() == shape);
        size_t next = 0;
        CHECK(values_of(y) == looked_up(shape, [&](Index index) {
                  const int64_t pick = indices[next++];
                  index[place] = pick < 0 ? pick + x.shape()[place] : pick;
                  return at(x, index);
              }));
    }
    CHECK_THAT(run_op(Op::GatherElements, {given(x), given(longs({1, 1, 1}, {3}))}).status().message(),
               contains("index 3 is not below 3"));
    CHECK_THAT(run_op(Op::GatherElements, {given(x), given(longs({1, 5, 1}, Index(5)))}).status().message(),
               contains("the indices have 5 along axis 1, the data 4"));
}

TEST_CASE("slices gathered by tuples of indices, with and without batches") {
    const Tensor x = counted({2, 3, 4});
    Tensor y = result_of(Op::GatherND, {given(x), given(longs({2, 2}, {1, 2, 0, -1}))});
    CHECK(y.shape() == Shape{2, 4});
    CHECK(values_of(y) == std::vector<float>{20, 21, 22, 23, 8, 9, 10, 11});
    y = result_of(Op::GatherND, {given(x), given(longs({2, 1}, {1, 0}))}, {{"batch_dims", int64_t{1}}});
    CHECK(y.shape() == Shape{2, 4});
    CHECK(values_of(y) == std::vector<float>{4, 5, 6, 7, 12, 13, 14, 15});
    y = result_of(Op::GatherND, {given(x), given(longs({1, 3}, {1, 1, 1}))});
    CHECK(values_of(y) == std::vector<float>{17});
    CHECK_THAT(run_op(Op::GatherND, {given(x), given(longs({1, 3}, {1, 3, 1}))}).status().message(),
               contains("index 3 is not below 3"));
    CHECK_THAT(run_op(Op::GatherND, {given(x), given(longs({1, 4}, {1, 1, 1, 1}))}).status().message(),
               contains("indices of 4 axes into a tensor of rank 3"));
}

}  // namespace
}  // namespace quoin::test
