// CachedAttention that rotates its queries and stores single tokens: the same bits as the nodes it replaces.
#include "optimize/pass_test.h"

namespace quoin::test {
namespace {

constexpr int64_t kPages = 24;
constexpr int64_t kHeadSize = 32;
constexpr int64_t kHeads = 6;
constexpr int64_t kKvHeads = 3;

struct Facts {
    DType cache = DType::F16;
    int64_t window = 0;
    bool rotates = true;
};

// Input 0 is what the values are made of, input 1 the tokens' positions, 2 their sequences; 3 and 4 are the caches.
Graph attention_graph(const Facts& facts, Random& random) {
    Graph graph;
    const Dim tokens{.symbol = graph.add_symbol("tokens")};
    const ValueId x = graph.add_input("x", DType::F32, {{.size = 1}, tokens, {.size = 32}});
    const ValueId positions = graph.add_input("positions", DType::I32, {{.size = 1}, tokens});
    const ValueId sequences = graph.add_input("sequences", DType::I32, {tokens});
    const ValueId key_cache = graph.add_input("keys", facts.cache, dims_of({kPages, kKvHeads, kHeadSize, 32}));
    const ValueId value_cache = graph.add_input("values", facts.cache, dims_of({kPages, kKvHeads, 32, kHeadSize}));
    std::vector<int32_t> scattered(kPages);
    for (size_t page = 0; page < scattered.size(); ++page) scattered[page] = static_cast<int32_t>(page * 7 % kPages);
    const ValueId table = graph.add_constant("table", Constant(ints({1, kPages}, scattered)));
    const auto linear = [&](const char* name, int64_t heads) {
        const ValueId weight =
            graph.add_constant(std::string(name) + ".weight", Constant(random_floats({heads * kHeadSize, 32}, random)));
        return graph.add_node(Op::Linear, name, {x, weight});
    };
    const ValueId frequencies = graph.add_constant("f", Constant(random_floats({kHeadSize / 2}, random)));
    const ValueId cosines = graph.add_node(Op::RotaryCache, "angles", {positions, frequencies});
    const auto rotated = [&](ValueId heads, int64_t count) {
        if (!facts.rotates) return heads;
        return graph.add_node(Op::RotaryEmbedding, "rotated", {heads, cosines, cosines + 1}, {{"num_heads", count}});
    };
    const auto update = [&](ValueId cache, ValueId data, const char* kind) {
        return graph.add_node(Op::CacheUpdate, kind, {cache, data, positions, sequences, table},
                              {{"kind", std::string(kind)}, {"kv_num_heads", kKvHeads}});
    };
    const ValueId query = rotated(linear("q", kHeads), kHeads);
    const ValueId keys = update(key_cache, rotated(linear("k", kKvHeads), kKvHeads), "keys");
    const ValueId values = update(value_cache, linear("v", kKvHeads), "values");
    graph.add_output(graph.add_node(Op::CachedAttention, "attention",
                                    {query, keys, values, positions, sequences, table},
                                    {{"num_heads", kHeads},
                                     {"kv_num_heads", kKvHeads},
                                     {"scale", 0.2},
                                     {"softcap", 0.0},
                                     {"window", facts.window}}));
    return graph;
}

Graph fused(Graph graph, const Runtime& runtime) {
    const OptimizeContext context{runtime, Provider::Native, {}};
    REQUIRE(infer_types(graph).ok());
    REQUIRE(fuse_rotary_update(graph, context).ok());
    REQUIRE(infer_types(graph).ok());
    REQUIRE(fuse_attention_inputs(graph, context).ok());
    REQUIRE(verify(graph).message() == "");
    REQUIRE(infer_types(graph).message() == "");
    return graph;
}

// A prompt of several blocks of positions, then tokens one by one, the last of which begin a block.
class Conversation {
public:
    Conversation(Graph graph, DType cache, int threads) {
        const RuntimePtr runtime = make_runtime(threads);
        const OptimizeContext context{*runtime, Provider::Native, {}};
        REQUIRE(infer_types(graph).ok());
        REQUIRE(pack_weights(graph, context).ok());
        session_ = std::make_unique<Session>(prepare(std::move(graph), runtime).value());
        const auto bytes = byte_size(cache, kPages * kKvHeads * kHeadSize * 32).value();
        for (auto* const each : {&keys_, &values_}) each->assign(bytes, std::byte{0});
        const auto bind = [&](size_t index, std::vector<std::byte>& memory, const Shape& shape) {
            session_->set_input(index, TensorView{memory.data(), cache, shape});
        };
        bind(3, keys_, {kPages, kKvHeads, kHeadSize, 32});
        bind(4, values_, {kPages, kKvHeads, 32, kHeadSize});
    }

    Status step(int32_t first, int32_t count) {
        Random random(first + 1);
        const Tensor x = random_floats({1, count, 32}, random);
        std::vector<int32_t> positions;
        for (int32_t index = 0; index < count; ++index) positions.push_back(first + index);
        const Tensor at = ints({1, count}, positions);
        const Tensor sequences = ints({count}, std::vector<int32_t>(static_cast<size_t>(count), 0));
        session_->set_input(0, view_of(x));
        session_->set_input(1, view_of(at));
        session_->set_input(2, view_of(sequences));
        QUOIN_RETURN_IF_ERROR(session_->run());
        const std::vector<float> out = values_of(copy_of(session_->output(0)));
        results_.insert(results_.end(), out.begin(), out.end());
        return {};
    }
    Session& session() { return *session_; }
    const std::vector<float>& results() const { return results_; }
    const std::vector<std::byte>& keys() const { return keys_; }
    const std::vector<std::byte>& values() const { return values_; }

    void run_all() {
        REQUIRE(step(0, 1).message() == "");
        REQUIRE(step(1, 500).message() == "");
        for (int32_t position = 501; position < 520; ++position) REQUIRE(step(position, 1).message() == "");
        REQUIRE(step(520, 3).message() == "");
    }

private:
    std::unique_ptr<Session> session_;
    std::vector<std::byte> keys_;
    std::vector<std::byte> values_;
    std::vector<float> results_;
};

TEST_CASE("attention that rotates and stores gives the same bits, whatever the threads", "[threaded]") {
    for (const Facts& facts :
         {Facts{}, Facts{.cache = DType::F32, .window = 300}, Facts{.cache = DType::F32, .window = 7},
          Facts{.cache = DType::BF16}, Facts{.cache = DType::F16, .rotates = false}}) {
        CAPTURE(dtype_name(facts.cache), facts.window, facts.rotates);
        Random random(5);
        const Graph plain = attention_graph(facts, random);
        Conversation wanted(plain, facts.cache, 1);
        wanted.run_all();
        const Graph graph = fused(plain, *make_runtime());
        CHECK(std::ranges::none_of(graph.nodes(), [](const Node& node) { return node.op == Op::RotaryEmbedding; }));
        for (const int threads : {1, 2, 3, 5}) {
            CAPTURE(threads);
            Conversation found(graph, facts.cache, threads);
            found.run_all();
            CHECK(same_bits(found.results(), wanted.results()));
            CHECK(found.keys() == wanted.keys());
            CHECK(found.values() == wanted.values());
        }
    }
}

TEST_CASE("attention of a token after a run that was cancelled begins from nothing", "[threaded]") {
    const Facts facts;
    Random random(5);
    const Graph plain = attention_graph(facts, random);
    Conversation wanted(plain, facts.cache, 1);
    Conversation found(fused(plain, *make_runtime()), facts.cache, 2);
    for (Conversation* const each : {&wanted, &found}) REQUIRE(each->step(0, 500).ok());
    for (int32_t position = 500; position < 540; ++position) {
        found.session().cancel();
        CHECK(found.step(position, 1).code() == StatusCode::Cancelled);
        REQUIRE(found.step(position, 1).ok());
        REQUIRE(wanted.step(position, 1).ok());
    }
    CHECK(same_bits(found.results(), wanted.results()));
}

TEST_CASE("attention leaves rotations and updates that others read to their nodes") {
    Random random(5);
    const RuntimePtr runtime = make_runtime();
    const auto refusals = [&](const Facts& facts, const auto& change, bool stores = false) {
        Graph graph = attention_graph(facts, random);
        change(graph);
        REQUIRE(infer_types(graph).ok());
        const DebugLog log;
        REQUIRE(fuse_attention_inputs(graph, {*runtime, Provider::Native, {}}).ok());
        const auto is_left = [](const Node& node) { return node.integer("by_reader", 0) != 0; };
        CHECK(std::ranges::any_of(graph.nodes(), is_left) == stores);
        return log.text();
    };
    const auto value_of = [](const Graph& graph, Op op) {
        return std::ranges::find(graph.nodes(), op, [](const Node& node) { return node.op; })->outputs[0];
    };
    const auto nothing = [](Graph&) {};
    // fuse_rotary_update has not run, so the keys are rotated by a node of their own.
    CHECK_THAT(refusals({}, nothing), contains("keys and queries are not rotated by the same angles"));
    const auto read_query = [&](Graph& graph) { graph.add_output(value_of(graph, Op::RotaryEmbedding)); };
    // Then both are rotated by nodes of their own, and what is stored is the rotated keys.
    CHECK_THAT(refusals({}, read_query, true), contains("its query is no RotaryEmbedding with one reader"));
    const auto read_keys = [&](Graph& graph) { graph.add_output(value_of(graph, Op::CacheUpdate)); };
    CHECK_THAT(refusals({.rotates = false}, read_keys),
               contains("its keys or values are no CacheUpdate with one reader"));
}

}  // namespace
}  // namespace quoin::test
