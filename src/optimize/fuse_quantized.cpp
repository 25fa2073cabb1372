// QDQ graphs: what stands between DequantizeLinear and QuantizeLinear is computed on the integers. From each
// QuantizeLinear the pass asks backwards whether its operand can be had quantised: layout-only ops and Concat pass the
// question on, Relu and Clip become bounds of the result, Conv, Gemm, MatMul and Add are done in integers.
#include <algorithm>
#include <cmath>
#include <map>

#include "core/log.h"
#include "optimize/constants.h"
#include "optimize/layout_forms.h"
#include "optimize/passes.h"
#include "optimize/patterns.h"
#include "optimize/quantization.h"

namespace quoin {
namespace {

// How many ops in a row are followed backwards: each is a call inside the last one, and a file may have any number.
constexpr int kMostSteps = 32;

// What a quantised value shall be like; least and most are bounds that Relu and Clip behind it have set.
struct Target {
    Quantization quantization;
    int64_t least;
    int64_t most;
};

bool moves_elements_only(const Node& node) {
    switch (node.op) {
        case Op::DepthToSpace:
        case Op::Expand:
        case Op::Flatten:
        case Op::Gather:
        case Op::Identity:
        case Op::Reshape:
        case Op::Slice:
        case Op::SpaceToDepth:
        case Op::Squeeze:
        case Op::Tile:
        case Op::Transpose:
        case Op::Unsqueeze: return true;
        // The largest of the integers is the largest of what they stand for.
        case Op::MaxPool: return node.outputs.size() == 1;
        default: return false;
    }
}

class QuantizedFusion {
public:
    QuantizedFusion(Graph& graph, const OptimizeContext& context)
        : graph_(graph), context_(context), readers_(graph.consumers()) {}

    Status run() {
        const std::vector<Node> nodes = graph_.nodes();
        for (const Node& node : nodes) {
            if (node.op == Op::QLinearConv || node.op == Op::QLinearMatMul) {
                QUOIN_ASSIGN_OR_RETURN(const bool done, linear(node));
                if (done) continue;
            }
            std::optional<ValueId> result;
            if (node.op == Op::QuantizeLinear) {
                QUOIN_ASSIGN_OR_RETURN(result, quantize(node));
            }
            if (result && !nodes_.empty() && nodes_.back().outputs[0] == *result && is_new(*result)) {
                nodes_.back().outputs[0] = node.outputs[0];
                continue;
            }
            if (result) {
                if (std::ranges::find(graph_.outputs(), node.outputs[0]) != graph_.outputs().end()) {
                    nodes_.push_back({Op::Identity, node.name, {*result}, node.outputs, {}});
                }
                alias_[node.outputs[0]] = *result;
                continue;
            }
            Node kept = node;
            for (ValueId& input : kept.inputs) input = now(input);
            nodes_.push_back(std::move(kept));
        }
        graph_.set_nodes(std::move(nodes_));
        return {};
    }

private:
    using Made = Result<std::optional<ValueId>>;

    // Made by this pass, and not yet known to anybody else.
    bool is_new(ValueId id) const { return static_cast<size_t>(id) >= readers_.size(); }
    ValueId now(ValueId id) const {
        const auto found = alias_.find(id);
        return found == alias_.end() ? id : found->second;
    }
    std::optional<ValueId> leave(const Node& node, const char* why) const {
        log(LogLevel::Debug, "fuse_quantized leaves '", node.name, "' alone: ", why);
        return std::nullopt;
    }

    Made quantize(const Node& node) {
        const auto target =
            read_quantization(graph_, node.inputs[1], node.input(2), graph_.value(node.outputs[0]).dtype);
        if (!target) return leave(node, "scale and zero point are no constants of one number for u8 or i8");
        return quantized(node.inputs[0], {*target, target->lowest(), target->highest()}, node.name, kMostSteps);
    }

    // The value as integers; nullopt, with the reason in the log, when it must be computed in floats. `steps` more ops
    // may stand before it.
    Made quantized(ValueId value, const Target& target, const std::string& name, int steps) {
        const NodeId id = graph_.value(value).producer;
        if (id == kNoValue) return std::optional<ValueId>();
        const Node node = graph_.node(id);
        if (node.op == Op::DequantizeLinear) return requantized(node, target, name);
        const bool sole = readers_[static_cast<size_t>(value)].size() == 1 &&
                          std::ranges::find(graph_.outputs(), value) == graph_.outputs().end();
        if (!sole) return leave(node, "others read its floats");
        if (steps == 0) return leave(node, "too many ops stand between it and the quantisation");
        if (moves_elements_only(node)) return moved(node, target, name, steps - 1);
        switch (node.op) {
            case Op::Concat: return joined(node, target, steps - 1);
            case Op::Relu:
            case Op::Clip: return clipped(node, target, name, steps - 1);
            case Op::Conv: return convolution(node, target);
            case Op::Gemm:
            case Op::MatMul: return product(node, target);
            case Op::Add: return sum(node, target);
            default: return leave(node, "no kernel does it on integers");
        }
    }

    ValueId add(Node node, ValueId like, DType dtype) {
        const Value original = graph_.value(like);
        const ValueId result = graph_.add_value(original.name + ".quantized", dtype, original.dims);
        node.outputs = {result};
        nodes_.push_back(std::move(node));
        return result;
    }

    struct Dequantized {
        ValueId integers;
        Quantization quantization;
    };
    // What a DequantizeLinear with one scale reads.
    std::optional<Dequantized> dequantized(ValueId value) const {
        const Node* const node = producer(graph_, value, Op::DequantizeLinear);
        if (node == nullptr) return std::nullopt;
        const auto quantization =
            read_quantization(graph_, node->inputs[1], node->input(2), graph_.value(node->inputs[0]).dtype);
        if (!quantization) return std::nullopt;
        return Dequantized{now(node->inputs[0]), *quantization};
    }
    // What add_transposed() takes.
    bool is_byte_matrix(ValueId value) const {
        const auto& constant = graph_.value(value).constant;
        return constant && constant->shape().rank() == 2 &&
               (constant->dtype() == DType::I8 || constant->dtype() == DType::U8);
    }
    std::optional<QuantizedWeight> weight(ValueId value) const {
        const Node* const node = producer(graph_, value, Op::DequantizeLinear);
        if (node == nullptr || node->integer("block_size", 0) != 0) return std::nullopt;
        auto result = read_weight(graph_, node->inputs[0], node->inputs[1], node->input(2));
        if (!result) return std::nullopt;
        const bool by_column = graph_.value(node->inputs[1]).constant->shape().element_count() == int64_t{1} ||
                               node->integer("axis", 1) == 0;
        return by_column ? std::move(result) : std::nullopt;
    }

    std::vector<std::pair<std::string, Attribute>> attributes_of(const Target& target) const {
        return {{"to", static_cast<int64_t>(target.quantization.dtype)},
                {"zero_point", int64_t{target.quantization.zero_point}},
                {"lowest", target.least},
                {"highest", target.most}};
    }

    Made requantized(const Node& node, const Target& target, const std::string& name) {
        const auto source = dequantized(node.outputs[0]);
        if (!source) return leave(node, "it has more than one scale");
        const Quantization& to = target.quantization;
        if (source->quantization == to && target.least == to.lowest() && target.most == to.highest()) {
            return std::optional(source->integers);
        }
        const double scale = source->quantization.scale / to.scale;
        Node made{Op::AddQuantized, name, {source->integers}, {}, attributes_of(target)};
        made.attributes.emplace_back("a_scale", scale);
        made.attributes.emplace_back("offset", to.zero_point - source->quantization.zero_point * scale);
        return std::optional(add(std::move(made), node.outputs[0], to.dtype));
    }

    Made moved(const Node& node, const Target& target, const std::string& name, int steps) {
        QUOIN_ASSIGN_OR_RETURN(const std::optional<ValueId> source, quantized(node.inputs[0], target, name, steps));
        if (!source) return source;
        Node made = node;
        for (ValueId& input : made.inputs) input = now(input);
        made.inputs[0] = *source;
        return std::optional(add(std::move(made), node.outputs[0], target.quantization.dtype));
    }

    Made joined(const Node& node, const Target& target, int steps) {
        Node made = node;
        for (ValueId& input : made.inputs) {
            QUOIN_ASSIGN_OR_RETURN(const std::optional<ValueId> part,
                                   quantized(input, target, node.name + "." + graph_.value(input).name, steps));
            if (!part) return part;
            input = *part;
        }
        return std::optional(add(std::move(made), node.outputs[0], target.quantization.dtype));
    }

    // Bounds round as the values do: rounding never changes an order.
    Made clipped(const Node& node, Target target, const std::string& name, int steps) {
        const Quantization& to = target.quantization;
        const auto bound = [&](double limit) {
            const double rounded = std::nearbyint(limit / to.scale) + to.zero_point;
            return static_cast<int64_t>(std::clamp(rounded, double(to.lowest()), double(to.highest())));
        };
        if (node.op == Op::Relu) {
            target.least = std::max(target.least, bound(0));
        } else {
            for (const size_t side : {size_t{1}, size_t{2}}) {
                if (node.input(side) == kNoValue) continue;
                const auto limit = scalar_value(graph_, node.inputs[side]);
                if (!limit || std::isnan(*limit)) return leave(node, "its limits are no constant numbers");
                if (side == 1) target.least = std::max(target.least, bound(double{*limit}));
                if (side == 2) target.most = std::min(target.most, bound(double{*limit}));
            }
        }
        if (target.least > target.most) return leave(node, "its limits leave nothing");
        return quantized(node.inputs[0], target, name, steps);
    }

    // Whether it is a constant with one number for each column, [N] or [1, N]. Gemm's C may also be a column of as many
    // numbers, one for each row.
    bool is_row(ValueId value, size_t columns) const {
        const auto& constant = graph_.value(value).constant;
        const auto count = static_cast<int64_t>(columns);
        return constant && constant->shape().rank() > 0 && constant->shape().back() == count &&
               constant->shape().element_count() == count;
    }

    // The numbers of a bias; nullopt when it is no constant row.
    std::optional<std::vector<float>> bias_values(ValueId value, size_t columns) const {
        const Node* const node = producer(graph_, value, Op::DequantizeLinear);
        if (!is_row(node == nullptr ? value : node->inputs[0], columns)) return std::nullopt;
        if (node == nullptr) return float_values(graph_, value);
        const auto integers = small_integers(graph_, node->inputs[0]);
        const auto scales = float_values(graph_, node->inputs[1]);
        const auto zeros = node->input(2) == kNoValue ? std::optional(std::vector<int32_t>{0})
                                                      : small_integers(graph_, node->inputs[2]);
        if (!integers || !scales || !zeros) return std::nullopt;
        // One for all or one for each; a scale for a block of them is neither.
        const auto fits = [&](size_t count) { return count == 1 || count == columns; };
        if (!fits(scales->size()) || !fits(zeros->size())) return std::nullopt;
        std::vector<float> reals;
        for (size_t index = 0; index < columns; ++index) {
            const auto scale = double{(*scales)[scales->size() == 1 ? 0 : index]};
            const int32_t zero = (*zeros)[zeros->size() == 1 ? 0 : index];
            reals.push_back(static_cast<float>(scale * (double((*integers)[index]) - zero)));
        }
        return reals;
    }

    // The bias as integers of scale x scale * weight scale; nullopt when it is no constant row.
    std::optional<std::vector<int32_t>> bias(ValueId value, double x_scale, const QuantizedWeight& weight) const {
        if (value == kNoValue) return std::vector<int32_t>();
        const auto reals = bias_values(value, weight.scales.size());
        if (!reals) return std::nullopt;
        std::vector<int32_t> result;
        for (size_t index = 0; index < reals->size(); ++index) {
            const double integer = std::nearbyint(double{(*reals)[index]} / (x_scale * double{weight.scales[index]}));
            if (!(std::abs(integer) < 2147483647.0)) return std::nullopt;
            result.push_back(static_cast<int32_t>(integer));
        }
        return result;
    }

    using AttributeList = std::vector<std::pair<std::string, Attribute>>;

    // x [N, C, spatial...] with the channels last; made once for all that read it.
    ValueId channels_last(ValueId x, size_t rank) {
        const auto found = transposed_.find(x);
        if (found != transposed_.end()) return found->second;
        const ValueId result = graph_.add_value(graph_.value(x).name + ".moved", graph_.value(x).dtype, std::nullopt);
        nodes_.push_back(
            {Op::Transpose, graph_.value(x).name + ".order", {x}, {result}, {{"perm", channels_last_order(rank)}}});
        transposed_[x] = result;
        return result;
    }

    // Appends a node that makes `result` on integers from x and `weight` [OC, ...]: a window slides over x of `rank`
    // axes, channels first, or with rank 0 the weight is a matrix. channels_last() removes the Transposes made here.
    Status append_integers(const Node& node, const Dequantized& x, const QuantizedWeight& weight,
                           const std::vector<int32_t>& bias, const Target& target, size_t rank, ValueId result) {
        std::vector<float> scales;
        for (const float scale : weight.scales) {
            // In single precision and this order, as other runtimes do it: results at a half round to the same side.
            scales.push_back(static_cast<float>(x.quantization.scale) * scale /
                             static_cast<float>(target.quantization.scale));
        }
        const ValueId source = rank == 0 ? x.integers : channels_last(x.integers, rank);
        QUOIN_ASSIGN_OR_RETURN(std::vector<ValueId> inputs,
                               integer_inputs(graph_, context_, node.name, source, weight, scales, bias));
        Node made{Op::ChannelsLastIntegerConv, node.name, std::move(inputs), {result}, attributes_of(target)};
        made.attributes.emplace_back("x_zero_point", int64_t{x.quantization.zero_point});
        if (rank == 0) {
            nodes_.push_back(std::move(made));
            return {};
        }
        for (const auto& attribute : node.attributes) {
            for (const char* const name : {"strides", "pads", "dilations", "auto_pad", "group"}) {
                if (attribute.first == name) made.attributes.push_back(attribute);
            }
        }
        made.outputs = {graph_.add_value(node.name + ".last", target.quantization.dtype, std::nullopt)};
        const ValueId last = made.outputs[0];
        nodes_.push_back(std::move(made));
        nodes_.push_back(
            {Op::Transpose, node.name + ".order", {last}, {result}, {{"perm", inverse(channels_last_order(rank))}}});
        return {};
    }

    Made integer_node(const Node& node, const Dequantized& x, const QuantizedWeight& weight, ValueId bias_value,
                      const Target& target, size_t rank) {
        const auto integers = bias(bias_value, x.quantization.scale, weight);
        if (!integers) return leave(node, "its bias is no constant row that integers can hold");
        const ValueId result =
            graph_.add_value(node.name + ".quantized", target.quantization.dtype, graph_.value(node.outputs[0]).dims);
        QUOIN_RETURN_IF_ERROR(append_integers(node, x, weight, *integers, target, rank, result));
        return std::optional(result);
    }

    Made convolution(const Node& node, const Target& target) {
        const auto x = dequantized(node.inputs[0]);
        if (!x) return leave(node, "its input is not dequantised with one scale");
        const auto filter = weight(node.inputs[1]);
        if (!filter) return leave(node, "its weight is no 8-bit constant with a scale for each channel");
        const auto& dims = graph_.value(node.inputs[0]).dims;
        if (!dims || dims->size() < 3 || dims->size() > 5) return leave(node, "it has not one to three spatial axes");
        return integer_node(node, *x, *filter, node.input(2), target, dims->size());
    }

    Made product(const Node& node, const Target& target) {
        const auto x = dequantized(node.inputs[0]);
        if (!x) return leave(node, "its input is not dequantised with one scale");
        const bool plain = node.op == Op::MatMul || (node.integer("transA", 0) == 0 && node.number("alpha", 1) == 1 &&
                                                     node.number("beta", 1) == 1);
        if (!plain) return leave(node, "it transposes its input or scales");
        const Node* const source = producer(graph_, node.inputs[1], Op::DequantizeLinear);
        if (source == nullptr || !is_byte_matrix(source->inputs[0])) {
            return leave(node, "its weight is no 8-bit constant matrix");
        }
        std::optional<QuantizedWeight> matrix;
        if (node.op == Op::Gemm && node.integer("transB", 0) != 0) {
            matrix = weight(node.inputs[1]);
        } else {
            const bool single = graph_.value(source->inputs[1]).constant &&
                                graph_.value(source->inputs[1]).constant->shape().element_count() == int64_t{1};
            const int64_t axis = source->integer("axis", 1);
            if (!single && axis != 1 && axis != -1) return leave(node, "its weight has not a scale for each column");
            QUOIN_ASSIGN_OR_RETURN(const ValueId transposed, add_transposed(graph_, context_, source->inputs[0]));
            matrix = read_weight(graph_, transposed, source->inputs[1], source->input(2));
        }
        if (!matrix) return leave(node, "its weight is no 8-bit constant with a scale for each column");
        const ValueId bias_value = node.op == Op::Gemm ? node.input(2) : kNoValue;
        return integer_node(node, *x, *matrix, bias_value, target, 0);
    }

    // QLinearConv and QLinearMatMul have all of it as operands.
    Result<bool> linear(const Node& node) {
        const bool slides = node.op == Op::QLinearConv;
        const auto refuse = [&](const char* why) {
            leave(node, why);
            return false;
        };
        const auto quantization =
            read_quantization(graph_, node.inputs[1], node.inputs[2], graph_.value(node.inputs[0]).dtype);
        const auto target =
            read_quantization(graph_, node.inputs[6], node.inputs[7], graph_.value(node.outputs[0]).dtype);
        if (!quantization || !target) return refuse("a scale or zero point is no constant of one number");
        const auto& dims = graph_.value(node.inputs[0]).dims;
        if (!dims || dims->empty()) return refuse("the rank of its input is not known");
        ValueId matrix = node.inputs[3];
        if (slides ? dims->size() < 3 || dims->size() > 5 : !is_byte_matrix(matrix)) {
            return refuse(slides ? "it has not one to three spatial axes" : "its weight is no 8-bit constant matrix");
        }
        if (!slides) {
            QUOIN_ASSIGN_OR_RETURN(matrix, add_transposed(graph_, context_, matrix));
        }
        const auto filter = read_weight(graph_, matrix, node.inputs[4], node.inputs[5]);
        if (!filter) return refuse("its weight is no 8-bit constant with a scale for each channel");
        std::vector<int32_t> bias;
        if (node.input(8) != kNoValue) {
            const auto integers = small_integers(graph_, node.inputs[8]);
            if (!integers || integers->size() != filter->scales.size()) return refuse("its bias is no constant");
            bias = *integers;
        }
        QUOIN_RETURN_IF_ERROR(append_integers(node, {now(node.inputs[0]), *quantization}, *filter, bias,
                                              {*target, target->lowest(), target->highest()}, slides ? dims->size() : 0,
                                              node.outputs[0]));
        return true;
    }

    Made sum(const Node& node, const Target& target) {
        const auto a = dequantized(node.inputs[0]);
        const auto b = dequantized(node.inputs[1]);
        if (!a || !b) return leave(node, "a summand is not dequantised with one scale");
        const auto& left = graph_.value(node.inputs[0]).dims;
        const auto& right = graph_.value(node.inputs[1]).dims;
        const auto named = [](const Dim& dim) { return dim.known() || dim.symbol >= 0; };
        if (!left || !right || *left != *right || !std::ranges::all_of(*left, named)) {
            return leave(node, "the summands may differ in shape");
        }
        const Quantization& to = target.quantization;
        const double a_scale = a->quantization.scale / to.scale;
        const double b_scale = b->quantization.scale / to.scale;
        Node made{Op::AddQuantized, node.name, {a->integers, b->integers}, {}, attributes_of(target)};
        made.attributes.emplace_back("a_scale", a_scale);
        made.attributes.emplace_back("b_scale", b_scale);
        made.attributes.emplace_back(
            "offset", to.zero_point - a->quantization.zero_point * a_scale - b->quantization.zero_point * b_scale);
        return std::optional(add(std::move(made), node.outputs[0], to.dtype));
    }

    Graph& graph_;
    const OptimizeContext& context_;
    std::vector<std::vector<NodeId>> readers_;
    std::vector<Node> nodes_;
    std::map<ValueId, ValueId> alias_;
    std::map<ValueId, ValueId> transposed_;
};

}  // namespace

Status fuse_quantized(Graph& graph, const OptimizeContext& context) {
    QUOIN_RETURN_IF_ERROR(QuantizedFusion(graph, context).run());
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
