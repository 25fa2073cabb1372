// MatMul, Gemm, their integer relatives and Einsum against plain loops in double precision.
#include "op_test.h"

namespace quoin::test {
namespace {

std::vector<double> product_of(const Tensor& a, const Tensor& b, int64_t rows, int64_t inner, int64_t columns) {
    const std::vector<float> x = values_of(a);
    const std::vector<float> y = values_of(b);
    std::vector<double> result;
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
            double sum = 0;
            for (int64_t k = 0; k < inner; ++k) {
                sum += double{x[static_cast<size_t>(row * inner + k)]} *
                       double{y[static_cast<size_t>(k * columns + column)]};
            }
            result.push_back(sum);
        }
    }
    return result;
}

TEST_CASE("a matrix product is that of plain loops, with the right operand given or constant") {
    Random random(11);
    for (const auto& [rows, inner, columns] :
         {std::array<int64_t, 3>{1, 1, 1}, {3, 5, 7}, {33, 70, 65}, {1, 64, 100}}) {
        CAPTURE(rows, inner, columns);
        const Tensor a = random_floats({rows, inner}, random);
        const Tensor b = random_floats({inner, columns}, random);
        for (const Operand& right : {given(b), constant(b)}) {
            const Tensor y = result_of(Op::MatMul, {given(a), right});
            CHECK(y.shape() == Shape{rows, columns});
            CHECK(largest_error(values_of(y), product_of(a, b, rows, inner, columns)) < 1e-5);
        }
    }
}

TEST_CASE("batches of matrices broadcast, vectors become matrices") {
    const Tensor a = floats({2, 1, 1, 2}, {1, 2, 3, 4});
    const Tensor b = floats({3, 2, 1}, {1, 10, 2, 20, 3, 30});
    const Tensor y = result_of(Op::MatMul, {given(a), given(b)});
    CHECK(y.shape() == Shape{2, 3, 1, 1});
    CHECK(values_of(y) == std::vector<float>{21, 42, 63, 43, 86, 129});
    const Operand vector = given(floats({2}, {1, 2}));
    CHECK(result_of(Op::MatMul, {vector, vector}).shape() == Shape{});
    CHECK(values_of(result_of(Op::MatMul, {vector, given(floats({2, 2}, {1, 2, 3, 4}))})) == std::vector<float>{7, 10});
    CHECK(values_of(result_of(Op::MatMul, {given(floats({2, 2}, {1, 2, 3, 4})), vector})) == std::vector<float>{5, 11});
}

TEST_CASE("products of integers wrap") {
    const Tensor y = result_of(Op::MatMul, {given(ints({1, 2}, {-3, 1 << 30})), given(ints({2, 1}, {5, 4}))});
    CHECK(y.as<int32_t>()[0] == -15);
}

TEST_CASE("products of halves are summed in float") {
    const uint16_t one = f32_to_f16(1.0F);
    const Tensor a = tensor_of<uint16_t>(DType::F16, {1, 3000}, std::vector<uint16_t>(3000, one));
    const Tensor b = tensor_of<uint16_t>(DType::F16, {3000, 1}, std::vector<uint16_t>(3000, one));
    const Tensor y = result_of(Op::MatMul, {given(a), given(b)});
    CHECK(f16_to_f32(y.as<uint16_t>()[0]) == 3000.0F);  // sums of halves would stop at 2048
}

TEST_CASE("matrices that do not fit are refused with the node's name") {
    const Status inner = run_op(Op::MatMul, {given(floats({1, 2}, {1, 2})), given(floats({1, 2}, {1, 2}))}).status();
    CHECK(inner.message() == "node 'node' (MatMul): the inner dimensions 2 and 1 differ");
    CHECK_FALSE(run_op(Op::MatMul, {given(floats({}, {1})), given(floats({1}, {1}))}).ok());
    const Operand c = given(floats({3}, {1, 2, 3}));
    CHECK_FALSE(run_op(Op::Gemm, {given(floats({1, 1}, {1})), given(floats({1, 2}, {1, 2})), c}).ok());
}

TEST_CASE("gemm transposes, scales and adds") {
    Random random(12);
    const Tensor a = random_floats({3, 5}, random);
    const Tensor b = random_floats({4, 3}, random);
    const Tensor c = random_floats({1, 4}, random);
    const Attributes attributes = {{"transA", int64_t{1}}, {"transB", int64_t{1}}, {"alpha", 0.5}, {"beta", 2.0}};
    std::vector<double> wanted;
    for (size_t row = 0; row < 5; ++row) {
        for (size_t column = 0; column < 4; ++column) {
            double sum = 0;
            for (size_t k = 0; k < 3; ++k) {
                sum += double{values_of(a)[k * 5 + row]} * double{values_of(b)[column * 3 + k]};
            }
            wanted.push_back(0.5 * sum + 2 * double{values_of(c)[column]});
        }
    }
    for (const Operand& right : {given(b), constant(b)}) {
        for (const Operand& addend : {given(c), constant(c)}) {
            const Tensor y = result_of(Op::Gemm, {given(a), right, addend}, attributes);
            CHECK(y.shape() == Shape{5, 4});
            CHECK(largest_error(values_of(y), wanted) < 1e-6);
        }
    }
}

TEST_CASE("gemm without an addend, or with a scalar") {
    const Operand a = given(floats({2, 2}, {1, 2, 3, 4}));
    const Operand b = constant(floats({2, 1}, {1, 10}));
    CHECK(values_of(result_of(Op::Gemm, {a, b})) == std::vector<float>{21, 43});
    CHECK(values_of(result_of(Op::Gemm, {a, b, constant(floats({}, {5}))})) == std::vector<float>{26, 48});
    CHECK(values_of(result_of(Op::Gemm, {a, b, given(floats({2, 1}, {5, 7}))})) == std::vector<float>{26, 50});
}

TEST_CASE("integer products subtract zero points of rows and columns") {
    const Tensor a = tensor_of<uint8_t>(DType::U8, {2, 2}, {10, 20, 255, 0});
    const Tensor b = tensor_of<int8_t>(DType::I8, {2, 2}, {1, -2, 3, 4});
    const Tensor rows = tensor_of<uint8_t>(DType::U8, {2}, {10, 5});
    const Tensor columns = tensor_of<int8_t>(DType::I8, {2}, {1, -1});
    const Tensor y = result_of(Op::MatMulInteger, {given(a), given(b), given(rows), given(columns)});
    const auto sums = y.as<int32_t>();
    // a: {0, 10}, {250, -5}; b: {0, -1}, {2, 5}
    CHECK(std::vector<int32_t>(sums.begin(), sums.end()) == std::vector<int32_t>{20, 50, -10, -275});
    const Tensor odd = tensor_of<uint8_t>(DType::U8, {3}, {1, 2, 3});
    CHECK_FALSE(run_op(Op::MatMulInteger, {given(a), given(b), given(odd)}).ok());
}

TEST_CASE("sums of products over named axes") {
    const Tensor a = floats({2, 3}, {1, 2, 3, 4, 5, 6});
    const Tensor b = floats({3, 2}, {1, 2, 3, 4, 5, 6});
    const auto sum = [](const std::vector<Operand>& operands, const std::string& equation) {
        return result_of(Op::Einsum, operands, {{"equation", equation}});
    };
    CHECK(values_of(sum({given(a), given(b)}, "ij,jk->ik")) == std::vector<float>{22, 28, 49, 64});
    CHECK(values_of(sum({given(a), given(b)}, "ij, jk")) == std::vector<float>{22, 28, 49, 64});
    CHECK(values_of(sum({given(a)}, "ij->ji")) == std::vector<float>{1, 4, 2, 5, 3, 6});
    CHECK(values_of(sum({given(a)}, "ij->")) == std::vector<float>{21});
    CHECK(values_of(sum({given(floats({2, 2}, {1, 2, 3, 4}))}, "ii->i")) == std::vector<float>{1, 4});
    CHECK(values_of(sum({given(a), given(b), given(floats({2}, {1, 10}))}, "ij,jk,k->i")) ==
          std::vector<float>{302, 689});
    const Tensor batch =
        sum({given(floats({2, 1, 2}, {1, 2, 3, 4})), given(floats({2, 1}, {5, 6}))}, "...ij,jk->...ik");
    CHECK(batch.shape() == Shape{2, 1, 1});
    CHECK(values_of(batch) == std::vector<float>{17, 39});
    // A sum of nothing is zero, for each of the results.
    const Tensor nothing = sum({given(floats({2, 3, 0}, {})), given(floats({2, 2, 0}, {}))}, "bid,bjd->bij");
    CHECK(nothing.shape() == Shape{2, 3, 2});
    CHECK(values_of(nothing) == std::vector<float>(12, 0));
    CHECK_FALSE(run_op(Op::Einsum, {given(a), given(a)}, {{"equation", std::string("ij,jk")}}).ok());
    CHECK_FALSE(run_op(Op::Einsum, {given(a)}, {{"equation", std::string("i-j")}}).ok());
    CHECK_FALSE(run_op(Op::Einsum, {given(a)}, {{"equation", std::string("ij->k")}}).ok());
}

}  // namespace
}  // namespace quoin::test
