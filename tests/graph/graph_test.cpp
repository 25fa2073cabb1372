// Building graphs, what verify() objects to, and the text form.
#include <array>
#include <numeric>
#include <vector>

#include "graph/graph.h"
#include "support/catch.h"

namespace quoin::test {
namespace {

Tensor floats(const Shape& shape) {
    const auto owner = std::make_shared<std::vector<float>>(static_cast<size_t>(shape.element_count().value()));
    return {DType::F32, shape, reinterpret_cast<std::byte*>(owner->data()), owner->size() * 4, owner};
}

// x [1, tokens, 4] -> Linear -> Swish -> Add with the Linear's result.
struct Small {
    Graph graph;
    ValueId x;
    ValueId weight;
    ValueId linear;
    ValueId swish;
    ValueId sum;

    Small() {
        x = graph.add_input("x", DType::F32, {{.size = 1}, {.symbol = graph.add_symbol("tokens")}, {.size = 4}});
        weight = graph.add_constant("w", Constant(floats({3, 4})));
        linear = graph.add_node(Op::Linear, "project", {x, weight});
        swish = graph.add_node(Op::Swish, "bend", {linear}, {{"alpha", 1.0}});
        sum = graph.add_node(Op::Add, "sum", {linear, swish});
        graph.add_output(sum);
    }
};

// ---- The op table

constexpr auto kAllOps = std::to_array<Op>({
#define QUOIN_OP(domain, op, least, most, least_outputs, most_outputs, facts) Op::op,
#include "graph/op_list.inc"
#undef QUOIN_OP
});

TEST_CASE("every op is found by its domain and name") {
    for (const Op op : kAllOps) {
        const OpInfo& info = op_info(op);
        CAPTURE(info.name);
        CHECK(info.op == op);
        CHECK(find_op(info.domain, info.name) == op);
        CHECK((info.domain == "onnx" || info.domain == "ml" || info.domain == "quoin"));
        CHECK(info.most_inputs >= 0);
        CHECK(info.most_inputs >= info.least_inputs);
    }
    CHECK(find_op("onnx", "Add") == Op::Add);
    CHECK(find_op("quoin", "Linear") == Op::Linear);
    CHECK(find_op("onnx", "Linear") == std::nullopt);
    CHECK(find_op("quoin", "Nothing") == std::nullopt);
}

TEST_CASE("an op whose result is its input's bytes has one output and one such fact") {
    int sharing = 0;
    for (const Op op : kAllOps) {
        const OpInfo& info = op_info(op);
        CAPTURE(info.name);
        const int facts_given = info.has(facts::in_place) + info.has(facts::view) + info.has(facts::updates);
        CHECK(facts_given <= 1);
        if (facts_given != 0) CHECK(info.most_outputs == 1);
        sharing += facts_given;
    }
    CHECK(sharing > 0);
}

// ---- Building

TEST_CASE("a symbol is one name, however often it is added") {
    Graph graph;
    CHECK(graph.add_symbol("tokens") == 0);
    CHECK(graph.add_symbol("pages") == 1);
    CHECK(graph.add_symbol("tokens") == 0);
    CHECK(graph.symbols() == std::vector<std::string>{"tokens", "pages"});
}

TEST_CASE("a node makes as many values as its op, named after it") {
    Graph graph;
    const ValueId positions = graph.add_input("positions", DType::I32, {{.size = 1}});
    const ValueId frequencies = graph.add_constant("f", Constant(floats({2})));
    const ValueId cos = graph.add_node(Op::RotaryCache, "rotary", {positions, frequencies});
    const Node& node = graph.node(0);
    REQUIRE(node.outputs == std::vector<ValueId>{cos, cos + 1});
    CHECK(graph.value(cos).name == "rotary");
    CHECK(graph.value(cos + 1).name == "rotary:1");
    CHECK(graph.value(cos).producer == 0);
    CHECK(graph.value(positions).producer == kNoValue);
    CHECK(graph.value(frequencies).dims == std::vector<Dim>{{.size = 2}});
}

TEST_CASE("attributes are read by name and type, else the fallback is taken") {
    const Node node{Op::Cast, "n", {3}, {4}, {{"to", int64_t{10}}, {"scale", 0.5}, {"kind", std::string("keys")}}};
    CHECK(node.integer("to", 1) == 10);
    CHECK(node.number("scale", 1) == 0.5);
    CHECK(node.string("kind", "x") == "keys");
    CHECK(node.integer("absent", 7) == 7);
    CHECK(node.integer("scale", 7) == 7);
    CHECK(node.number("to", 2.5) == 2.5);
    CHECK(node.string("to", "x") == "x");
    CHECK(node.attribute("absent") == nullptr);
    CHECK(node.input(0) == 3);
    CHECK(node.input(1) == kNoValue);
}

TEST_CASE("consumers are the reading nodes in order, twice where they read twice") {
    Small small;
    const ValueId square = small.graph.add_node(Op::Mul, "square", {small.sum, small.sum});
    const auto readers = small.graph.consumers();
    const auto of = [&](ValueId id) { return readers[static_cast<size_t>(id)]; };
    CHECK(of(small.x) == std::vector<NodeId>{0});
    CHECK(of(small.linear) == std::vector<NodeId>{1, 2});
    CHECK(of(small.sum) == std::vector<NodeId>{3, 3});
    CHECK(of(square).empty());
}

TEST_CASE("replacing a value changes all its readers and the outputs, not its producer") {
    Small small;
    small.graph.replace_uses(small.linear, small.x);
    CHECK(small.graph.node(1).inputs == std::vector<ValueId>{small.x});
    CHECK(small.graph.node(2).inputs == std::vector<ValueId>{small.x, small.swish});
    CHECK(small.graph.value(small.linear).producer == 0);
    small.graph.replace_uses(small.sum, small.swish);
    CHECK(small.graph.outputs() == std::vector<ValueId>{small.swish});
}

TEST_CASE("a new node list brings the producers up to date") {
    Small small;
    std::vector<Node> nodes = small.graph.nodes();
    nodes.erase(nodes.begin() + 1);
    small.graph.set_nodes(nodes);
    CHECK(small.graph.value(small.linear).producer == 0);
    CHECK(small.graph.value(small.swish).producer == kNoValue);
    CHECK(small.graph.value(small.sum).producer == 1);
}

// ---- Constants

TEST_CASE("a constant in a source is read when it is asked for") {
    std::vector<float> numbers(8);
    std::iota(numbers.begin(), numbers.end(), 0.0F);
    const SourcePtr source = wrap_memory(std::as_bytes(std::span(numbers)));
    const Constant constant(DType::F32, {2, 2}, source, 8, 16);
    CHECK(constant.byte_size() == 16);
    CHECK(constant.resident_bytes() == 0);
    const Tensor tensor = constant.load().value();
    CHECK(tensor.as<float>()[0] == 2);
    CHECK(tensor.as<float>()[3] == 5);
}

TEST_CASE("small constants are copied into memory, large aligned ones stay in the mapping") {
    const auto memory = std::make_shared<Memory>();
    const std::vector<float> numbers(40000, 1.5F);
    const SourcePtr source = wrap_memory(std::as_bytes(std::span(numbers)));
    Constant small(DType::F32, {4}, source, 0, 16);
    REQUIRE(small.materialize(memory, "small").ok());
    CHECK(small.resident_bytes() == 16);
    CHECK(memory->used_bytes() == 16);
    CHECK(small.source() == nullptr);
    CHECK(small.load().value().as<float>()[3] == 1.5F);

    // Somewhere among four neighbouring offsets the address is a multiple of 16, elsewhere it is not.
    int mapped = 0;
    for (uint64_t offset = 0; offset < 16; offset += 4) {
        Constant large(DType::F32, {39000}, source, offset, 156000);
        REQUIRE(large.materialize(memory, "large").ok());
        const bool aligned = (reinterpret_cast<uintptr_t>(numbers.data()) + offset) % 16 == 0;
        CHECK((large.load().value().as<float>().data() == numbers.data() + offset / 4) == aligned);
        CHECK(large.resident_bytes() == (aligned ? 0 : 156000));
        mapped += aligned ? 1 : 0;
    }
    CHECK(mapped == 1);
}

TEST_CASE("a constant that does not fit into the budget names itself") {
    const std::vector<float> numbers(8);
    Constant constant(DType::F32, {8}, wrap_memory(std::as_bytes(std::span(numbers))), 0, 32);
    const Status status = constant.materialize(std::make_shared<Memory>(16), "blk.0.norm");
    CHECK(status.code() == StatusCode::OutOfMemory);
    CHECK_THAT(status.message(), contains("blk.0.norm"));
}

// ---- verify

std::string complaint(const Graph& graph) {
    const Status status = verify(graph);
    CHECK((status.ok() || status.code() == StatusCode::Internal));
    return status.message();
}

TEST_CASE("a well-formed graph has no complaint") {
    CHECK(complaint(Graph()).empty());
    CHECK(complaint(Small().graph).empty());
    Small with_hole;
    with_hole.graph.node(0).inputs = {with_hole.x, with_hole.weight, kNoValue, with_hole.x};
    CHECK(complaint(with_hole.graph).empty());
}

TEST_CASE("verify counts inputs and outputs against the op table") {
    Small few;
    few.graph.node(2).inputs = {few.linear};
    CHECK(complaint(few.graph) == "graph: node 'sum' (Add) has a wrong number of inputs");
    Small many;
    many.graph.node(1).inputs = {many.linear, many.linear};
    CHECK(complaint(many.graph) == "graph: node 'bend' (Swish) has a wrong number of inputs");
    Small outputs;
    outputs.graph.node(1).outputs.clear();
    CHECK(complaint(outputs.graph) == "graph: node 'bend' (Swish) has a wrong number of outputs");
}

TEST_CASE("verify wants every value to exist before it is read") {
    Small missing;
    missing.graph.node(2).inputs[1] = kNoValue;
    CHECK(complaint(missing.graph) == "graph: node 'sum' (Add) reads a value that does not exist");
    Small beyond;
    beyond.graph.node(2).inputs[1] = 1000;
    CHECK(complaint(beyond.graph) == "graph: node 'sum' (Add) reads a value that does not exist");
    Small negative;
    negative.graph.node(0).inputs[0] = -2;
    CHECK(complaint(negative.graph) == "graph: node 'project' (Linear) reads a value that does not exist");
    Small later;
    later.graph.node(0).inputs[0] = later.sum;
    CHECK(complaint(later.graph) == "graph: node 'project' (Linear) reads a value before it is made");
    Small itself;
    itself.graph.node(1).inputs[0] = itself.swish;
    CHECK(complaint(itself.graph) == "graph: node 'bend' (Swish) reads a value before it is made");
}

TEST_CASE("verify wants every value to be made once, by its producer") {
    Small twice;
    twice.graph.node(1).outputs[0] = twice.linear;
    CHECK(complaint(twice.graph) == "graph: node 'bend' (Swish) makes a value that exists already");
    Small input;
    input.graph.node(0).outputs[0] = input.x;
    CHECK(complaint(input.graph) == "graph: node 'project' (Linear) makes a value that exists already");
    Small constant;
    constant.graph.value(constant.swish).constant = Constant(floats({1}));
    CHECK(complaint(constant.graph) == "graph: node 'bend' (Swish) makes a value that exists already");
    Small nowhere;
    nowhere.graph.node(1).outputs[0] = 999;
    CHECK(complaint(nowhere.graph) == "graph: node 'bend' (Swish) makes a value that does not exist");
    Small other;
    other.graph.value(other.swish).producer = 0;
    CHECK(complaint(other.graph) == "graph: node 'bend' (Swish) is not its value's producer");
}

TEST_CASE("verify wants every graph output to be made") {
    Small unmade;
    unmade.graph.add_output(unmade.graph.add_value("ghost", DType::F32, std::nullopt));
    CHECK(complaint(unmade.graph) == "graph: an output is made by no node");
    Small beyond;
    beyond.graph.add_output(1000);
    CHECK(complaint(beyond.graph) == "graph: an output is made by no node");
    Small none;
    none.graph.add_output(kNoValue);
    CHECK(complaint(none.graph) == "graph: an output is made by no node");
    Small direct;
    direct.graph.add_output(direct.x);
    direct.graph.add_output(direct.weight);
    CHECK(complaint(direct.graph).empty());
}

// ---- Text

TEST_CASE("the text of a graph shows inputs, constants, nodes and outputs") {
    Small small;
    small.graph.value(small.linear).dtype = DType::F32;
    small.graph.value(small.linear).dims = {{{.size = 1}, {.symbol = 0}, {}}};
    small.graph.add_constant("unread", Constant(floats({9})));
    small.graph.value(small.weight).constant = Constant(floats({3, 4}), {3, 4}, Layout::Panels);
    CHECK("\n" + dump(small.graph) == R"(
input x f32[1, tokens, 4]
constant w f32[3, 4] panels
%2 f32[1, tokens, ?] = Linear(x, w)  # project
%3 undefined[?] = Swish(%2) {alpha = 1}  # bend
%4 undefined[?] = Add(%2, %3)  # sum
output %4
)");
}

TEST_CASE("a dump says where an output is left out") {
    Graph graph;
    const ValueId positions = graph.add_input("positions", DType::I32, {{.size = 1}});
    const ValueId frequencies = graph.add_constant("f", Constant(floats({2})));
    const ValueId sin = graph.add_value("sin", DType::F32, std::nullopt);
    graph.append_node({Op::RotaryCache, "rotary", {positions, frequencies}, {kNoValue, sin}, {}});
    CHECK_THAT(dump(graph), contains("nothing, %2 f32[?] = RotaryCache("));
}

TEST_CASE("the text shows attributes of every type, left-out inputs and second outputs") {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::I32, {});
    const ValueId f = graph.add_constant("f", Constant(floats({2})));
    auto body = std::make_shared<Graph>();
    body->add_output(body->add_input("inner", DType::Bool, {{.size = 2}}));
    graph.add_node(Op::RotaryCache, "r", {x, f},
                   {{"whole", int64_t{-3}},
                    {"text", std::string("a")},
                    {"list", std::vector<int64_t>{1, 2}},
                    {"reals", std::vector<double>{0.5}},
                    {"words", std::vector<std::string>{"b", "c"}},
                    {"table", floats({2, 1})},
                    {"body", std::shared_ptr<const Graph>(body)}});
    graph.add_node(Op::Linear, "l", {f, f, kNoValue, f});
    CHECK("\n" + dump(graph) == R"(
input x i32[]
constant f f32[2]
%2 undefined[?], %3 undefined[?] = RotaryCache(x, f) {whole = -3, text = "a", list = [1, 2], reals = [0.5], words = ["b", "c"], table = tensor f32[2, 1], body = {
input inner bool[2]
output inner
}}  # r
%4 undefined[?] = Linear(f, f, none, f)  # l
)");
}

}  // namespace
}  // namespace quoin::test
