// Attention as exporters write it: MatMul(Softmax(scale * MatMul(q, transposed k) + mask), v). Where q, k and v come
// from Reshapes that split heads and the result goes into one that joins them, the Transposes between go, too.
#include <algorithm>
#include <map>

#include "core/log.h"
#include "ops/attention_sizes.h"
#include "optimize/constants.h"
#include "optimize/passes.h"
#include "optimize/patterns.h"

namespace quoin {
namespace {

using Order = std::vector<int64_t>;

// What a Transpose with this order reads; kNoValue when the value is none.
ValueId untransposed(const Graph& graph, ValueId value, const Order& order) {
    const Node* const node = producer(graph, value, Op::Transpose);
    const Attribute* const perm = node == nullptr ? nullptr : node->attribute("perm");
    const auto* const found = perm == nullptr ? nullptr : std::get_if<Order>(perm);
    return found != nullptr && *found == order ? node->inputs[0] : kNoValue;
}

struct Heads {
    ValueId joined = kNoValue;  // [batch, tokens, heads * size]
    int64_t count = 0;
};

bool is_named(const Dim& dim) {
    return dim.known() || dim.symbol >= 0;
}

// [batch, tokens, heads, size] as the [batch, tokens, heads * size] it was reshaped from.
std::optional<Heads> split_heads(const Graph& graph, ValueId split) {
    if (split == kNoValue) return std::nullopt;
    const Node* const reshape = producer(graph, split, Op::Reshape);
    if (reshape == nullptr) return std::nullopt;
    const auto& from = graph.value(reshape->inputs[0]).dims;
    const auto& to = graph.value(split).dims;
    if (!from || !to || from->size() != 3 || to->size() != 4 || !(*to)[2].known() || !(*to)[3].known()) {
        return std::nullopt;
    }
    const bool same = (*from)[0] == (*to)[0] && (*from)[1] == (*to)[1] && is_named((*to)[0]) && is_named((*to)[1]);
    if (!same || (*from)[2].size != (*to)[2].size * (*to)[3].size) return std::nullopt;
    return Heads{reshape->inputs[0], (*to)[2].size};
}

struct Pattern {
    ValueId query = kNoValue;         // [batch, heads, queries, size]
    ValueId key = kNoValue;           // [batch, heads, tokens, size], or
    ValueId key_by_token = kNoValue;  // [batch, tokens, heads, size]
    ValueId value = kNoValue;
    ValueId mask = kNoValue;
    double scale = 1;
};

class AttentionFusion {
public:
    AttentionFusion(Graph& graph) : graph_(graph), readers_(graph.consumers()) {}

    Status run() {
        find();
        std::vector<Node> nodes;
        const std::vector<Node> old = graph_.nodes();
        for (size_t id = 0; id < old.size(); ++id) {
            const auto found = matches_.find(static_cast<NodeId>(id));
            if (found == matches_.end()) {
                nodes.push_back(old[id]);
                continue;
            }
            append(nodes, old[id], found->second);
        }
        graph_.set_nodes(std::move(nodes));
        return {};
    }

private:
    struct Match {
        Pattern pattern;
        std::array<Heads, 3> heads;  // of q, k, v where heads are split and joined again
        bool joins = false;
    };

    bool is_read_once(ValueId value) const {
        return readers_[static_cast<size_t>(value)].size() == 1 &&
               std::ranges::find(graph_.outputs(), value) == graph_.outputs().end();
    }

    void find() {
        for (size_t id = 0; id < graph_.nodes().size(); ++id) {
            const Node& node = graph_.nodes()[id];
            if (node.op != Op::MatMul || producer(graph_, node.inputs[0], Op::Softmax) == nullptr) continue;
            const Result<Pattern> pattern = match(node);
            if (!pattern.ok()) {
                log(LogLevel::Debug, "fuse_attention leaves '", node.name, "' alone: ", pattern.status().message());
                continue;
            }
            Match match{*pattern, {}, false};
            const NodeId join = joining(node, match);
            matches_.emplace(join == kNoValue ? static_cast<NodeId>(id) : join, std::move(match));
        }
    }

    Result<Pattern> match(const Node& product) const {
        const auto refuse = [](const char* why) { return error(StatusCode::Unsupported, why); };
        const auto rank = [&](ValueId value) {
            const auto& dims = graph_.value(value).dims;
            return dims ? dims->size() : 0;
        };
        Pattern pattern;
        pattern.value = product.inputs[1];
        const Node& softmax = *producer(graph_, product.inputs[0], Op::Softmax);
        if (!is_read_once(softmax.outputs[0])) return refuse("others read the probabilities");
        if (rank(softmax.outputs[0]) != 4 || rank(pattern.value) != 4) return refuse("it has not four axes");
        if (graph_.value(product.outputs[0]).dtype != DType::F32) return refuse("it is not f32");
        const int64_t axis = softmax.integer("axis", -1);
        if (axis != -1 && axis != 3) return refuse("the softmax is along another axis");
        ValueId scores = softmax.inputs[0];
        if (const Node* const sum = producer(graph_, scores, Op::Add)) {
            if (!is_read_once(scores)) return refuse("others read the scores");
            const size_t side = scaled_product(sum->inputs[0]) != nullptr ? 0 : 1;
            scores = sum->inputs[side];
            pattern.mask = sum->inputs[1 - side];
            if (graph_.value(pattern.mask).dtype != DType::F32 || rank(pattern.mask) < 2 || rank(pattern.mask) > 4) {
                return refuse("the mask is no f32 tensor of two to four axes");
            }
        }
        if (pattern.mask != kNoValue && !spreads(pattern.mask, scores))
            return refuse("the mask is larger than the scores");
        const Node* const matmul = scaled_product(scores, &pattern.scale);
        if (matmul == nullptr) return refuse("the scores are no product of query and key");
        for (ValueId value = scores; value != matmul->outputs[0];) {
            if (!is_read_once(value)) return refuse("others read the scores");
            const Node& step = graph_.node(graph_.value(value).producer);
            // The other operand is a number, or a product of some.
            value = product_of(graph_, step.inputs[0]).factors.empty() ? step.inputs[1] : step.inputs[0];
        }
        if (!is_read_once(matmul->outputs[0])) return refuse("others read the scores");
        const Product query = product_of(graph_, matmul->inputs[0]);
        const Node* const factor = producer(graph_, matmul->inputs[0], Op::Mul);
        const Node* const quotient = producer(graph_, matmul->inputs[0], Op::Div);
        const bool scaled = factor != nullptr || quotient != nullptr;
        pattern.query = scaled && query.factors.size() == 1 ? query.factors[0] : matmul->inputs[0];
        if (scaled && query.factors.size() == 1) pattern.scale *= query.scale;
        pattern.key = untransposed(graph_, matmul->inputs[1], {0, 1, 3, 2});
        pattern.key_by_token = untransposed(graph_, matmul->inputs[1], {0, 2, 3, 1});
        if (pattern.key == kNoValue && pattern.key_by_token == kNoValue) return refuse("the key is not transposed");
        if (rank(pattern.query) != 4) return refuse("the query has not four axes");
        // Attention shares keys among heads; a product that broadcasts them along other axes is something else.
        const auto& q = *graph_.value(pattern.query).dims;
        const auto& v = *graph_.value(pattern.value).dims;
        const auto& k = *graph_.value(matmul->inputs[1]).dims;
        const bool fits = k.size() == 4 && q[0] == k[0] && q[0] == v[0] && is_named(q[0]) && q[1].known() &&
                          q[1] == k[1] && q[1] == v[1];
        if (!fits) return refuse("query, key and value differ in batch or heads");
        return pattern;
    }

    // Whether the mask is broadcast to the scores and not the other way round. Numbers of tokens often have no name:
    // there Attention itself looks when it is planned.
    bool spreads(ValueId mask, ValueId scores) const {
        const auto& from = *graph_.value(mask).dims;
        const auto& to = graph_.value(scores).dims;
        if (!to || to->size() != 4) return false;
        for (size_t back = 1; back <= from.size(); ++back) {
            const Dim& own = from[from.size() - back];
            const Dim& other = (*to)[4 - back];
            if (own.size == 1 || (own == other && is_named(own))) continue;
            if (back > 2 || (own.known() && other.known()) || other.size == 1) return false;
        }
        return true;
    }

    // The MatMul under multiplications with single numbers.
    const Node* scaled_product(ValueId value, double* scale = nullptr) const {
        const Product product = product_of(graph_, value);
        if (product.factors.size() != 1) return nullptr;
        if (scale != nullptr) *scale = product.scale;
        return producer(graph_, product.factors[0], Op::MatMul);
    }

    // The Reshape that joins the heads of the result, when q, k and v are split alike; kNoValue otherwise.
    NodeId joining(const Node& product, Match& match) const {
        const Pattern& pattern = match.pattern;
        const Order swap{0, 2, 1, 3};
        const ValueId key =
            pattern.key_by_token != kNoValue ? pattern.key_by_token : untransposed(graph_, pattern.key, swap);
        const std::array<ValueId, 3> split{untransposed(graph_, pattern.query, swap), key,
                                           untransposed(graph_, pattern.value, swap)};
        for (size_t index = 0; index < 3; ++index) {
            const auto heads = split_heads(graph_, split[index]);
            if (!heads) return kNoValue;
            match.heads[index] = *heads;
        }
        const ValueId result = product.outputs[0];
        if (!is_read_once(result)) return kNoValue;
        const NodeId transpose = readers_[static_cast<size_t>(result)][0];
        const ValueId swapped = graph_.node(transpose).outputs[0];
        if (untransposed(graph_, swapped, swap) != result || !is_read_once(swapped)) return kNoValue;
        const NodeId reshape = readers_[static_cast<size_t>(swapped)][0];
        const Node& join = graph_.node(reshape);
        if (join.op != Op::Reshape || join.inputs[0] != swapped) return kNoValue;
        const auto& from = graph_.value(swapped).dims;
        const auto& to = graph_.value(join.outputs[0]).dims;
        if (!from || !to || from->size() != 4 || to->size() != 3) return kNoValue;
        const bool same = (*from)[0] == (*to)[0] && (*from)[1] == (*to)[1] && is_named((*to)[0]) && is_named((*to)[1]);
        const bool joined =
            (*from)[2].known() && (*from)[3].known() && (*to)[2].size == (*from)[2].size * (*from)[3].size;
        if (!same || !joined) return kNoValue;
        match.joins = true;
        return reshape;
    }

    void append(std::vector<Node>& nodes, const Node& replaced, const Match& match) {
        const Pattern& pattern = match.pattern;
        Node node{Op::Attention, replaced.name, {}, replaced.outputs, {{"scale", pattern.scale}}};
        if (match.joins) {
            node.inputs = {match.heads[0].joined, match.heads[1].joined, match.heads[2].joined};
            node.attributes.emplace_back("q_num_heads", match.heads[0].count);
            node.attributes.emplace_back("kv_num_heads", match.heads[1].count);
        } else {
            ValueId key = pattern.key;
            if (key == kNoValue) {
                key = graph_.add_value(replaced.name + ".key", DType::F32, std::nullopt);
                nodes.push_back({Op::Transpose,
                                 replaced.name + ".key",
                                 {pattern.key_by_token},
                                 {key},
                                 {{"perm", Order{0, 2, 1, 3}}}});
            }
            node.inputs = {pattern.query, key, pattern.value};
        }
        if (pattern.mask != kNoValue) {
            node.inputs.push_back(pattern.mask);
            node.attributes.emplace_back(kMaskIsBroadcast, int64_t{1});
        }
        nodes.push_back(std::move(node));
    }

    Graph& graph_;
    std::vector<std::vector<NodeId>> readers_;
    std::map<NodeId, Match> matches_;
};

}  // namespace

Status fuse_attention(Graph& graph, const OptimizeContext& context) {
    QUOIN_RETURN_IF_ERROR(AttentionFusion(graph).run());
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
