// RotaryEmbedding, RotaryCache, CacheUpdate and CachedAttention against their definitions in double precision.
#include <array>
#include <map>

#include "op_test.h"

namespace quoin::test {
namespace {

// ---- RotaryCache

TEST_CASE("the rotary cache holds cosine and sine of position times frequency, also at large positions") {
    const std::vector<float> frequencies = {1.0F, 0.1F, 0.003F};
    const std::vector<int32_t> positions = {0, 1, 4095, 131071, 100000000, 7};
    const auto outputs =
        run_op(Op::RotaryCache, {given(ints({2, 3}, positions)), constant(floats({3}, frequencies))}, {{"scale", 0.5}});
    REQUIRE(outputs.ok());
    REQUIRE(outputs->size() == 2);
    CHECK((*outputs)[0].shape() == Shape{2, 3, 3});
    CHECK((*outputs)[1].shape() == Shape{2, 3, 3});
    std::vector<double> cos;
    std::vector<double> sin;
    for (const int32_t position : positions) {
        for (const float frequency : frequencies) {
            const long double angle = static_cast<long double>(position) * static_cast<long double>(frequency);
            cos.push_back(static_cast<double>(0.5L * std::cos(angle)));
            sin.push_back(static_cast<double>(0.5L * std::sin(angle)));
        }
    }
    CHECK(largest_error(values_of((*outputs)[0]), cos) < 1e-7);
    CHECK(largest_error(values_of((*outputs)[1]), sin) < 1e-7);
}

// ---- RotaryEmbedding

// ONNX 23: of the first 2 * half values of a head, pairs (i, i + half), or (2i, 2i + 1) when interleaved, turn.
void rotate(std::vector<double>& values, size_t head, const float* cos, const float* sin, size_t half,
            bool interleaved) {
    for (size_t i = 0; i < half; ++i) {
        double& a = values[head + (interleaved ? 2 * i : i)];
        double& b = values[head + (interleaved ? 2 * i + 1 : i + half)];
        const double turned = double{cos[i]} * a - double{sin[i]} * b;
        b = double{sin[i]} * a + double{cos[i]} * b;
        a = turned;
    }
}

TEST_CASE("rotation turns pairs of values in both layouts, interleaved or in halves, whole heads or a part") {
    constexpr int64_t kBatch = 2;
    constexpr int64_t kTokens = 3;
    constexpr int64_t kHeads = 5;
    constexpr int64_t kSize = 20;
    Random random(21);
    for (const int64_t half : {10, 6}) {
        const Tensor cos = random_floats({kBatch, kTokens, half}, random);
        const Tensor sin = random_floats({kBatch, kTokens, half}, random);
        for (const bool interleaved : {false, true}) {
            for (const bool head_major : {false, true}) {
                CAPTURE(half, interleaved, head_major);
                const Shape shape =
                    head_major ? Shape{kBatch, kHeads, kTokens, kSize} : Shape{kBatch, kTokens, kHeads * kSize};
                const Tensor x = random_floats(shape, random);
                const std::vector<float> source = values_of(x);
                std::vector<double> wanted(source.begin(), source.end());
                for (int64_t batch = 0; batch < kBatch; ++batch) {
                    for (int64_t token = 0; token < kTokens; ++token) {
                        for (int64_t head = 0; head < kHeads; ++head) {
                            const int64_t row = head_major ? (batch * kHeads + head) * kTokens + token
                                                           : (batch * kTokens + token) * kHeads + head;
                            const int64_t angles = (batch * kTokens + token) * half;
                            rotate(wanted, static_cast<size_t>(row * kSize), cos.as<float>().data() + angles,
                                   sin.as<float>().data() + angles, static_cast<size_t>(half), interleaved);
                        }
                    }
                }
                Attributes attributes = {{"interleaved", int64_t{interleaved}}};
                if (!head_major) attributes.emplace_back("num_heads", kHeads);
                const Tensor y = result_of(Op::RotaryEmbedding, {given(x), given(cos), given(sin)}, attributes);
                CHECK(y.shape() == shape);
                CHECK(largest_error(values_of(y), wanted) < 1e-6);
            }
        }
    }
}

TEST_CASE("with position ids the angles are rows of a table") {
    Random random(22);
    const Tensor cos = random_floats({9, 2}, random);
    const Tensor sin = random_floats({9, 2}, random);
    const Tensor x = random_floats({1, 3, 8}, random);  // 2 heads of 4
    const std::vector<int64_t> ids = {8, 0, 5};
    const std::vector<float> source = values_of(x);
    std::vector<double> wanted(source.begin(), source.end());
    for (size_t token = 0; token < 3; ++token) {
        for (size_t head = 0; head < 2; ++head) {
            rotate(wanted, token * 8 + head * 4, cos.as<float>().data() + ids[token] * 2,
                   sin.as<float>().data() + ids[token] * 2, 2, false);
        }
    }
    const Attributes attributes = {{"num_heads", int64_t{2}}};
    const std::vector<Operand> operands = {given(x), given(cos), given(sin), given(longs({1, 3}, ids))};
    CHECK(largest_error(values_of(result_of(Op::RotaryEmbedding, operands, attributes)), wanted) < 1e-6);

    for (const int64_t id : {9, -1}) {
        const Operand wrong = given(longs({1, 3}, {0, id, 1}));
        const Status status =
            run_op(Op::RotaryEmbedding, {given(x), given(cos), given(sin), wrong}, attributes).status();
        CHECK(status.code() == StatusCode::InvalidArgument);
        CHECK_THAT(status.message(), contains("node 'node': position id " + std::to_string(id) + " is outside"));
    }
}

TEST_CASE("rotations that do not fit are refused") {
    const Operand x = given(floats({1, 1, 6}, {1, 2, 3, 4, 5, 6}));
    const Operand angles = given(floats({1, 1, 2}, {1, 1}));
    const auto reason = [&](const std::vector<Operand>& operands, int64_t heads) {
        return run_op(Op::RotaryEmbedding, operands, {{"num_heads", heads}}).status().message();
    };
    CHECK_THAT(reason({x, angles, angles}, 4), contains("num_heads = 4 does not divide the last dimension"));
    CHECK_THAT(reason({x, angles, angles}, 0), contains("num_heads = 0"));
    CHECK_THAT(reason({x, angles, angles}, 2), contains("the caches are for 4 of 3 values of a head"));
    CHECK_THAT(reason({given(floats({1, 6}, {1, 2, 3, 4, 5, 6})), angles, angles}, 1),
               contains("the input has rank 2, not 3 or 4"));
    CHECK_THAT(run_op(Op::RotaryCache, {given(ints({1}, {1})), constant(floats({1, 1}, {1}))}).status().message(),
               contains("the inverse frequencies are no vector"));
    CHECK_THAT(run_op(Op::RotaryCache, {given(longs({1}, {1})), constant(floats({1}, {1}))}).status().message(),
               contains("input 0 has the element type i64"));
}

// ---- Attention over pages

struct AttentionCase {
    DType dtype;
    int64_t heads;
    int64_t kv_heads;
    int64_t head_size;
    int64_t window;
    double softcap;
};

struct Token {
    int32_t sequence;
    int32_t position;
};

// One layer's attention with its cache, and the same in double precision over plain lists.
class Layer {
public:
    static constexpr int64_t kPages = 11;
    static constexpr int64_t kPagesPerSequence = 3;

    explicit Layer(const AttentionCase& config)
        : config_(config),
          // Pages of the three sequences lie scattered, and some belong to nobody.
          table_(ints({3, kPagesPerSequence}, {7, 2, 9, 0, 5, 1, 10, 3, 8})),
          keys_(empty_cache({kPages, config.kv_heads, config.head_size, 32})),
          values_(empty_cache({kPages, config.kv_heads, 32, config.head_size})),
          session_(make_ready(build()).value()) {}

    // Largest difference to plain attention for the tokens of one step.
    double step(const std::vector<Token>& tokens, Random& random) {
        const auto count = static_cast<int64_t>(tokens.size());
        std::vector<int32_t> positions;
        std::vector<int32_t> sequences;
        for (const Token& token : tokens) {
            positions.push_back(token.position);
            sequences.push_back(token.sequence);
        }
        const int64_t kv_columns = config_.kv_heads * config_.head_size;
        const Tensor query = random_floats({1, count, config_.heads * config_.head_size}, random);
        const Tensor key = random_floats({1, count, kv_columns}, random);
        const Tensor value = random_floats({1, count, kv_columns}, random);
        for (size_t index = 0; index < tokens.size(); ++index) {
            keys_of_[{tokens[index].sequence, tokens[index].position}] = rounded(key, index, kv_columns);
            values_of_[{tokens[index].sequence, tokens[index].position}] = rounded(value, index, kv_columns);
        }
        const std::array<Tensor, 8> inputs = {
            query, key, value, ints({1, count}, positions), ints({count}, sequences), table_, keys_, values_};
        for (size_t index = 0; index < inputs.size(); ++index) session_.set_input(index, view_of(inputs[index]));
        REQUIRE(session_.run().ok());
        std::vector<double> wanted;
        for (size_t index = 0; index < tokens.size(); ++index) attend(query, index, tokens[index], wanted);
        return largest_error(values_of(copy_of(session_.output(0))), wanted);
    }

private:
    // What no token was written to is NaN: nobody may look at it.
    Tensor empty_cache(const Shape& shape) const {
        const auto count = static_cast<size_t>(shape.element_count().value());
        if (config_.dtype == DType::F16) return tensor_of(DType::F16, shape, std::vector<uint16_t>(count, 0x7E00));
        if (config_.dtype == DType::BF16) return tensor_of(DType::BF16, shape, std::vector<uint16_t>(count, 0x7FC0));
        return floats(shape, std::vector<float>(count, NAN));
    }

    Graph build() const {
        Graph graph;
        const int64_t size = config_.head_size;
        const Dim tokens{.symbol = graph.add_symbol("tokens")};
        const ValueId q = graph.add_input("q", DType::F32, {{.size = 1}, tokens, {.size = config_.heads * size}});
        const ValueId k = graph.add_input("k", DType::F32, {{.size = 1}, tokens, {.size = config_.kv_heads * size}});
        const ValueId v = graph.add_input("v", DType::F32, {{.size = 1}, tokens, {.size = config_.kv_heads * size}});
        const ValueId positions = graph.add_input("positions", DType::I32, {{.size = 1}, tokens});
        const ValueId sequences = graph.add_input("sequences", DType::I32, {tokens});
        const ValueId table = graph.add_input("table", DType::I32, {{.size = 3}, {.size = kPagesPerSequence}});
        const ValueId keys = graph.add_input("keys", config_.dtype, dims_of(keys_.shape()));
        const ValueId values = graph.add_input("values", config_.dtype, dims_of(values_.shape()));
        const auto update = [&](const char* kind, ValueId cache, ValueId data) {
            return graph.add_node(Op::CacheUpdate, kind, {cache, data, positions, sequences, table},
                                  {{"kind", std::string(kind)}, {"kv_num_heads", config_.kv_heads}});
        };
        const ValueId all_keys = update("keys", keys, k);
        const ValueId all_values = update("values", values, v);
        graph.add_output(graph.add_node(Op::CachedAttention, "attention",
                                        {q, all_keys, all_values, positions, sequences, table},
                                        {{"num_heads", config_.heads},
                                         {"kv_num_heads", config_.kv_heads},
                                         {"scale", scale()},
                                         {"softcap", config_.softcap},
                                         {"window", config_.window}}));
        return graph;
    }

    double scale() const { return 1 / std::sqrt(static_cast<double>(config_.head_size)); }

    std::vector<double> rounded(const Tensor& data, size_t token, int64_t columns) const {
        std::vector<double> row;
        for (const float value :
             data.as<float>().subspan(token * static_cast<size_t>(columns), static_cast<size_t>(columns))) {
            row.push_back(double{config_.dtype == DType::F16    ? f16_to_f32(f32_to_f16(value))
                                 : config_.dtype == DType::BF16 ? bf16_to_f32(f32_to_bf16(value))
                                                                : value});
        }
        return row;
    }

    void attend(const Tensor& query, size_t index, const Token& token, std::vector<double>& out) const {
        const auto size = static_cast<size_t>(config_.head_size);
        const auto heads = static_cast<size_t>(config_.heads);
        const size_t group = heads / static_cast<size_t>(config_.kv_heads);
        const float* const row = query.as<float>().data() + index * heads * size;
        const int64_t first = config_.window == 0 ? 0 : std::max<int64_t>(0, token.position - config_.window + 1);
        for (size_t head = 0; head < heads; ++head) {
            const size_t kv = head / group * size;
            std::vector<double> weights;
            double sum = 0;
            for (int64_t position = first; position <= token.position; ++position) {
                const auto& key = keys_of_.at({token.sequence, static_cast<int32_t>(position)});
                double score = 0;
                for (size_t i = 0; i < size; ++i) score += double{row[head * size + i]} * key[kv + i];
                score *= scale();
                if (config_.softcap != 0) score = config_.softcap * std::tanh(score / config_.softcap);
                weights.push_back(std::exp(score));
                sum += weights.back();
            }
            for (size_t i = 0; i < size; ++i) {
                double value = 0;
                for (int64_t position = first; position <= token.position; ++position) {
                    value += weights[static_cast<size_t>(position - first)] / sum *
                             values_of_.at({token.sequence, static_cast<int32_t>(position)})[kv + i];
                }
                out.push_back(value);
            }
        }
    }

    AttentionCase config_;
    Tensor table_;
    Tensor keys_;
    Tensor values_;
    Session session_;
    std::map<std::pair<int32_t, int32_t>, std::vector<double>> keys_of_;
    std::map<std::pair<int32_t, int32_t>, std::vector<double>> values_of_;
};

std::vector<Token> run_of(int32_t sequence, int32_t first, int32_t count) {
    std::vector<Token> tokens;
    for (int32_t index = 0; index < count; ++index) tokens.push_back({sequence, first + index});
    return tokens;
}

std::vector<Token> joined(std::initializer_list<std::vector<Token>> parts) {
    std::vector<Token> tokens;
    for (const auto& part : parts) tokens.insert(tokens.end(), part.begin(), part.end());
    return tokens;
}

TEST_CASE("attention over scattered pages of several sequences is plain attention") {
    const std::vector<AttentionCase> cases = {
        {DType::F32, 4, 4, 16, 0, 0},   // a key/value head for each head
        {DType::F32, 6, 2, 20, 0, 0},   // three heads share one
        {DType::F16, 8, 1, 64, 0, 0},   // all heads share one
        {DType::F32, 4, 2, 33, 5, 0},   // a short window
        {DType::F16, 4, 2, 32, 40, 0},  // a window over a page's border
        {DType::F32, 2, 1, 8, 0, 2.0},  // bounded scores
        {DType::F16, 3, 3, 24, 33, 1.5}, {DType::BF16, 4, 2, 20, 0, 0},
    };
    Random random(23);
    for (const AttentionCase& each : cases) {
        CAPTURE(dtype_name(each.dtype), each.heads, each.kv_heads, each.head_size, each.window, each.softcap);
        Layer layer(each);
        // f16 keys and values are rounded in the reference too; what is left is arithmetic in floats.
        // Beside bf16 ones, queries and probabilities may be rounded to bf16, too: 2^-9 of values up to 4.
        const double tolerance = each.dtype == DType::BF16 ? 0x1p-7 : 2e-5;
        CHECK(layer.step({{1, 0}}, random) < tolerance);
        CHECK(layer.step(joined({run_of(0, 0, 70), run_of(1, 1, 4), run_of(2, 0, 31)}), random) < tolerance);
        CHECK(layer.step({{1, 5}, {0, 70}, {2, 31}}, random) < tolerance);  // one token each, in any order
        CHECK(layer.step(joined({{{2, 32}}, run_of(1, 6, 40), {{0, 71}}}), random) < tolerance);
        CHECK(layer.step(run_of(0, 72, 24), random) < tolerance);  // to the last slot of the last page
    }
}

TEST_CASE("attention that cannot be is refused") {
    const Operand query = given(floats({1, 1, 8}, std::vector<float>(8)));
    const Operand data = given(floats({1, 1, 4}, std::vector<float>(4)));
    const Operand keys = given(floats({1, 1, 4, 32}, std::vector<float>(128)));
    const Operand values = given(floats({1, 1, 32, 4}, std::vector<float>(128)));
    const Operand halves = given(tensor_of(DType::F16, {1, 1, 32, 4}, std::vector<uint16_t>(128)));
    const Operand flat = given(floats({4, 32}, std::vector<float>(128)));
    const Operand position = given(ints({1, 1}, {0}));
    const Operand sequence = given(ints({1}, {0}));
    const Operand table = given(ints({1, 1}, {0}));
    const Operand wide_table = given(longs({1, 1}, {0}));
    const auto reason = [](Op op, const std::vector<Operand>& operands, const Attributes& attributes) {
        return run_op(op, operands, attributes).status().message();
    };
    const Attributes update = {{"kind", std::string("keys")}, {"kv_num_heads", int64_t{1}}};
    CHECK_THAT(reason(Op::CacheUpdate, {flat, data, position, sequence, table}, update),
               contains("node 'node' (CacheUpdate): the cache has rank 2, not 4"));
    CHECK_THAT(reason(Op::CacheUpdate, {position, data, position, sequence, table}, update),
               contains("input 0 has the element type i32"));
    CHECK_THAT(reason(Op::CacheUpdate, {keys, data, position, sequence, wide_table}, update),
               contains("input 4 has the element type i64"));
    CHECK_THAT(reason(Op::CacheUpdate, {keys, data, position, sequence, table}, {}),
               contains("kv_num_heads is missing"));
    const std::vector<Operand> operands = {query, keys, values, position, sequence, table};
    const Attribute two = int64_t{2};
    const Attribute three = int64_t{3};
    CHECK_THAT(reason(Op::CachedAttention, operands, {{"num_heads", two}, {"kv_num_heads", int64_t{1}}}),
               contains("head counts or scale"));
    CHECK_THAT(reason(Op::CachedAttention, operands, {{"num_heads", three}, {"kv_num_heads", two}, {"scale", 1.0}}),
               contains("head counts or scale"));
    const Operand blocks = given(tensor_of(DType::Q8_0, {1, 1, 4, 32}, std::vector<uint8_t>(4 * 34)));
    CHECK_THAT(reason(Op::CacheUpdate, {blocks, data, position, sequence, table}, update),
               contains("no q8_0 page holds heads of 4 values"));
    CHECK_THAT(reason(Op::CachedAttention, {query, keys, halves, position, sequence, table}, {}),
               contains("keys and values differ in element type"));
}

}  // namespace
}  // namespace quoin::test
