// ONNX Attention against its definition in double precision.
#include <functional>
#include <limits>

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
    std::vector<int64_t> lengths{};  // of each batch: keys behind them are padding
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
                const int64_t valid = p.lengths.empty() ? total : p.lengths[static_cast<size_t>(b)];
                const int64_t place = i + (p.lengths.empty() ? p.past : valid - p.queries);
                for (int64_t j = 0; j < total; ++j) {
                    double score = 0;
                    for (int64_t d = 0; d < p.size; ++d) {
                        score += at(o.q, ((b * p.heads + h) * p.queries + i) * p.size + d) * key(j, d);
                    }
                    score /= std::sqrt(static_cast<double>(p.size));
                    if (p.softcap > 0) score = p.softcap * std::tanh(score / p.softcap);
                    const double bias = p.masked ? at(o.mask, (h * p.queries + i) * total + j) : 0;
                    score += bias;
                    const bool hidden = j >= valid || (p.causal && j > place) || (p.left >= 0 && j < place - p.left) ||
                                        bias == -std::numeric_limits<double>::infinity();
                    weights.push_back(hidden ? 0 : std::exp(score));
                    sum += weights.back();
                }
                for (int64_t d = 0; d < p.value_size; ++d) {
                    double out = 0;
                    for (int64_t j = 0; j < total; ++j) {
                        const double weight = weights[static_cast<size_t>(j)];
                        if (weight != 0) out += weight * value(j, d);
                    }
                    result.push_back(sum == 0 ? 0 : out / sum);
                }
            }
        }
    }
    return result;
}

Operands operands_of(const Problem& p, uint32_t seed) {
    Random random(seed);
    Operands o;
    o.q = random_floats({p.batch, p.heads, p.queries, p.size}, random);
    o.k = random_floats({p.batch, p.kv_heads, p.keys, p.size}, random);
    o.v = random_floats({p.batch, p.kv_heads, p.keys, p.value_size}, random);
    if (p.masked) o.mask = random_floats({p.heads, p.queries, p.past + p.keys}, random);
    if (p.past > 0) {
        o.past_k = random_floats({p.batch, p.kv_heads, p.past, p.size}, random);
        o.past_v = random_floats({p.batch, p.kv_heads, p.past, p.value_size}, random);
    }
    return o;
}

// `precision` of the softmax: in f32 the blocks of attention_f32.cpp compute, in f64 the plain implementation.
std::vector<float> run_attention(const Problem& p, const Operands& o, DType precision = DType::F32) {
    std::vector<Operand> operands = {given(o.q), given(o.k), given(o.v), p.masked ? given(o.mask) : left_out()};
    if (p.past > 0) operands.insert(operands.end(), {given(o.past_k), given(o.past_v)});
    if (!p.lengths.empty())
        operands.insert(operands.end(), {left_out(), left_out(), given(longs({p.batch}, p.lengths))});
    const Attributes attributes = {{"is_causal", int64_t{p.causal}},
                                   {"left_window_size", p.left},
                                   {"softcap", p.softcap},
                                   {"softmax_precision", static_cast<int64_t>(precision)}};
    return values_of(result_of(Op::Attention, operands, attributes, {make_runtime(2)}));
}

void check(const Problem& p, uint32_t seed) {
    const Operands o = operands_of(p, seed);
    CAPTURE(p.queries, p.keys, p.past, p.causal, p.left, p.masked);
    CHECK(largest_error(run_attention(p, o), attend(p, o)) < 1e-5);
}

// NaN where it is wanted, and nowhere else.
bool agrees(const std::vector<float>& got, const std::vector<double>& wanted) {
    return std::ranges::equal(got, wanted, [](float a, double b) {
        if (std::isnan(b) || std::isinf(b)) return std::isnan(b) ? std::isnan(a) : double{a} == b;
        return std::abs(double{a} - b) < 1e-5 * (1 + std::abs(b));
    });
}

// What `spoil` has done to the operands has the same consequences in both implementations and the definition.
void check_spoiled(const Problem& p, const std::function<void(const Operands&)>& spoil, int64_t wanted_nans) {
    const Operands o = operands_of(p, 11);
    spoil(o);
    const std::vector<double> wanted = attend(p, o);
    CAPTURE(p.queries, p.keys, p.past, p.causal, p.masked, p.softcap);
    CHECK(std::ranges::count_if(wanted, [](double each) { return std::isnan(each); }) == wanted_nans);
    CHECK(agrees(run_attention(p, o), wanted));
    CHECK(agrees(run_attention(p, o, DType::F64), wanted));
}

// Elements of one token of one head.
std::span<float> token_of(const Tensor& tensor, int64_t head, int64_t token) {
    const int64_t size = tensor.shape().back();
    const int64_t first = (head * tensor.shape()[2] + token) * size;
    return tensor.as<float>().subspan(static_cast<size_t>(first), static_cast<size_t>(size));
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

TEST_CASE("keys behind the length of a batch are padding") {
    check({.batch = 2, .keys = 9, .lengths = {4, 9}}, 12);
    check({.batch = 2, .queries = 3, .keys = 9, .causal = true, .lengths = {3, 7}}, 13);
    check({.batch = 2, .queries = 2, .keys = 1100, .causal = true, .left = 20, .lengths = {540, 1030}}, 14);
}

TEST_CASE("NaN in a query makes its row NaN, NaN in a key every row that sees it") {
    // Keys of the first block, of one in the middle, of the last one.
    for (const int64_t key : {0, 3, 700, 1099}) {
        const Problem p{.batch = 1, .heads = 2, .kv_heads = 2, .queries = 70, .keys = 1100};
        check_spoiled(
            p, [&](const Operands& o) { token_of(o.q, 1, 69)[2] = NAN; }, p.value_size);
        check_spoiled(
            p, [&](const Operands& o) { token_of(o.k, 0, key)[5] = NAN; }, 70 * p.value_size);
    }
    const Problem capped{.batch = 1, .heads = 2, .kv_heads = 1, .softcap = 2.0};
    check_spoiled(
        capped, [&](const Operands& o) { token_of(o.k, 0, 4)[0] = NAN; }, 2 * 3 * capped.value_size);
    // The new key 2 stands behind four past ones: queries 2, 3 and 4 see it.
    const Problem causal{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 5, .keys = 5, .past = 4, .causal = true};
    check_spoiled(
        causal, [&](const Operands& o) { token_of(o.k, 0, 2)[0] = NAN; }, 3 * causal.value_size);
    check_spoiled(
        causal, [&](const Operands& o) { token_of(o.past_k, 0, 2)[0] = NAN; }, 5 * causal.value_size);
}

TEST_CASE("NaN in a value makes its column NaN where it is seen") {
    for (const int64_t key : {0, 3, 700, 1099}) {
        const Problem p{.batch = 1, .heads = 2, .kv_heads = 2, .queries = 70, .keys = 1100};
        check_spoiled(
            p, [&](const Operands& o) { token_of(o.v, 1, key)[5] = NAN; }, 70);
    }
    const Problem causal{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 70, .keys = 70, .causal = true};
    check_spoiled(
        causal, [&](const Operands& o) { token_of(o.v, 0, 10)[0] = NAN; }, 60);
    check_spoiled(
        causal, [&](const Operands& o) { token_of(o.v, 0, 10)[0] = INFINITY; }, 0);
}

TEST_CASE("what a masked key and its value hold does not matter") {
    const auto spoil_token = [](const Operands& o, int64_t token, float value) {
        for (const Tensor* const tensor : {&o.k, &o.v}) std::ranges::fill(token_of(*tensor, 0, token), value);
    };
    for (const float value : {float{NAN}, float{INFINITY}}) {
        for (const int64_t keys : {16, 1100}) {
            // Behind the length: for all queries of the batch.
            const Problem padded{
                .batch = 1, .heads = 2, .kv_heads = 2, .queries = 3, .keys = keys, .lengths = {keys - 5}};
            check_spoiled(
                padded,
                [&](const Operands& o) {
                    for (int64_t token = keys - 5; token < keys; ++token) spoil_token(o, token, value);
                },
                0);
            // By the mask, for all queries and for all but the last one.
            const Problem masked{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 70, .keys = keys, .masked = true};
            const auto mask_key = [&](const Operands& o, int64_t queries) {
                spoil_token(o, 7, value);
                for (int64_t query = 0; query < queries; ++query) {
                    o.mask.as<float>()[static_cast<size_t>(query * keys + 7)] = -INFINITY;
                }
            };
            check_spoiled(
                masked, [&](const Operands& o) { mask_key(o, 70); }, 0);
            check_spoiled(
                masked, [&](const Operands& o) { mask_key(o, 69); }, masked.value_size);
        }
    }
    // A batch of nothing but padding gives zeros.
    const Problem empty{.batch = 1, .heads = 1, .kv_heads = 1, .lengths = {0}};
    check_spoiled(
        empty, [&](const Operands& o) { spoil_token(o, 0, NAN); }, 0);
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
