// Attention found in products, scales and softmax.
#include <cmath>

#include "pass_test.h"

namespace quoin::test {
namespace {

constexpr int64_t kHeads = 3;
constexpr int64_t kSize = 8;

struct AttentionGraph : PassGraph {
    ValueId split(ValueId x, int64_t tokens, std::vector<int64_t> order) {
        const ValueId heads = node(Op::Reshape, {x, list({2, tokens, kHeads, kSize})});
        return node(Op::Transpose, {heads}, {{"perm", std::move(order)}});
    }
    ValueId join(ValueId x, int64_t tokens) {
        const ValueId swapped = node(Op::Transpose, {x}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
        return node(Op::Reshape, {swapped, list({2, tokens, kHeads * kSize})});
    }
};

TEST_CASE("attention on split heads becomes one node without their transposes") {
    AttentionGraph g;
    const ValueId q = g.split(g.input({2, 5, kHeads * kSize}), 5, {0, 2, 1, 3});
    const ValueId k = g.split(g.input({2, 7, kHeads * kSize}), 7, {0, 2, 3, 1});
    const ValueId v = g.split(g.input({2, 7, kHeads * kSize}), 7, {0, 2, 1, 3});
    const ValueId scores = g.node(Op::Div, {g.node(Op::MatMul, {q, k}), g.scalar(std::sqrt(8.0F))});
    const ValueId masked = g.node(Op::Add, {scores, g.constant({2, 1, 1, 7})});
    g.graph.add_output(g.join(g.node(Op::MatMul, {g.node(Op::Softmax, {masked}), v}), 5));
    g.check_same_results(fuse_attention, 1e-5);
    CHECK(g.ops() == std::vector<Op>{Op::Attention});
}

TEST_CASE("attention on heads that stay apart becomes one node, its scale may be on the query") {
    AttentionGraph g;
    const ValueId q = g.node(Op::Mul, {g.input({2, kHeads, 5, kSize}), g.scalar(0.3F)});
    const ValueId k =
        g.node(Op::Transpose, {g.input({2, kHeads, 7, kSize})}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
    const ValueId v = g.input({2, kHeads, 7, kSize});
    g.graph.add_output(g.node(Op::MatMul, {g.node(Op::Softmax, {g.node(Op::MatMul, {q, k})}), v}));
    g.check_same_results(fuse_attention, 1e-5);
    CHECK(g.ops() == std::vector<Op>{Op::Attention});
}

TEST_CASE("the scale of the scores may be a product of constants") {
    AttentionGraph g;
    const ValueId q = g.input({2, kHeads, 5, kSize});
    const ValueId k =
        g.node(Op::Transpose, {g.input({2, kHeads, 7, kSize})}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
    const ValueId scale = g.node(Op::Mul, {g.scalar(0.5F), g.scalar(0.7F)});
    const ValueId scores = g.node(Op::Mul, {scale, g.node(Op::MatMul, {q, k})});
    g.graph.add_output(g.node(Op::MatMul, {g.node(Op::Softmax, {scores}), g.input({2, kHeads, 7, kSize})}));
    g.check_same_results(fuse_attention, 1e-5);
    CHECK(g.ops() == std::vector<Op>{Op::Attention});
}

TEST_CASE("a mask of one key for each query is that of all keys, as the Add had it") {
    AttentionGraph g;
    const ValueId q = g.input({2, kHeads, 5, kSize});
    const ValueId k =
        g.node(Op::Transpose, {g.input({2, kHeads, 7, kSize})}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
    const ValueId masked = g.node(Op::Add, {g.node(Op::MatMul, {q, k}), g.constant({5, 1})});
    g.graph.add_output(g.node(Op::MatMul, {g.node(Op::Softmax, {masked}), g.input({2, kHeads, 7, kSize})}));
    g.check_same_results(fuse_attention, 1e-5);
    CHECK(g.ops() == std::vector<Op>{Op::Attention});
}

TEST_CASE("probabilities that others read and keys that broadcast are no attention") {
    AttentionGraph g;
    const ValueId q = g.input({2, kHeads, 5, kSize});
    const ValueId v = g.input({2, kHeads, 7, kSize});
    const auto key = [&](const Shape& shape) {
        return g.node(Op::Transpose, {g.input(shape)}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
    };
    const ValueId shared = g.node(Op::Softmax, {g.node(Op::MatMul, {q, key({2, kHeads, 7, kSize})})});
    g.graph.add_output(g.node(Op::MatMul, {shared, v}));
    g.graph.add_output(shared);
    const ValueId wide = g.node(Op::Softmax, {g.node(Op::MatMul, {q, key({1, kHeads, 7, kSize})})});
    g.graph.add_output(g.node(Op::MatMul, {wide, v}));
    const DebugLog log;
    g.run(fuse_attention);
    CHECK(g.count(Op::Attention) == 0);
    CHECK(log.says("others read the probabilities"));
    CHECK(log.says("differ in batch or heads"));
}

}  // namespace
}  // namespace quoin::test
