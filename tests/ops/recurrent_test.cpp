// RNN, GRU and LSTM against the equations of the specification in double precision, unit by unit.
#include <functional>

#include "op_test.h"

namespace quoin::test {
namespace {

double sigmoid(double x) {
    return 1 / (1 + std::exp(-x));
}

struct Problem {
    int64_t steps = 5;
    int64_t batch = 2;
    int64_t input = 3;
    int64_t hidden = 4;
    std::string direction = "forward";
    bool before_reset = false;
    bool peepholes = false;
    bool input_forget = false;
    double clip = 0;
    std::vector<int32_t> lengths;

    int64_t directions() const { return direction == "bidirectional" ? 2 : 1; }
};

struct Weights {
    Tensor x, w, r, b, h, c, p;
};

Weights random_weights(const Problem& problem, int64_t gates, Random& random) {
    const int64_t d = problem.directions();
    const int64_t rows = gates * problem.hidden;
    return {random_floats({problem.steps, problem.batch, problem.input}, random),
            random_floats({d, rows, problem.input}, random),
            random_floats({d, rows, problem.hidden}, random),
            random_floats({d, 2 * rows}, random),
            random_floats({d, problem.batch, problem.hidden}, random),
            random_floats({d, problem.batch, problem.hidden}, random),
            random_floats({d, 3 * problem.hidden}, random)};
}

struct Expected {
    std::vector<double> y;  // [steps][directions][batch][hidden]
    std::vector<double> h;  // [directions][batch][hidden]
    std::vector<double> c;
};

Expected expected_of(Op op, const Problem& problem, const Weights& weights) {
    const int64_t n = problem.hidden;
    const int64_t gates = op == Op::LSTM ? 4 : op == Op::GRU ? 3 : 1;
    const int64_t d = problem.directions();
    Expected result;
    result.y.assign(static_cast<size_t>(problem.steps * d * problem.batch * n), 0);
    const auto at = [](const Tensor& tensor, int64_t index) {
        return double{tensor.as<float>()[static_cast<size_t>(index)]};
    };
    const auto limit = [&](double x) { return problem.clip > 0 ? std::clamp(x, -problem.clip, problem.clip) : x; };
    for (int64_t direction = 0; direction < d; ++direction) {
        for (int64_t row = 0; row < problem.batch; ++row) {
            std::vector<double> h, c;
            for (int64_t unit = 0; unit < n; ++unit) {
                h.push_back(at(weights.h, (direction * problem.batch + row) * n + unit));
                c.push_back(at(weights.c, (direction * problem.batch + row) * n + unit));
            }
            const int64_t length = problem.lengths.empty() ? problem.steps : problem.lengths[static_cast<size_t>(row)];
            for (int64_t index = 0; index < length; ++index) {
                const bool back = problem.direction == "reverse" || direction == 1;
                const int64_t step = back ? length - 1 - index : index;
                const auto from_x = [&](int64_t gate, int64_t unit) {
                    const int64_t line = direction * gates * n + gate * n + unit;
                    double sum = at(weights.b, direction * 2 * gates * n + gate * n + unit);
                    for (int64_t k = 0; k < problem.input; ++k) {
                        sum += at(weights.w, line * problem.input + k) *
                               at(weights.x, (step * problem.batch + row) * problem.input + k);
                    }
                    return sum;
                };
                const auto from_h = [&](int64_t gate, int64_t unit, const std::vector<double>& state) {
                    const int64_t line = direction * gates * n + gate * n + unit;
                    double sum = at(weights.b, direction * 2 * gates * n + gates * n + gate * n + unit);
                    for (int64_t k = 0; k < n; ++k) sum += at(weights.r, line * n + k) * state[static_cast<size_t>(k)];
                    return sum;
                };
                const auto peep = [&](int64_t which, int64_t unit, double cell) {
                    return problem.peepholes ? at(weights.p, direction * 3 * n + which * n + unit) * cell : 0.0;
                };
                std::vector<double> next(h.size());
                std::vector<double> reset(h.size());
                for (int64_t unit = 0; op == Op::GRU && unit < n; ++unit) {
                    const auto u = static_cast<size_t>(unit);
                    reset[u] = sigmoid(limit(from_x(1, unit) + from_h(1, unit, h)));
                }
                for (int64_t unit = 0; unit < n; ++unit) {
                    const auto u = static_cast<size_t>(unit);
                    if (op == Op::RNN) next[u] = std::tanh(limit(from_x(0, unit) + from_h(0, unit, h)));
                    if (op == Op::GRU) {
                        const double update = sigmoid(limit(from_x(0, unit) + from_h(0, unit, h)));
                        std::vector<double> scaled;
                        for (size_t k = 0; k < h.size(); ++k) scaled.push_back(reset[k] * h[k]);
                        const double recurrent =
                            problem.before_reset ? reset[u] * from_h(2, unit, h) : from_h(2, unit, scaled);
                        next[u] = (1 - update) * std::tanh(limit(from_x(2, unit) + recurrent)) + update * h[u];
                    }
                    if (op == Op::LSTM) {
                        const double i = sigmoid(limit(from_x(0, unit) + from_h(0, unit, h) + peep(0, unit, c[u])));
                        const double f =
                            problem.input_forget
                                ? 1 - i
                                : sigmoid(limit(from_x(2, unit) + from_h(2, unit, h) + peep(2, unit, c[u])));
                        c[u] = f * c[u] + i * std::tanh(limit(from_x(3, unit) + from_h(3, unit, h)));
                        const double o = sigmoid(limit(from_x(1, unit) + from_h(1, unit, h) + peep(1, unit, c[u])));
                        next[u] = o * std::tanh(c[u]);
                    }
                }
                h = next;
                std::ranges::copy(h, result.y.begin() + ((step * d + direction) * problem.batch + row) * n);
            }
            result.h.insert(result.h.end(), h.begin(), h.end());
            result.c.insert(result.c.end(), c.begin(), c.end());
        }
    }
    return result;
}

// Exchanges the first two axes of [a, b, c].
Tensor swapped(const Tensor& tensor) {
    const Shape& shape = tensor.shape();
    std::vector<float> values;
    for (int64_t j = 0; j < shape[1]; ++j) {
        for (int64_t i = 0; i < shape[0]; ++i) {
            const auto first = tensor.as<float>().begin() + (i * shape[1] + j) * shape[2];
            values.insert(values.end(), first, first + shape[2]);
        }
    }
    return floats({shape[1], shape[0], shape[2]}, values);
}

// Y, Y_h and, of LSTM, Y_c; with weights built into the graph or given.
std::vector<Tensor> run(Op op, const Problem& problem, const Weights& weights, bool built_in, bool batch_first) {
    Graph graph;
    std::vector<Tensor> inputs;
    const auto input = [&](const Tensor& tensor) {
        inputs.push_back(tensor);
        return graph.add_input("in" + std::to_string(inputs.size()), tensor.dtype(), dims_of(tensor.shape()));
    };
    const auto weight = [&](const char* name, const Tensor& tensor) {
        return built_in ? graph.add_constant(name, Constant(tensor)) : input(tensor);
    };
    const auto state = [&](const Tensor& tensor) { return input(batch_first ? swapped(tensor) : tensor); };
    Node node{op,
              "node",
              {state(weights.x), weight("w", weights.w), weight("r", weights.r), weight("b", weights.b)},
              {},
              {{"hidden_size", problem.hidden}, {"direction", problem.direction}}};
    node.inputs.push_back(problem.lengths.empty() ? kNoValue : input(ints({problem.batch}, problem.lengths)));
    node.inputs.push_back(state(weights.h));
    if (op == Op::LSTM) {
        node.inputs.push_back(state(weights.c));
        node.inputs.push_back(problem.peepholes ? input(weights.p) : kNoValue);
        node.attributes.emplace_back("input_forget", int64_t{problem.input_forget});
    }
    if (op == Op::GRU) node.attributes.emplace_back("linear_before_reset", int64_t{problem.before_reset});
    if (problem.clip > 0) node.attributes.emplace_back("clip", problem.clip);
    if (batch_first) node.attributes.emplace_back("layout", int64_t{1});
    for (int index = 0; index < (op == Op::LSTM ? 3 : 2); ++index) {
        node.outputs.push_back(graph.add_value("out" + std::to_string(index), DType::Undefined, std::nullopt));
    }
    graph.append_node(node);
    for (const ValueId output : node.outputs) graph.add_output(output);
    auto outputs = run_graph(std::move(graph), inputs, {make_runtime(2)});
    INFO(outputs.status().message());
    REQUIRE(outputs.ok());
    return *outputs;
}

void check(Op op, const Problem& problem, uint32_t seed) {
    Random random(seed);
    const Weights weights = random_weights(problem, op == Op::LSTM ? 4 : op == Op::GRU ? 3 : 1, random);
    const Expected wanted = expected_of(op, problem, weights);
    for (const bool built_in : {true, false}) {
        CAPTURE(op_info(op).name, problem.direction, built_in, problem.steps, problem.batch, problem.hidden);
        const std::vector<Tensor> got = run(op, problem, weights, built_in, false);
        CHECK(largest_error(values_of(got[0]), wanted.y) < 2e-5);
        CHECK(largest_error(values_of(got[1]), wanted.h) < 2e-5);
        if (op == Op::LSTM) CHECK(largest_error(values_of(got[2]), wanted.c) < 2e-5);
        // Batch first: the same numbers in another order.
        const std::vector<Tensor> turned = run(op, problem, weights, built_in, true);
        CHECK(values_of(swapped(turned[1])) == values_of(got[1]));
    }
}

TEST_CASE("recurrent cells follow their equations in every direction") {
    uint32_t seed = 1;
    for (const Op op : {Op::RNN, Op::GRU, Op::LSTM}) {
        for (const char* direction : {"forward", "reverse", "bidirectional"}) {
            Problem problem;
            problem.direction = direction;
            check(op, problem, seed++);
        }
    }
}

TEST_CASE("a GRU may reset after its product") {
    Problem problem;
    problem.before_reset = true;
    problem.hidden = 9;
    check(Op::GRU, problem, 20);
}

TEST_CASE("an LSTM looks at its cell, couples its gates and clips what goes into them") {
    Problem problem;
    problem.peepholes = true;
    check(Op::LSTM, problem, 30);
    problem.input_forget = true;
    check(Op::LSTM, problem, 31);
    problem.clip = 0.4;
    check(Op::LSTM, problem, 32);
}

TEST_CASE("sequences end where their lengths say, from either side") {
    for (const Op op : {Op::RNN, Op::GRU, Op::LSTM}) {
        Problem problem;
        problem.direction = "bidirectional";
        problem.batch = 3;
        problem.lengths = {5, 2, 0};
        check(op, problem, 40);
    }
}

TEST_CASE("many steps and many sequences are shared out without a change of result") {
    Problem problem;
    problem.steps = 150;  // more than one block of projections
    problem.hidden = 8;
    check(Op::GRU, problem, 50);
    problem.steps = 3;
    problem.batch = 40;
    problem.hidden = 33;
    check(Op::LSTM, problem, 51);
    problem.hidden = 96;
    problem.batch = 65;  // the second share is shorter, by just so much that one step more would fit into a block
    check(Op::LSTM, problem, 52);
}

TEST_CASE("recurrent weights and lengths that do not fit are refused") {
    Random random(60);
    const Problem problem;
    const Weights weights = random_weights(problem, 4, random);
    const Operand x = given(weights.x);
    CHECK_FALSE(run_op(Op::LSTM, {x, given(weights.w), given(random_floats({1, 16, 3}, random))}).ok());
    CHECK_FALSE(run_op(Op::GRU, {x, given(weights.w), given(weights.r)}).ok());
    CHECK_FALSE(run_op(Op::LSTM, {x, given(weights.w), given(weights.r)}, {{"direction", std::string("up")}}).ok());
    Problem longer = problem;
    longer.lengths = {6, 1};
    for (const Operand& r : {given(weights.r), constant(weights.r)}) {
        const Operand w = r.constant ? constant(weights.w) : given(weights.w);
        Graph graph;
        const Status status = run_op(Op::LSTM, {x, w, r, left_out(), given(ints({2}, longer.lengths))}).status();
        CHECK_THAT(status.message(), contains("a sequence has the length 6 of 5") || contains("wrong number"));
    }
}

}  // namespace
}  // namespace quoin::test
