// Weights of few bits stay what they are: MatMul(x, DequantizeLinear(codes, scales)), and rows that are gathered from
// such a matrix, would be folded to floats.
#include <algorithm>

#include "core/log.h"
#include "core/rounding.h"
#include "ops/code_weights.h"
#include "ops/packed_elements.h"
#include "ops/small_formats.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

// What DequantizeBlocks needs, or why the node stays.
struct CodeForm {
    std::vector<ValueId> operands;  // as they stand in the graph
    Shape parameters;               // of scales and zero points, a matrix
    int64_t rows = 0;               // N
    int64_t columns = 0;            // K
    int64_t block = 0;              // of K
    bool transposed = false;        // codes are [K, N]
    bool one_scale = false;         // of all
};

const Node* producer_of(const Graph& graph, ValueId value, Op op) {
    if (value == kNoValue || graph.value(value).producer == kNoValue) return nullptr;
    const Node& node = graph.node(graph.value(value).producer);
    return node.op == op ? &node : nullptr;
}

int64_t bits_of_code(DType dtype) {
    return shares_bytes(dtype) ? packed_bits(dtype) : 8;
}

Result<CodeForm> code_form(const Graph& graph, const Node& product) {
    const auto refuse = [&](const char* why) {
        return error(StatusCode::Unsupported, "keep_codes leaves '", product.name, "' alone: ", why);
    };
    CodeForm form;
    form.transposed = true;
    if (product.op == Op::Gemm) {
        if (product.integer("transA", 0) != 0) return refuse("A is transposed");
        if (product.number("alpha", 1.0) != 1 || product.number("beta", 1.0) != 1) return refuse("it scales");
        form.transposed = product.integer("transB", 0) == 0;
    }
    ValueId weight = product.inputs[1];
    if (product.op == Op::Gather) {
        const int64_t axis = product.integer("axis", 0);
        if (axis != 0 && axis != -2) return refuse("it gathers no rows");
        form.transposed = false;
        weight = product.inputs[0];
    } else if (const Node* const transpose = producer_of(graph, weight, Op::Transpose)) {
        form.transposed = !form.transposed;
        weight = transpose->inputs[0];
    }
    const Node* const dequantize = producer_of(graph, weight, Op::DequantizeLinear);
    if (dequantize == nullptr) return refuse("its matrix is no DequantizeLinear");
    form.operands = dequantize->inputs;
    for (const ValueId id : form.operands) {
        if (id != kNoValue && !graph.value(id).constant) return refuse("what is dequantised is no constant");
    }
    const Constant& codes = *graph.value(form.operands[0]).constant;
    const Shape& scales = graph.value(form.operands[1]).constant->shape();
    const DType dtype = graph.value(form.operands[1]).constant->dtype();
    if (codes.shape().rank() != 2 || codes.shape()[0] == 0 || codes.shape()[1] == 0) return refuse("it is no matrix");
    if (dequantize->integer("output_dtype", static_cast<int64_t>(dtype)) != static_cast<int64_t>(dtype)) {
        return refuse("its type is not that of the scales");
    }
    const size_t inner_axis = form.transposed ? 0 : 1;
    form.columns = codes.shape()[inner_axis];
    form.rows = codes.shape()[1 - inner_axis];
    const int64_t axis = dequantize->integer("axis", 1);
    const auto along = static_cast<size_t>(axis < 0 ? axis + 2 : axis);
    form.block = form.columns;
    if (scales.element_count() == 1 && scales.rank() <= 1) {
        form.one_scale = true;
    } else if (scales.rank() == 1) {
        if (along == inner_axis) return refuse("its scales differ along the rows");
    } else {
        if (along != inner_axis) return refuse("its blocks do not lie along the rows");
        const int64_t blocks = scales[inner_axis];
        form.block = dequantize->integer("block_size", 0);
        if (form.block == 0) form.block = divide_up(form.columns, blocks);
        form.block = std::min(form.block, form.columns);
    }
    const int64_t blocks = divide_up(form.columns, form.block);
    form.parameters = form.transposed ? Shape{blocks, form.rows} : Shape{form.rows, blocks};
    if (!packs_codes(codes.dtype(), dtype, form.block, form.columns)) return refuse("no kernel reads its blocks");
    if (product.op == Op::Gather && form.columns * bits_of_code(codes.dtype()) % 8 != 0) {
        return refuse("its rows are no whole bytes");
    }
    return form;
}

// Scales or zero points as a matrix: the same bytes where there is one for each already; zero points a byte each.
Result<ValueId> parameters_of(Graph& graph, const OptimizeContext& context, const CodeForm& form, ValueId id) {
    const Constant constant = *graph.value(id).constant;
    const std::string name = graph.value(id).name;
    const bool packed = shares_bytes(constant.dtype());
    if (!packed && !form.one_scale)
        return graph.add_constant(name, constant.with_type(constant.dtype(), form.parameters));
    QUOIN_ASSIGN_OR_RETURN(const Tensor from, constant.load());
    const DType dtype = !packed                                                          ? constant.dtype()
                        : constant.dtype() == DType::I4 || constant.dtype() == DType::I2 ? DType::I8
                                                                                         : DType::U8;
    QUOIN_ASSIGN_OR_RETURN(const Tensor to, Tensor::allocate(context.runtime.memory, dtype, form.parameters, name));
    const auto target = to.as<std::byte>();
    std::vector<std::byte> source(from.byte_size());
    std::ranges::copy(from.as<const std::byte>(), source.begin());
    if (packed) {
        source.clear();
        for (const uint8_t element : unpack_elements(from)) {
            source.push_back(static_cast<std::byte>(packed_value(constant.dtype(), element)));
        }
    }
    for (size_t at = 0; at < target.size(); ++at) target[at] = source[form.one_scale ? at % source.size() : at];
    return graph.add_constant(name, Constant(to));
}

// The nodes that take the place of one.
class Replacement {
public:
    Replacement(Graph& graph, const OptimizeContext& context, const CodeForm& form, const Node& node,
                std::vector<Node>& nodes)
        : graph_(graph), context_(context), form_(form), node_(node), nodes_(nodes) {}

    // x * w^T over the codes, in f32 between casts where the model has halves; then C of a Gemm.
    Status write_product() {
        QUOIN_ASSIGN_OR_RETURN(const std::vector<ValueId> operands, operands_of_codes());
        const ValueId weight = add(Op::DequantizeBlocks, ".codes", operands, attributes());
        const bool adds = node_.op == Op::Gemm && node_.input(2) != kNoValue;
        const ValueId result = node_.outputs[0];
        const DType dtype = graph_.value(operands[1]).dtype;
        if (dtype == DType::F32 && !adds) {
            add(Op::Linear, "", {node_.inputs[0], weight}, {}, result);
            return {};
        }
        const ValueId x = cast(node_.inputs[0], dtype, DType::F32);
        const ValueId product = cast(add(Op::Linear, "", {x, weight}), dtype, dtype, adds ? kNoValue : result);
        if (adds) add(Op::Add, ".add", {product, node_.inputs[2]}, {}, result);
        return {};
    }

    // Rows of bytes, scales and zero points, which become floats.
    Status write_gather() {
        QUOIN_ASSIGN_OR_RETURN(std::vector<ValueId> operands, operands_of_codes());
        const Constant codes = *graph_.value(operands[0]).constant;
        const bool is_signed = codes.dtype() == DType::I8 || codes.dtype() == DType::I4 || codes.dtype() == DType::I2;
        const auto bytes = static_cast<int64_t>(codes.byte_size()) / form_.rows;
        const std::string name = graph_.value(operands[0]).name;
        operands[0] =
            graph_.add_constant(name, codes.with_type(is_signed ? DType::I8 : DType::U8, Shape{form_.rows, bytes}));
        const DType dtype = graph_.value(operands[1]).dtype;
        for (size_t index = 0; index < operands.size(); ++index) {
            operands[index] = add(Op::Gather, ".rows" + std::to_string(index), {operands[index], node_.inputs[1]},
                                  {{"axis", int64_t{0}}});
        }
        Attributes with = attributes();
        with.emplace_back("bits", bits_of_code(codes.dtype()));
        const bool halves = dtype != DType::F32;
        const ValueId rows = add(Op::DequantizeBlocks, ".codes", operands, with, halves ? kNoValue : node_.outputs[0]);
        if (halves) cast(rows, dtype, dtype, node_.outputs[0]);
        return {};
    }

private:
    using Attributes = std::vector<std::pair<std::string, Attribute>>;

    ValueId add(Op op, const std::string& suffix, std::vector<ValueId> inputs, Attributes with = {},
                ValueId output = kNoValue) {
        const std::string name = node_.name + suffix;
        if (output == kNoValue) output = graph_.add_value(name, DType::Undefined, std::nullopt);
        nodes_.push_back(Node{
            .op = op, .name = name, .inputs = std::move(inputs), .outputs = {output}, .attributes = std::move(with)});
        return output;
    }
    // Nothing where the model computes in f32.
    ValueId cast(ValueId value, DType model, DType to, ValueId output = kNoValue) {
        if (model == DType::F32) return value;
        return add(Op::Cast, to == DType::F32 ? ".f32" : ".rounded", {value}, {{"to", static_cast<int64_t>(to)}},
                   output);
    }
    Attributes attributes() const {
        Attributes result{{"block_size", form_.block}, {"columns", form_.columns}};
        if (form_.transposed) result.emplace_back("transposed", int64_t{1});
        return result;
    }
    Result<std::vector<ValueId>> operands_of_codes() {
        std::vector<ValueId> operands{form_.operands[0]};
        for (size_t index = 1; index < form_.operands.size() && form_.operands[index] != kNoValue; ++index) {
            QUOIN_ASSIGN_OR_RETURN(const ValueId operand,
                                   parameters_of(graph_, context_, form_, form_.operands[index]));
            operands.push_back(operand);
        }
        return operands;
    }

    Graph& graph_;
    const OptimizeContext& context_;
    const CodeForm& form_;
    const Node& node_;
    std::vector<Node>& nodes_;
};

}  // namespace

Status keep_codes(Graph& graph, const OptimizeContext& context) {
    std::vector<Node> nodes;
    const std::vector<Node> before = graph.nodes();
    for (const Node& node : before) {
        const bool gathers = node.op == Op::Gather;
        if (node.op != Op::MatMul && node.op != Op::Gemm && !gathers) {
            nodes.push_back(node);
            continue;
        }
        const Result<CodeForm> form = code_form(graph, node);
        if (!form.ok()) {
            log(LogLevel::Debug, form.status().message());
            nodes.push_back(node);
            continue;
        }
        Replacement replacement(graph, context, *form, node, nodes);
        QUOIN_RETURN_IF_ERROR(gathers ? replacement.write_gather() : replacement.write_product());
    }
    graph.set_nodes(std::move(nodes));
    return remove_dead_nodes(graph, context);
}

}  // namespace quoin
