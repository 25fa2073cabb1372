// Linear, GatedLinear, QuantizeActivation and Embedding for every weight dtype, against sums in double precision.
#include "ops/linear.h"

#include <algorithm>
#include <array>

#include "op_test.h"

namespace quoin::test {
namespace {

// Numbers that quantise without loss: multiples of 1/64, and the largest of each group of 128 is 127/64. So integer and
// float kernels must find the same sums.
Tensor exact_activations(const Shape& shape, Random& random) {
    std::vector<float> values(static_cast<size_t>(shape.element_count().value()));
    const auto columns = static_cast<size_t>(shape.back());
    for (size_t index = 0; index < values.size(); ++index) {
        const bool first_of_group = index % columns % 128 == 0;
        const int number = first_of_group ? (random.integer(0, 1) == 0 ? 127 : -127) : random.integer(-127, 127);
        values[index] = static_cast<float>(number) / 64;
    }
    return floats(shape, values);
}

std::vector<double> multiply(const Tensor& x, const Weight& weight) {
    std::vector<double> result;
    const std::vector<float> values = values_of(x);
    for (size_t row = 0; row < values.size(); row += static_cast<size_t>(weight.inner)) {
        for (int64_t column = 0; column < weight.columns; ++column) {
            double sum = 0;
            for (int64_t k = 0; k < weight.inner; ++k) {
                sum += double{values[row + static_cast<size_t>(k)]} * double{weight.value(column, k)};
            }
            result.push_back(sum);
        }
    }
    return result;
}

struct Sizes {
    int64_t rows;
    int64_t columns;
    int64_t inner;
};

// Around the panel of 32 columns, the tiles of rows and the task of some hundred rows.
std::vector<Sizes> sizes_for(DType dtype) {
    std::vector<Sizes> sizes = {{1, 1, 32}, {1, 300, 64}, {3, 33, 64}, {5, 31, 96}, {33, 64, 32}, {250, 40, 32}};
    if (!is_block_format(dtype)) sizes.insert(sizes.end(), {{2, 7, 13}, {4, 65, 1}, {7, 32, 47}});
    return sizes;
}

// K in whole blocks of the format.
int64_t whole_blocks(DType dtype, int64_t inner) {
    return (inner + block_size(dtype) - 1) / block_size(dtype) * block_size(dtype);
}

// The largest error as a share of the largest result: sums of numbers with both signs lose as much where they are
// small.
double share_of_largest(const std::vector<float>& got, const std::vector<double>& wanted) {
    if (got.size() != wanted.size()) return INFINITY;
    double error = 0;
    double largest = 1;
    for (size_t index = 0; index < got.size(); ++index) {
        const double difference = std::abs(double{got[index]} - wanted[index]);
        if (!(difference <= error)) error = std::isnan(difference) ? double{INFINITY} : difference;
        largest = std::max(largest, std::abs(wanted[index]));
    }
    return error / largest;
}

constexpr double kTolerance = 2e-5;

TEST_CASE("a linear is the input times the transposed weight, for every weight dtype and instruction set") {
    Random random(11);
    for (const DType dtype : kWeightDTypes) {
        for (const Sizes& sizes : sizes_for(dtype)) {
            CAPTURE(dtype_name(dtype), sizes.rows, sizes.columns, sizes.inner);
            const int64_t inner = whole_blocks(dtype, sizes.inner);
            const Weight weight = make_weight(dtype, sizes.columns, inner, random);
            const Tensor x = exact_activations({1, sizes.rows, inner}, random);
            const std::vector<double> wanted = multiply(x, weight);
            for (const Isa isa : machine_isas()) {
                CAPTURE(isa_name(isa));
                const Tensor y = result_of(Op::Linear, {given(x), constant(weight_tensor(weight))}, {},
                                           {.runtime = make_runtime(1, isa)});
                CHECK(y.shape() == Shape{1, sizes.rows, sizes.columns});
                CHECK(share_of_largest(values_of(y), wanted) < kTolerance);
            }
        }
    }
}

TEST_CASE("a linear adds its bias to every row and its residual to every element") {
    Random random(12);
    for (const DType dtype : kWeightDTypes) {
        for (const Provider provider : {Provider::Native, Provider::Reference}) {
            for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 70}, {3, 33}, {241, 5}}) {
                CAPTURE(dtype_name(dtype), static_cast<int>(provider), rows, columns);
                const int64_t inner = whole_blocks(dtype, 64);
                const Weight weight = make_weight(dtype, columns, inner, random);
                const Tensor x = exact_activations({rows, inner}, random);
                const Tensor bias = random_floats({columns}, random);
                const Tensor residual = random_floats({rows, columns}, random);
                const Operand w = constant(weight_tensor(weight));
                std::vector<double> with_bias = multiply(x, weight);
                std::vector<double> with_residual = with_bias;
                std::vector<double> with_both = with_bias;
                for (size_t index = 0; index < with_both.size(); ++index) {
                    const double b = values_of(bias)[index % static_cast<size_t>(columns)];
                    const double r = residual.as<float>()[index];
                    with_bias[index] += b;
                    with_residual[index] += r;
                    with_both[index] += b + r;
                }
                const auto error_of = [&](const std::vector<Operand>& operands, const std::vector<double>& wanted) {
                    return share_of_largest(values_of(result_of(Op::Linear, operands, {}, {.provider = provider})),
                                            wanted);
                };
                CHECK(error_of({given(x), w, constant(bias)}, with_bias) < kTolerance);
                CHECK(error_of({given(x), w, left_out(), given(residual)}, with_residual) < kTolerance);
                CHECK(error_of({given(x), w, constant(bias), given(residual)}, with_both) < kTolerance);
            }
        }
    }
}

TEST_CASE("the reference provider multiplies unrounded operands") {
    Random random(13);
    for (const DType dtype : kWeightDTypes) {
        CAPTURE(dtype_name(dtype));
        const int64_t inner = whole_blocks(dtype, 320);
        const Weight weight = make_weight(dtype, 45, inner, random);
        const Tensor x = random_floats({2, 3, inner}, random);  // would lose digits in integer blocks
        Graph graph;
        const ValueId input = graph.add_input("x", DType::F32, dims_of(x.shape()));
        const ValueId w = graph.add_constant("w", Constant(weight_tensor(weight)));
        graph.add_output(graph.add_node(Op::Linear, "linear", {input, w}));
        const PreparedGraphPtr prepared = make_ready(graph, {.provider = Provider::Reference}).value();
        REQUIRE(prepared->nodes.size() == 1);
        CHECK(prepared->nodes[0]->label() == "reference_linear_" + std::string(dtype_name(dtype)));
        Session session(prepared);
        session.set_input(0, view_of(x));
        REQUIRE(session.run().ok());
        // One rounding to float of the sum in double.
        CHECK(largest_error(values_of(copy_of(session.output(0))), multiply(x, weight)) < 1e-7);
    }
}

TEST_CASE("the label of a linear names its kernel and the instruction set") {
    Random random(14);
    const Weight weight = make_weight(DType::Q8_0, 8, 32, random);
    Graph graph;
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 1}, {.size = 32}});
    const ValueId w = graph.add_constant("w", Constant(weight_tensor(weight)));
    graph.add_output(graph.add_node(Op::Linear, "linear", {x, w}));
    const PreparedGraphPtr prepared = make_ready(graph, {.runtime = make_runtime(1, Isa::Baseline)}).value();
    REQUIRE(prepared->nodes.size() == 2);
    CHECK(prepared->nodes[1]->label() == "linear_q8_0 [baseline]");
}

TEST_CASE("the activations of a quantised linear are rounded to 127 steps of their group's largest") {
    Random random(15);
    const Weight weight = make_weight(DType::Q8_0, 20, 256, random);
    const Tensor x = random_floats({4, 256}, random);
    std::vector<float> rounded = values_of(x);
    for (size_t block = 0; block < rounded.size(); block += 128) {
        float largest = 0;
        for (size_t i = 0; i < 128; ++i) largest = std::max(largest, std::abs(rounded[block + i]));
        const float scale = largest / 127;
        for (size_t i = 0; i < 128; ++i) rounded[block + i] = std::nearbyint(rounded[block + i] * (1 / scale)) * scale;
    }
    const Tensor y =
        result_of(Op::Linear, {given(x), constant(weight_tensor(weight))}, {}, {.provider = Provider::Native});
    CHECK(largest_error(values_of(y), multiply(floats({4, 256}, rounded), weight)) < kTolerance);
    CHECK(largest_error(values_of(y), multiply(x, weight)) > kTolerance);  // so the line above says something
}

TEST_CASE("a linear of no rows has no rows") {
    Random random(16);
    const Weight weight = make_weight(DType::Q4_0, 33, 32, random);
    const Tensor y = result_of(Op::Linear, {given(floats({1, 0, 32}, {})), constant(weight_tensor(weight))});
    CHECK(y.shape() == Shape{1, 0, 33});
}

// ---- GatedLinear

TEST_CASE("a gated linear is silu of the gate times the other product") {
    Random random(17);
    for (const DType dtype : kWeightDTypes) {
        for (const Provider provider : {Provider::Native, Provider::Reference}) {
            for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 33}, {5, 96}, {250, 7}}) {
                CAPTURE(dtype_name(dtype), static_cast<int>(provider), rows, columns);
                const int64_t inner = whole_blocks(dtype, 32);
                const Weight gate = make_weight(dtype, columns, inner, random);
                const Weight up = make_weight(dtype, columns, inner, random);
                const Tensor x = exact_activations({1, rows, inner}, random);
                std::vector<double> wanted = multiply(x, gate);
                const std::vector<double> factors = multiply(x, up);
                for (size_t index = 0; index < wanted.size(); ++index) {
                    wanted[index] = wanted[index] / (1 + std::exp(-wanted[index])) * factors[index];
                }
                const Tensor y =
                    result_of(Op::GatedLinear, {given(x), constant(weight_tensor(gate)), constant(weight_tensor(up))},
                              {}, {.provider = provider});
                CHECK(y.shape() == Shape{1, rows, columns});
                CHECK(share_of_largest(values_of(y), wanted) < 5e-5);
            }
        }
    }
}

// Few and many rows and blocks of them; columns of a part of a panel up to more panels than one task has.
TEST_CASE("a linear and a gated linear have the same bits for any number of threads") {
    Random random(21);
    constexpr auto kSizes = std::to_array<std::pair<int64_t, int64_t>>({{1, 5},
                                                                        {1, 1100},
                                                                        {31, 300},
                                                                        {32, 5},
                                                                        {32, 1100},
                                                                        {133, 300},
                                                                        {300, 1100},
                                                                        {600, 300},
                                                                        {3000, 700},
                                                                        {9000, 40}});
    for (const DType dtype : {DType::F16, DType::Q4_0}) {
        for (const auto& [rows, columns] : kSizes) {
            CAPTURE(dtype_name(dtype), rows, columns);
            const Tensor x = exact_activations({rows, 64}, random);
            const Operand weight = constant(weight_tensor(make_weight(dtype, columns, 64, random)));
            const Operand gate = constant(weight_tensor(make_weight(dtype, columns, 64, random)));
            const auto results = [&](int threads) {
                const RunOptions options{.runtime = make_runtime(threads)};
                return std::pair(values_of(result_of(Op::Linear, {given(x), weight}, {}, options)),
                                 values_of(result_of(Op::GatedLinear, {given(x), gate, weight}, {}, options)));
            };
            const auto wanted = results(1);
            for (const int threads : {2, 3, 7}) {
                CAPTURE(threads);
                CHECK(results(threads) == wanted);
            }
        }
    }
}

// Small panels, of which tasks have several: never a part of a group of activations, which has one scale.
TEST_CASE("a gated linear's quantised result is its quantised floats") {
    Random random(22);
    for (const DType dtype : {DType::F16, DType::Q4_0}) {
        for (const int64_t inner : {64, 96, 192}) {
            for (const int64_t rows : {1, 31, 32, 300}) {
                const Tensor x = exact_activations({rows, inner}, random);
                const Operand gate = constant(weight_tensor(make_weight(dtype, 480, inner, random)));
                const Operand up = constant(weight_tensor(make_weight(dtype, 480, inner, random)));
                for (const int threads : {1, 2, 7}) {
                    CAPTURE(dtype_name(dtype), inner, rows, threads);
                    const RunOptions options{.runtime = make_runtime(threads)};
                    const auto product = [&](const Attributes& attributes) {
                        return result_of(Op::GatedLinear, {given(x), gate, up}, attributes, options);
                    };
                    const Tensor wanted = result_of(Op::QuantizeActivation, {given(product({}))});
                    const Tensor got = product({{"to", static_cast<int64_t>(DType::Q8Row)}});
                    CHECK(std::ranges::equal(std::span(got.data(), got.byte_size()),
                                             std::span(wanted.data(), wanted.byte_size())));
                }
            }
        }
    }
}

// ---- QuantizeActivation

TEST_CASE("quantised activations are groups of 128, the last one filled up") {
    Random random(18);
    const Tensor x = random_floats({3, 160}, random);
    std::ranges::fill(x.as<float>().subspan(160, 128), 0.0F);  // a group of zeros
    const Tensor y = result_of(Op::QuantizeActivation, {given(x)});
    CHECK(y.dtype() == DType::Q8Row);
    CHECK(y.shape() == Shape{3, 256});
    REQUIRE(y.byte_size() == 3 * 2 * kActivationBlockBytes);
    for (int64_t group = 0; group < 6; ++group) {
        CAPTURE(group);
        const std::byte* const bytes = y.data() + group * kActivationBlockBytes;
        std::vector<float> source(128);
        const float* const begin = x.as<float>().data() + group / 2 * 160 + group % 2 * 128;
        std::copy_n(begin, group % 2 == 0 ? 128 : 32, source.begin());
        float largest = 0;
        for (const float each : source) largest = std::max(largest, std::abs(each));
        const auto scale = get<float>(bytes + ActivationGroup::kScale);
        CHECK(scale == Approx(largest / 127));
        int32_t sum = 0;
        for (int i = 0; i < 128; ++i) {
            const auto value = get<int8_t>(bytes + i);
            if (i < 32) sum += value;
            CHECK(std::abs(static_cast<float>(value) * scale - source[static_cast<size_t>(i)]) <= scale * 0.5001F);
        }
        CHECK(get<int32_t>(bytes + ActivationGroup::kOffsets32) == -128 * sum);
    }
}

// ---- Embedding

TEST_CASE("an embedding gives the table's rows as floats, from the file's layout and from panels") {
    Random random(19);
    for (const DType dtype : kWeightDTypes) {
        for (const bool shared : {false, true}) {  // with the output matrix, which wants panels
            CAPTURE(dtype_name(dtype), shared);
            const Weight weight = make_weight(dtype, 75, 256, random);
            const std::vector<int64_t> ids = {0, 31, 32, 74, 64, 3};
            Graph graph;
            const ValueId input = graph.add_input("ids", DType::I64, {{.size = 2}, {.size = 3}});
            const ValueId table = graph.add_constant("table", Constant(weight_tensor(weight)));
            const ValueId rows = graph.add_node(Op::Embedding, "rows", {table, input});
            graph.add_output(rows);
            if (shared) graph.add_output(graph.add_node(Op::Linear, "head", {rows, table}));
            const PreparedGraphPtr prepared = make_ready(graph).value();
            CHECK(prepared->graph.value(table).constant->layout() == (shared ? Layout::Panels : Layout::Plain));
            Session session(prepared);
            const Tensor chosen = longs({2, 3}, ids);
            session.set_input(0, view_of(chosen));
            REQUIRE(session.run().ok());
            REQUIRE(session.output(0).shape == Shape{2, 3, 256});
            std::vector<float> wanted;
            for (const int64_t id : ids) {
                for (int64_t k = 0; k < 256; ++k) wanted.push_back(weight.value(id, k));
            }
            CHECK(values_of(copy_of(session.output(0))) == wanted);  // every one of these numbers is a float
        }
    }
}

TEST_CASE("an id outside of the table is an error that names the node") {
    const Operand table = constant(floats({3, 2}, {1, 2, 3, 4, 5, 6}));
    CHECK(values_of(result_of(Op::Embedding, {table, given(ints({1}, {2}))})) == std::vector<float>{5, 6});
    for (const int32_t id : {3, -1, -2147483647 - 1}) {
        const Status status = run_op(Op::Embedding, {table, given(ints({2}, {0, id}))}).status();
        CHECK(status.code() == StatusCode::InvalidArgument);
        CHECK(status.message() == "node 'node': index " + std::to_string(id) + " is not below 3");
    }
}

// ---- What cannot be

TEST_CASE("projections whose operands do not fit are refused with the node's name") {
    const Operand x = given(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
    const Operand w = constant(floats({4, 3}, std::vector<float>(12)));
    const auto refused = [](Op op, const std::vector<Operand>& operands, StatusCode code, const std::string& reason) {
        const Status status = run_op(op, operands).status();
        CAPTURE(reason);
        CHECK(status.code() == code);
        CHECK_THAT(status.message(), contains(reason));
    };
    const StatusCode model = StatusCode::InvalidModel;
    refused(Op::Linear, {x, constant(floats({4, 2}, std::vector<float>(8)))}, model,
            "node 'node' (Linear): the input's last dimension is not the weight's 2");
    refused(Op::Linear, {x, constant(floats({3}, {1, 2, 3}))}, model, "the weight is no matrix");
    refused(Op::Linear, {given(floats({}, {1})), w}, model, "the input's last dimension");
    refused(Op::Linear, {given(ints({1, 3}, {1, 2, 3})), w}, model, "input 0 has the element type i32");
    refused(Op::Linear, {x, w, constant(ints({4}, {1, 2, 3, 4}))}, model, "input 2 has the element type i32");
    refused(Op::Linear, {x, w, constant(floats({3}, {1, 2, 3}))}, model, "the bias does not fit the weight");
    refused(Op::Linear, {x, w, constant(floats({1, 4}, {1, 2, 3, 4}))}, model, "the bias does not fit the weight");
    refused(Op::Linear, {x, w, left_out(), given(ints({2, 4}, std::vector<int32_t>(8)))}, model,
            "input 3 has the element type i32");
    refused(Op::Linear, {x, w, left_out(), given(floats({1, 4}, {1, 2, 3, 4}))}, model,
            "the residual has not the shape of the result");
    refused(Op::Linear, {x, given(floats({4, 3}, std::vector<float>(12)))}, StatusCode::Unsupported,
            "the weight is no constant");
    const Tensor unknown = tensor_of<std::byte>(DType::U8, {4, 256}, std::vector<std::byte>(4 * 256));
    refused(Op::Linear, {given(floats({1, 256}, std::vector<float>(256))), constant(unknown)}, StatusCode::Unsupported,
            "tensor 'in1': no matrix kernel for the type u8");
    refused(Op::Embedding, {constant(unknown), given(ints({1}, {0}))}, StatusCode::Unsupported,
            "no kernel reads rows of u8");
    refused(Op::GatedLinear, {x, w, constant(floats({5, 3}, std::vector<float>(15)))}, model,
            "the weights have different row counts");
    refused(Op::QuantizeActivation, {given(floats({1, 33}, std::vector<float>(33)))}, model,
            "the last dimension is no multiple of 32");
    refused(Op::Embedding, {constant(floats({3}, {1, 2, 3})), given(ints({1}, {0}))}, model, "the table is no matrix");
    refused(Op::Embedding, {w, given(floats({1}, {0}))}, model, "input 1 has the element type f32");
    refused(Op::Embedding, {given(floats({4, 3}, std::vector<float>(12))), given(ints({1}, {0}))},
            StatusCode::Unsupported, "the table is no constant");
}

TEST_CASE("linears know the left operand that each weight wants") {
    CHECK(linear_activation(DType::F16, Provider::Native) == DType::F32);
    CHECK(linear_activation(DType::Q4_0, Provider::Native) == DType::Q8Row);
    CHECK(linear_activation(DType::Q4_0, Provider::Reference) == DType::F32);
    CHECK(linear_activation(DType::U8, Provider::Native) == DType::Undefined);
    CHECK(linear_activation(DType::I32, Provider::Reference) == DType::Undefined);
}

}  // namespace
}  // namespace quoin::test
