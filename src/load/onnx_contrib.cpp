#include "load/onnx_contrib.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "load/onnx_convert.h"
#include "load/quoted.h"

namespace quoin::onnx {

// ---- what several of them say

ValueId shape_of(NodeDraft& draft, ValueId tensor, int64_t begin, int64_t end) {
    return draft.add(Op::Shape, {tensor}, {{"start", begin}, {"end", end}});
}

ValueId reshape(NodeDraft& draft, ValueId tensor, const std::vector<int64_t>& shape) {
    return draft.add(Op::Reshape, {tensor, draft.constant_of(shape)});
}

ValueId transpose(NodeDraft& draft, ValueId tensor, const std::vector<int64_t>& order) {
    return draft.add(Op::Transpose, {tensor}, {{"perm", order}});
}

ValueId unsqueeze(NodeDraft& draft, ValueId tensor, const std::vector<int64_t>& axes) {
    return draft.add(Op::Unsqueeze, {tensor, draft.constant_of(axes)});
}

ValueId concat(NodeDraft& draft, std::vector<ValueId> parts, int64_t axis) {
    return draft.add(Op::Concat, std::move(parts), {{"axis", axis}});
}

ValueId cast(NodeDraft& draft, ValueId tensor, DType to) {
    return draft.add(Op::Cast, {tensor}, {{"to", static_cast<int64_t>(to)}});
}

ValueId add_optional(NodeDraft& draft, ValueId a, ValueId b) {
    return b == kNoValue ? a : draft.add(Op::Add, {a, b});
}

Status expect_inputs(const NodeDraft& draft, size_t count) {
    for (size_t index = 0; index < count; ++index) {
        if (!draft.has_input(index)) return draft.invalid("input ", index, " is left out, which the operator needs");
    }
    return {};
}

Status refuse_inputs(const NodeDraft& draft, std::initializer_list<size_t> inputs) {
    for (const size_t index : inputs) {
        if (draft.has_input(index)) return draft.unsupported("input ", index, " is not known here");
    }
    return {};
}

Status refuse_outputs(const NodeDraft& draft, std::initializer_list<size_t> outputs) {
    for (const size_t index : outputs) {
        if (draft.wants_output(index)) return draft.unsupported("output ", index, " is not known here");
    }
    return {};
}

Status refuse_flags(const NodeDraft& draft, std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys) {
        if (draft.integer(key, 0) != 0) return draft.unsupported("the attribute '", key, "' is not known here");
    }
    return {};
}

// ---- normalization

namespace {

// input + skip, and the bias if there is one.
ValueId skip_sum(NodeDraft& draft, ValueId bias) {
    return add_optional(draft, draft.add(Op::Add, {draft.input(0), draft.input(1)}), bias);
}

Status skip_layer_normalization(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    const ValueId sum = skip_sum(draft, draft.input(4));
    const Attributes attributes{{"axis", int64_t{-1}}, {"epsilon", draft.number("epsilon", 1e-12F)}};
    const size_t outputs = draft.wants_output(2) ? 3 : draft.wants_output(1) ? 2 : 1;
    std::vector<ValueId> results =
        draft.add_many(Op::LayerNormalization, {sum, draft.input(2), draft.input(3)}, outputs, attributes);
    results.resize(3, kNoValue);
    results.push_back(sum);
    draft.finish(std::move(results));
    return {};
}

Status skip_simplified_layer_normalization(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    QUOIN_RETURN_IF_ERROR(refuse_outputs(draft, {1, 2}));
    const ValueId sum = skip_sum(draft, draft.input(3));
    const Attributes attributes{{"axis", int64_t{-1}}, {"epsilon", draft.number("epsilon", 1e-12F)}};
    draft.finish({draft.add(Op::RMSNormalization, {sum, draft.input(2)}, attributes), kNoValue, kNoValue, sum});
    return {};
}

Status embed_layer_normalization(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    for (const size_t index : {size_t{2}, size_t{3}, size_t{5}, size_t{6}}) {
        if (!draft.has_input(index)) return draft.invalid("input ", index, " is left out, which the operator needs");
    }
    const ValueId ids = draft.input(0);
    const ValueId words = draft.add(Op::Gather, {draft.input(2), ids});
    ValueId positions = kNoValue;
    if (draft.has_input(8)) {
        positions = draft.add(Op::Gather, {draft.input(3), draft.input(8)});
    } else {
        positions = draft.add(Op::Slice, {draft.input(3), draft.constant_of({0}), shape_of(draft, ids, 1, 2)});
    }
    ValueId sum = draft.add(Op::Add, {words, positions});
    if (draft.has_input(4)) {
        if (!draft.has_input(1)) return draft.invalid("there is a table of segments, but no segment of each word");
        sum = draft.add(Op::Add, {sum, draft.add(Op::Gather, {draft.input(4), draft.input(1)})});
    }
    const Attributes attributes{{"axis", int64_t{-1}}, {"epsilon", draft.number("epsilon", 1e-12F)}};
    const ValueId output = draft.add(Op::LayerNormalization, {sum, draft.input(5), draft.input(6)}, attributes);
    ValueId lengths = kNoValue;
    if (draft.wants_output(1)) {
        const ValueId counted = draft.has_input(7) ? draft.input(7) : draft.add(Op::Sub, {ids, ids});
        lengths = draft.add(Op::ReduceSum, {counted, draft.constant_of({1})}, {{"keepdims", int64_t{0}}});
    }
    draft.finish({output, lengths, sum});
    return {};
}

// ---- activations

Status bias_gelu(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    draft.finish({draft.add(Op::Gelu, {draft.add(Op::Add, {draft.input(0), draft.input(1)})})});
    return {};
}

Status fast_gelu(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    const ValueId sum = add_optional(draft, draft.input(0), draft.input(1));
    draft.finish({draft.add(Op::Gelu, {sum}, {{"approximate", std::string("tanh")}})});
    return {};
}

Status quick_gelu(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    draft.finish({draft.add(Op::Swish, {draft.input(0)}, {{"alpha", draft.number("alpha", 1.702F)}})});
    return {};
}

// What FusedConv and FusedGemm do at last; parameters stand in the order of ONNX Runtime.
Result<ValueId> activate(NodeDraft& draft, ValueId x, const std::string& activation, const std::vector<double>& given) {
    const auto parameter = [&](size_t index, double fallback) {
        return index < given.size() ? given[index] : fallback;
    };
    if (activation.empty()) return x;
    if (activation == "Relu") return draft.add(Op::Relu, {x});
    if (activation == "Tanh") return draft.add(Op::Tanh, {x});
    if (activation == "Sigmoid") return draft.add(Op::Sigmoid, {x});
    if (activation == "LeakyRelu") return draft.add(Op::LeakyRelu, {x}, {{"alpha", parameter(0, 0.01F)}});
    if (activation == "HardSigmoid") {
        return draft.add(Op::HardSigmoid, {x}, {{"alpha", parameter(0, 0.2F)}, {"beta", parameter(1, 0.5)}});
    }
    if (activation == "Clip" && given.size() == 2) {
        return draft.add(Op::Clip, {x, draft.scalar_like(given[0], x), draft.scalar_like(given[1], x)});
    }
    return draft.unsupported("the activation ", quoted(activation), " is not known here");
}

std::vector<double> taken_numbers(NodeDraft& draft, std::string_view key) {
    const std::optional<Attribute> taken = draft.take(key);
    const auto* const numbers = taken ? std::get_if<std::vector<double>>(&*taken) : nullptr;
    return numbers == nullptr ? std::vector<double>() : *numbers;
}

Status fused_conv(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    const std::string activation = draft.string("activation", "");
    draft.take("activation");
    const std::vector<double> parameters = taken_numbers(draft, "activation_params");
    const ValueId conv = draft.add(Op::Conv, {draft.input(0), draft.input(1), draft.input(2)}, draft.attributes);
    const ValueId sum = add_optional(draft, conv, draft.input(3));
    QUOIN_ASSIGN_OR_RETURN(const ValueId result, activate(draft, sum, activation, parameters));
    draft.finish({result});
    return {};
}

Status fused_gemm(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    const std::string activation = draft.string("activation", "");
    std::vector<double> parameters;
    for (const std::string_view key : {"activation_alpha", "activation_beta", "activation_gamma"}) {
        if (draft.attribute(key) != nullptr) parameters.push_back(draft.number(key, 0));
        draft.take(key);
    }
    draft.take("activation");
    const ValueId product = draft.add(Op::Gemm, {draft.input(0), draft.input(1), draft.input(2)}, draft.attributes);
    QUOIN_ASSIGN_OR_RETURN(const ValueId result, activate(draft, product, activation, parameters));
    draft.finish({result});
    return {};
}

// The last two dims in the other order, of any rank.
ValueId transposed(NodeDraft& draft, ValueId x) {
    const std::optional<size_t> rank = draft.rank(x);
    if (!rank) return draft.add(Op::Einsum, {x}, {{"equation", std::string("...ij->...ji")}});
    std::vector<int64_t> order;
    for (size_t axis = 0; axis < *rank; ++axis) order.push_back(static_cast<int64_t>(axis));
    if (*rank >= 2) std::swap(order[*rank - 1], order[*rank - 2]);
    return transpose(draft, x, order);
}

Status fused_matmul(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    // Where batches are transposed, the first axis is the one before the last and the others move up.
    const auto operand = [&](size_t index, std::string_view batches, std::string_view key) -> Result<ValueId> {
        ValueId x = draft.input(index);
        if (draft.integer(batches, 0) != 0) {
            const std::optional<size_t> rank = draft.rank(x);
            if (!rank) return draft.unsupported("the number of dimensions must be known for ", batches);
            if (*rank < 3) return draft.invalid(batches, " of ", *rank, " dimensions");
            std::vector<int64_t> order(*rank);
            std::iota(order.begin(), order.end() - 2, 1);
            order[*rank - 1] = static_cast<int64_t>(*rank - 1);
            x = transpose(draft, x, order);
        }
        return draft.integer(key, 0) != 0 ? transposed(draft, x) : x;
    };
    QUOIN_ASSIGN_OR_RETURN(const ValueId a, operand(0, "transBatchA", "transA"));
    QUOIN_ASSIGN_OR_RETURN(const ValueId b, operand(1, "transBatchB", "transB"));
    ValueId product = draft.add(Op::MatMul, {a, b});
    const double alpha = draft.number("alpha", 1);
    if (alpha != 1) product = draft.add(Op::Mul, {product, draft.scalar_like(alpha, draft.input(0))});
    draft.finish({product});
    return {};
}

// Means the same as the standard's operator of this name.
Status as_in_the_standard(NodeDraft& draft) {
    draft.version = 0;
    return {};
}

struct Mapping {
    std::string_view op;
    Status (*convert)(NodeDraft&);
};

constexpr auto kMappings = std::to_array<Mapping>({
    {"Attention", attention},
    {"BiasGelu", bias_gelu},
    {"DequantizeLinear", as_in_the_standard},
    {"DynamicQuantizeMatMul", dynamic_quantize_matmul},
    {"EmbedLayerNormalization", embed_layer_normalization},
    {"FastGelu", fast_gelu},
    {"FusedConv", fused_conv},
    {"FusedGemm", fused_gemm},
    {"FusedMatMul", fused_matmul},
    {"GatherBlockQuantized", gather_of_blocks},
    {"Gelu", as_in_the_standard},
    {"GroupQueryAttention", group_query_attention},
    {"MatMulIntegerToFloat", integer_matmul_to_float},
    {"MatMulNBits", matmul_of_bits},
    {"MultiHeadAttention", multi_head_attention},
    {"NhwcMaxPool", channels_last_max_pool},
    {"QAttention", quantized_attention},
    {"QLinearAdd", quantized_binary},
    {"QLinearAveragePool", quantized_average_pool},
    {"QLinearConcat", quantized_concat},
    {"QLinearGlobalAveragePool", quantized_global_pool},
    {"QLinearLeakyRelu", quantized_activation},
    {"QLinearMul", quantized_binary},
    {"QLinearSigmoid", quantized_activation},
    {"QLinearSoftmax", quantized_softmax},
    {"QuantizeLinear", as_in_the_standard},
    {"QuickGelu", quick_gelu},
    {"RotaryEmbedding", rotary_embedding},
    {"SimplifiedLayerNormalization", simplified_layer_normalization},
    {"SkipLayerNormalization", skip_layer_normalization},
    {"SkipSimplifiedLayerNormalization", skip_simplified_layer_normalization},
});

}  // namespace

Status simplified_layer_normalization(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    QUOIN_RETURN_IF_ERROR(refuse_outputs(draft, {1}));
    const Attributes attributes{{"axis", draft.integer("axis", -1)},
                                {"epsilon", draft.number("epsilon", 1e-5F)},
                                {"stash_type", draft.integer("stash_type", 1)}};
    draft.finish({draft.add(Op::RMSNormalization, {draft.input(0), draft.input(1)}, attributes)});
    return {};
}

Status convert_contrib(NodeDraft& draft) {
    const auto* const found = std::ranges::find(kMappings, std::string_view(draft.op_type), &Mapping::op);
    if (found == kMappings.end()) return unknown_operator(draft);
    return found->convert(draft);
}

}  // namespace quoin::onnx
