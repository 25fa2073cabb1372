// ONNX Attention against its definition in double precision.
#include "op_test.h"

namespace quoin::test {
namespace {

struct Problem {
    int64_t batch = 2;
    int64_t heads = 4;
    int64_t kv_heads = 2;
    int64_t queries = 3;
    int64_t keys = 5;
    int64_t past = 0;
    int64_t size = 8;
    int64_t value_size = 6;
    bool causal = false;
    int64_t left = -1;
    double softcap = 0;
    bool masked = false;
};

struct Operands {
    Tensor q, k, v, mask, past_k, past_v;
};

std::vector<double> attend(const Problem& p, const Operands& o) {
    std::vector<double> result;
    const int64_t total = p.past + p.keys;
    const auto at = [](const Tensor& tensor, int64_t index) {
        return double{tensor.as<float>()[static_cast<size_t>(index)]};
    };
    for (int64_t b = 0; b < p.batch; ++b) {
        for (int64_t h = 0; h < p.heads; ++h) {
            const int64_t g = b * p.kv_heads + h / (p.heads / p.kv_heads);
            const auto key = [&](int64_t j, int64_t d) {
                return j < p.past ? at(o.past_k, (g * p.past + j) * p.size + d)
                                  : at(o.k, (g * p.keys + j - p.past) * p.size + d);
            };
            const auto value = [&](int64_t j, int64_t d) {
                return j < p.past ? at(o.past_v, (g * p.past + j) * p.value_size + d)
                                  : at(o.v, (g * p.keys + j - p.past) * p.value_size + d);
            };
            for (int64_t i = 0; i < p.queries; ++i) {
                std::vector<double> weights;
                double sum = 0;
                for (int64_t j = 0; j < total; ++j) {
                    double score = 0;
                    for (int64_t d = 0; d < p.size; ++d) {
                        score += at(o.q, ((b * p.heads + h) * p.queries + i) * p.size + d) * key(j, d);
                    }
                    score /= std::sqrt(static_cast<double>(p.size));
                    if (p.softcap > 0) score = p.softcap * std::tanh(score / p.softcap);
                    if (p.masked) score += at(o.mask, (h * p.queries + i) * total + j);
                    const bool hidden = (p.causal && j > i + p.past) || (p.left >= 0 && j < i + p.past - p.left);
                    weights.push_back(hidden ? 0 : std::exp(score));
                    sum += weights.back();
                }
                for (int64_t d = 0; d < p.value_size; ++d) {
                    double out = 0;
                    for (int64_t j = 0; j < total; ++j) out += weights[static_cast<size_t>(j)] * value(j, d);
                    result.push_back(sum == 0 ? 0 : out / sum);
                }
            }
        }
    }
    return result;
}

void check(const Problem& p, uint32_t seed) {
    Random random(seed);
    Operands o;
    o.q = random_floats({p.batch, p.heads, p.queries, p.size}, random);
    o.k = random_floats({p.batch, p.kv_heads, p.keys, p.size}, random);
    o.v = random_floats({p.batch, p.kv_heads, p.keys, p.value_size}, random);
    std::vector<Operand> operands = {given(o.q), given(o.k), given(o.v)};
    operands.push_back(left_out());
    if (p.masked) {
        o.mask = random_floats({p.heads, p.queries, p.past + p.keys}, random);
        operands.back() = given(o.mask);
    }
    if (p.past > 0) {
        o.past_k = random_floats({p.batch, p.kv_heads, p.past, p.size}, random);
        o.past_v = random_floats({p.batch, p.kv_heads, p.past, p.value_size}, random);
        operands.push_back(given(o.past_k));
        operands.push_back(given(o.past_v));
    }
    const Attributes attributes = {
        {"is_causal", int64_t{p.causal}}, {"left_window_size", p.left}, {"softcap", p.softcap}};
    const Tensor y = result_of(Op::Attention, operands, attributes, {make_runtime(2)});
    CAPTURE(p.queries, p.keys, p.past, p.causal, p.left, p.masked);
    CHECK(largest_error(values_of(y), attend(p, o)) < 1e-5);
}

TEST_CASE("attention weighs values by the softmax of scores") {
    check({}, 1);
    check({.causal = true}, 2);
    check({.past = 4, .causal = true}, 3);
    check({.softcap = 2.0}, 4);
    check({.masked = true}, 5);
    check({.past = 3, .left = 2, .masked = true}, 6);
}

TEST_CASE("attention over more keys and queries than a block") {
    check({.batch = 1, .heads = 2, .kv_heads = 1, .queries = 130, .keys = 130, .causal = true}, 7);
    check({.batch = 1, .heads = 2, .queries = 1, .keys = 700, .past = 600}, 8);
    check({.batch = 1, .queries = 70, .keys = 1100, .left = 40, .masked = true}, 9);
}

TEST_CASE("a query that sees no key gives zeros") {
    const Operand q = given(floats({1, 1, 2, 1}, {1, 1}));
    const Operand kv = given(floats({1, 1, 2, 1}, {3, 5}));
    const Operand mask = given(tensor_of<uint8_t>(DType::Bool, {2, 2}, {0, 0, 1, 0}));
    CHECK(values_of(result_of(Op::Attention, {q, kv, kv, mask})) == std::vector<float>{0, 3});
}

TEST_CASE("operands of attention that do not fit are refused") {
    const Operand q = given(floats({1, 3, 1, 2}, std::vector<float>(6, 1)));
    const Operand kv = given(floats({1, 2, 1, 2}, std::vector<float>(4, 1)));
    CHECK_THAT(run_op(Op::Attention, {q, kv, kv}).status().message(), contains("2 heads of keys do not divide 3"));
    const Operand flat = given(floats({1, 1, 6}, std::vector<float>(6, 1)));
    CHECK_FALSE(run_op(Op::Attention, {flat, flat, flat}).ok());
    CHECK_FALSE(
        run_op(Op::Attention, {flat, flat, flat}, {{"q_num_heads", int64_t{4}}, {"kv_num_heads", int64_t{4}}}).ok());
    const Operand mask = given(floats({3, 7}, std::vector<float>(21, 0)));
    CHECK_FALSE(run_op(Op::Attention, {kv, kv, kv, mask}).ok());
}

}  // namespace
}  // namespace quoin::test
