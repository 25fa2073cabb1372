// The attention operators of com.microsoft but GroupQueryAttention, as ONNX Attention and RotaryEmbedding. Shapes are
// those of the comments: B sequences, S new tokens, P tokens before them, T = P + S, N heads of H values.
#include <limits>
#include <utility>

#include "load/onnx_contrib.h"

namespace quoin::onnx {

// ---- what the attention operators share

ValueId split_heads(NodeDraft& draft, ValueId x, int64_t heads) {
    return transpose(draft, reshape(draft, x, {0, 0, heads, -1}), {0, 2, 1, 3});
}
ValueId join_heads(NodeDraft& draft, ValueId x) {
    return reshape(draft, transpose(draft, x, {0, 2, 1, 3}), {0, 0, -1});
}

ValueId counting(NodeDraft& draft, ValueId count) {
    return draft.add(Op::Range, {draft.scalar(0), draft.add(Op::Squeeze, {count}), draft.scalar(1)});
}

Result<int64_t> heads_of(const NodeDraft& draft, std::string_view key) {
    const int64_t heads = draft.integer(key, 0);
    constexpr int64_t kMost = 1 << 16;
    if (heads < 1 || heads > kMost) return draft.invalid(key, " = ", heads);
    return heads;
}

int64_t rotary_dim(const NodeDraft& draft, ValueId table) {
    if (table == kNoValue || !draft.graph().value(table).dims) return 0;
    const std::vector<Dim>& dims = *draft.graph().value(table).dims;
    return dims.size() == 2 && dims[1].known() && dims[1].size < (1 << 20) ? 2 * dims[1].size : 0;
}

namespace {

constexpr double kMaskFilter = -10000.0;  // of ONNX Runtime, where the node does not say another

// What is added to the scores where `allowed` says 0 or false.
ValueId additive(NodeDraft& draft, ValueId allowed, ValueId like) {
    const double filter =
        draft.attribute("mask_filter_value") == nullptr ? kMaskFilter : draft.number("mask_filter_value", kMaskFilter);
    return draft.add(Op::Where,
                     {cast(draft, allowed, DType::Bool), draft.scalar_like(0, like), draft.scalar_like(filter, like)});
}

// From the forms a mask can have to one that broadcasts over [B, N, S, T]. `total` is T, i64 [1]; `batch` is B.
Result<ValueId> key_mask(NodeDraft& draft, ValueId mask, ValueId batch, ValueId total, ValueId like) {
    if (mask == kNoValue) return kNoValue;
    const std::optional<size_t> rank = draft.rank(mask);
    if (!rank) return draft.unsupported("how many dimensions the mask has must be known when the model is loaded");
    switch (*rank) {
        case 1: {
            // Ends [B], ends and starts [2 * B], or ends and where packed queries and keys begin [3 * B + 2]: zeros
            // stand in for starts that are not there.
            const ValueId length = shape_of(draft, mask, 0, 1);
            const ValueId twice = draft.add(Op::Add, {batch, batch});
            const ValueId packed = draft.add(Op::Add, {draft.add(Op::Add, {twice, batch}), draft.constant_of({2})});
            const auto is = [&](ValueId wanted) { return draft.add(Op::Equal, {length, wanted}); };
            const ValueId has_starts = is(twice);
            const ValueId known = draft.add(Op::Or, {draft.add(Op::Or, {is(batch), has_starts}), is(packed)});
            // Any other length is no shape of the mask, which the Reshape says.
            const ValueId wanted = draft.add(Op::Where, {known, length, packed});
            const ValueId checked = draft.add(Op::Reshape, {cast(draft, mask, DType::I64), wanted});
            const ValueId zeros =
                draft.add(Op::ConstantOfShape, {batch}, {{"value", tensor_of(std::vector<int64_t>{0})}});
            const ValueId all = concat(draft, {checked, zeros}, 0);
            const ValueId ends = draft.add(Op::Slice, {all, draft.constant_of({0}), batch});
            const ValueId starts = draft.add(Op::Where, {has_starts, draft.add(Op::Slice, {all, batch, twice}), zeros});
            const ValueId keys = counting(draft, total);
            const ValueId before = draft.add(Op::Less, {keys, unsqueeze(draft, ends, {1})});
            const ValueId after = draft.add(Op::GreaterOrEqual, {keys, unsqueeze(draft, starts, {1})});
            return additive(draft, unsqueeze(draft, draft.add(Op::And, {before, after}), {1, 2}), like);
        }
        case 2: return additive(draft, unsqueeze(draft, mask, {1, 2}), like);
        case 3: return additive(draft, unsqueeze(draft, mask, {1}), like);
        default: return draft.unsupported("masks of ", *rank, " dimensions are not known here");
    }
}

Attributes attention_attributes(const NodeDraft& draft, int64_t heads, int64_t kv_heads) {
    Attributes attributes{{"q_num_heads", heads}, {"kv_num_heads", kv_heads}};
    if (const double scale = draft.number("scale", 0); scale != 0) attributes.emplace_back("scale", scale);
    return attributes;
}

// Of what Attention and QAttention have after their projection: qkv [B, S, N * H * 3].
struct MergedAttention {
    ValueId qkv;
    ValueId mask;
    ValueId past;  // [2, B, N, P, H]
    ValueId bias;
};

Status merged_attention(NodeDraft& draft, const MergedAttention& operands) {
    QUOIN_RETURN_IF_ERROR(refuse_flags(draft, {"do_rotary", "past_present_share_buffer"}));
    QUOIN_ASSIGN_OR_RETURN(const int64_t heads, heads_of(draft, "num_heads"));
    std::vector<ValueId> parts;
    if (const auto sizes = draft.integers("qkv_hidden_sizes")) {
        if (sizes->size() != 3) return draft.invalid("qkv_hidden_sizes has ", sizes->size(), " elements");
        parts = draft.add_many(Op::Split, {operands.qkv, draft.constant_of(*sizes)}, 3, {{"axis", int64_t{-1}}});
    } else {
        parts = draft.add_many(Op::Split, {operands.qkv}, 3, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{3}}});
    }
    const ValueId batch = shape_of(draft, operands.qkv, 0, 1);
    ValueId total = shape_of(draft, operands.qkv, 1, 2);
    ValueId past_key = kNoValue;
    ValueId past_value = kNoValue;
    if (operands.past != kNoValue) {
        past_key = draft.add(Op::Gather, {operands.past, draft.scalar(0)}, {{"axis", int64_t{0}}});
        past_value = draft.add(Op::Gather, {operands.past, draft.scalar(1)}, {{"axis", int64_t{0}}});
        total = draft.add(Op::Add, {total, shape_of(draft, operands.past, 3, 4)});
    }
    QUOIN_ASSIGN_OR_RETURN(ValueId mask, key_mask(draft, operands.mask, batch, total, operands.qkv));
    mask = mask == kNoValue ? operands.bias : add_optional(draft, mask, operands.bias);
    Attributes attributes = attention_attributes(draft, heads, heads);
    attributes.emplace_back("is_causal", draft.integer("unidirectional", 0));
    const bool wants_present = draft.wants_output(1);
    const bool cached = past_key != kNoValue;
    const std::vector<ValueId> results =
        draft.add_many(Op::Attention, {parts[0], parts[1], parts[2], mask, past_key, past_value}, cached ? 3 : 1,
                       std::move(attributes));
    ValueId present = kNoValue;
    if (wants_present) {
        const ValueId key = cached ? results[1] : split_heads(draft, parts[1], heads);
        const ValueId value = cached ? results[2] : split_heads(draft, parts[2], heads);
        present = concat(draft, {unsqueeze(draft, key, {0}), unsqueeze(draft, value, {0})}, 0);
    }
    draft.finish({results[0], present});
    return {};
}

}  // namespace

Status attention(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    QUOIN_RETURN_IF_ERROR(refuse_inputs(draft, {6}));
    const ValueId product = draft.add(Op::MatMul, {draft.input(0), draft.input(1)});
    const ValueId qkv = add_optional(draft, product, draft.input(2));
    return merged_attention(draft, {qkv, draft.input(3), draft.input(4), draft.input(5)});
}

Status quantized_attention(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 5));
    const ValueId qkv = integer_product(draft, {draft.input(0), draft.input(1), draft.input(3), draft.input(4),
                                                draft.input(6), draft.input(7), draft.input(2)});
    return merged_attention(draft, {qkv, draft.input(5), draft.input(8), kNoValue});
}

namespace {

struct Projections {
    ValueId query, key, value;
    bool heads_apart = false;  // all of them are [B, N, S, H]
};

// Part `index` of x [B, S, N, parts, H], as [B, S, N * H].
ValueId packed_part(NodeDraft& draft, ValueId x, int64_t index) {
    const ValueId part = draft.add(Op::Gather, {x, draft.scalar(index)}, {{"axis", int64_t{3}}});
    return reshape(draft, part, {0, 0, -1});
}

Result<Projections> projections(NodeDraft& draft, int64_t heads) {
    const ValueId query = draft.input(0);
    const ValueId key = draft.input(1);
    const ValueId value = draft.input(2);
    if (key == kNoValue) {
        if (value != kNoValue) return draft.invalid("there are values, but no keys");
        return Projections{packed_part(draft, query, 0), packed_part(draft, query, 1), packed_part(draft, query, 2)};
    }
    if (value == kNoValue) return Projections{query, packed_part(draft, key, 0), packed_part(draft, key, 1)};
    if (draft.rank(key) != 4) return Projections{query, key, value};
    if (draft.has_input(3)) return draft.unsupported("a bias beside keys with heads apart is not known here");
    return Projections{split_heads(draft, query, heads), key, value, true};
}

// The bias is that of query, key and value, one behind the other.
void add_bias(NodeDraft& draft, Projections& to) {
    const ValueId bias = draft.input(3);
    if (bias == kNoValue) return;
    const ValueId width = shape_of(draft, to.query, 2, 3);
    const ValueId twice = draft.add(Op::Add, {width, width});
    const ValueId end = draft.constant_of({std::numeric_limits<int64_t>::max()});
    to.query = draft.add(Op::Add, {to.query, draft.add(Op::Slice, {bias, draft.constant_of({0}), width})});
    to.key = draft.add(Op::Add, {to.key, draft.add(Op::Slice, {bias, width, twice})});
    to.value = draft.add(Op::Add, {to.value, draft.add(Op::Slice, {bias, twice, end})});
}

// Whether the file tells that there are as many new keys as queries.
bool has_key_per_query(const NodeDraft& draft, bool heads_apart) {
    if (!draft.has_input(1)) return true;
    const auto& query = draft.graph().value(draft.input(0)).dims;
    const auto& key = draft.graph().value(draft.input(1)).dims;
    const size_t axis = heads_apart ? 2 : 1;
    if (!query || !key || query->size() < 2 || key->size() <= axis) return false;
    const Dim& tokens = (*query)[1];
    return tokens == (*key)[axis] && (tokens.known() || tokens.symbol >= 0);
}

// What each of S tokens after P earlier ones sees of T keys, bool [S, T]: those up to its own place, and the last token
// every key. That is how ONNX Runtime does it, so that a cache outside of the node works where tokens come one by one.
ValueId visible_to_tokens(NodeDraft& draft, ValueId past, ValueId total) {
    const ValueId length = shape_of(draft, draft.input(0), 1, 2);
    const ValueId tokens = unsqueeze(draft, counting(draft, length), {1});
    ValueId places = tokens;
    if (past != kNoValue) places = draft.add(Op::Add, {tokens, shape_of(draft, past, 2, 3)});
    const ValueId before = draft.add(Op::LessOrEqual, {counting(draft, total), places});
    const ValueId last = draft.add(Op::Equal, {tokens, draft.add(Op::Sub, {length, draft.constant_of({1})})});
    return draft.add(Op::Or, {before, last});
}

}  // namespace

Status multi_head_attention(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    QUOIN_RETURN_IF_ERROR(refuse_inputs(draft, {8, 9}));
    QUOIN_RETURN_IF_ERROR(refuse_outputs(draft, {3}));
    QUOIN_ASSIGN_OR_RETURN(const int64_t heads, heads_of(draft, "num_heads"));
    QUOIN_ASSIGN_OR_RETURN(Projections of, projections(draft, heads));
    add_bias(draft, of);
    const bool cached = draft.has_input(6);
    if (cached != draft.has_input(7)) return draft.invalid("has past keys or past values, but not both");
    if (cached && !of.heads_apart) {
        // Past and new keys must be of one form.
        of = {split_heads(draft, of.query, heads), split_heads(draft, of.key, heads),
              split_heads(draft, of.value, heads), true};
    }
    ValueId total = of.heads_apart ? shape_of(draft, of.key, 2, 3) : shape_of(draft, of.key, 1, 2);
    if (cached) total = draft.add(Op::Add, {total, shape_of(draft, draft.input(6), 2, 3)});
    const ValueId batch = shape_of(draft, draft.input(0), 0, 1);
    QUOIN_ASSIGN_OR_RETURN(ValueId mask, key_mask(draft, draft.input(4), batch, total, draft.input(0)));
    mask = mask == kNoValue ? draft.input(5) : add_optional(draft, mask, draft.input(5));
    Attributes attributes = attention_attributes(draft, heads, heads);
    if (of.heads_apart) {
        std::erase_if(attributes, [](const auto& entry) { return entry.first != "scale"; });
    }
    const bool causal = draft.integer("unidirectional", 0) != 0;
    const bool plain = has_key_per_query(draft, draft.rank(draft.input(1)) == 4);
    attributes.emplace_back("is_causal", int64_t{causal && plain});
    if (causal && !plain) {
        const ValueId visible = visible_to_tokens(draft, draft.input(6), total);
        const ValueId hidden = draft.scalar_like(-std::numeric_limits<double>::infinity(), draft.input(0));
        mask = mask == kNoValue ? visible : draft.add(Op::Where, {visible, mask, hidden});
    }
    std::vector<ValueId> results =
        draft.add_many(Op::Attention, {of.query, of.key, of.value, mask, draft.input(6), draft.input(7)},
                       cached ? 3 : 1, std::move(attributes));
    if (of.heads_apart) results[0] = join_heads(draft, results[0]);
    results.resize(3, kNoValue);
    if (!cached && draft.wants_output(1)) {
        results[1] = of.heads_apart ? of.key : split_heads(draft, of.key, heads);
    }
    if (!cached && draft.wants_output(2)) {
        results[2] = of.heads_apart ? of.value : split_heads(draft, of.value, heads);
    }
    draft.finish(std::move(results));
    return {};
}

// ---- rotary embedding

Status rotary_embedding(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 4));
    QUOIN_RETURN_IF_ERROR(refuse_flags(draft, {"is_packed_batching"}));
    if (draft.number("scale", 1) != 1) return draft.unsupported("a scale is not known here");
    const ValueId x = draft.input(0);
    const bool heads_apart = draft.rank(x) == 4;
    const ValueId length = heads_apart ? shape_of(draft, x, 2, 3) : shape_of(draft, x, 1, 2);
    ValueId positions = draft.input(1);
    if (draft.rank(positions) == 1) {
        // The position of the first token of every sequence.
        const ValueId row = unsqueeze(draft, draft.add(Op::Add, {positions, counting(draft, length)}), {0});
        positions = draft.add(Op::Expand, {row, concat(draft, {shape_of(draft, x, 0, 1), length}, 0)});
    }
    const int64_t turning = rotary_dim(draft, draft.input(2));
    int64_t heads = draft.integer("num_heads", 0);
    const Attributes interleaved{{"interleaved", draft.integer("interleaved", 0)}};
    Attributes attributes = interleaved;
    const std::vector<ValueId> tables{draft.input(2), draft.input(3), positions};
    if (turning != 0) attributes.emplace_back("rotary_embedding_dim", turning);
    if (heads_apart || heads > 0) {
        if (!heads_apart) attributes.emplace_back("num_heads", heads);
        draft.finish({draft.add(Op::RotaryEmbedding, {x, tables[0], tables[1], tables[2]}, std::move(attributes))});
        return {};
    }
    // Whole heads turn, so the table tells how many there are.
    if (turning == 0) return draft.unsupported("neither num_heads nor the width of the table is known");
    const ValueId apart = transpose(draft, reshape(draft, x, {0, 0, -1, turning}), {0, 2, 1, 3});
    draft.finish({join_heads(
        draft, draft.add(Op::RotaryEmbedding, {apart, tables[0], tables[1], tables[2]}, std::move(attributes)))});
    return {};
}

}  // namespace quoin::onnx
