// GroupQueryAttention of com.microsoft as ONNX Attention, RotaryEmbedding and TensorScatter. Shapes are those of the
// comments: B sequences, S new tokens, P tokens before them, T = P + S, N heads of H values, M heads of keys and
// values, C tokens that a cache has room for.
#include <limits>
#include <utility>

#include "load/onnx_contrib.h"

namespace quoin::onnx {
namespace {

// Of a node with a cache of [B, M, C, H].
struct CachedStep {
    int64_t heads = 0;
    int64_t kv_heads = 0;
    ValueId query = kNoValue;   // [B, S, N * H]
    ValueId key = kNoValue;     // [B, S, M * H]
    ValueId value = kNoValue;   // [B, S, M * H]
    ValueId length = kNoValue;  // S, [1]
    ValueId total = kNoValue;   // the longest T of the batch, [1]
    ValueId ends = kNoValue;    // T of each sequence, [B]
    ValueId begins = kNoValue;  // P of each sequence, [B]
};

Status refuse_unknown_parts(const NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(refuse_inputs(draft, {12, 13, 14, 15, 16}));
    QUOIN_RETURN_IF_ERROR(refuse_outputs(draft, {3}));
    QUOIN_RETURN_IF_ERROR(refuse_flags(draft, {"sliding_window_cache", "qk_output"}));
    for (const std::string_view key : {"k_quant_type", "v_quant_type"}) {
        if (draft.string(key, "NONE") != "NONE") return draft.unsupported("a quantized cache is not known here");
    }
    return {};
}

Result<CachedStep> cached_step(NodeDraft& draft) {
    CachedStep step;
    QUOIN_ASSIGN_OR_RETURN(step.heads, heads_of(draft, "num_heads"));
    QUOIN_ASSIGN_OR_RETURN(step.kv_heads, heads_of(draft, "kv_num_heads"));
    if (draft.has_input(1) != draft.has_input(2)) return draft.invalid("has keys or values, but not both");
    if (draft.has_input(1)) {
        step.query = draft.input(0);
        step.key = draft.input(1);
        step.value = draft.input(2);
    } else {
        const ValueId heads = draft.constant_of({step.heads + 2 * step.kv_heads});
        const ValueId head_size = draft.add(Op::Div, {shape_of(draft, draft.input(0), 2, 3), heads});
        const ValueId sizes =
            draft.add(Op::Mul, {head_size, draft.constant_of({step.heads, step.kv_heads, step.kv_heads})});
        const std::vector<ValueId> parts =
            draft.add_many(Op::Split, {draft.input(0), sizes}, 3, {{"axis", int64_t{-1}}});
        step.query = parts[0];
        step.key = parts[1];
        step.value = parts[2];
    }
    step.length = shape_of(draft, draft.input(0), 1, 2);
    step.total = reshape(draft, cast(draft, draft.input(6), DType::I64), {1});
    const ValueId last = reshape(draft, cast(draft, draft.input(5), DType::I64), {-1});
    step.ends = draft.add(Op::Add, {last, draft.constant_of({1})});
    // A prompt may be shorter than its row, which is padded at the end.
    step.begins = draft.add(Op::Max, {draft.add(Op::Sub, {step.ends, step.length}), draft.constant_of({0})});
    return step;
}

Status rotate(NodeDraft& draft, CachedStep& step) {
    if (draft.integer("do_rotary", 0) == 0) return {};
    if (!draft.has_input(7) || !draft.has_input(8))
        return draft.invalid("the tables of the rotary embedding are left out");
    ValueId positions = draft.input(9);
    if (positions == kNoValue) {
        positions = draft.add(Op::Add, {unsqueeze(draft, step.begins, {1}), counting(draft, step.length)});
    }
    Attributes attributes{{"interleaved", draft.integer("rotary_interleaved", 0)}};
    const int64_t turning = rotary_dim(draft, draft.input(7));
    if (turning != 0) attributes.emplace_back("rotary_embedding_dim", turning);
    const auto turn = [&](ValueId x, int64_t heads) {
        Attributes with = attributes;
        with.emplace_back("num_heads", heads);
        return draft.add(Op::RotaryEmbedding, {x, draft.input(7), draft.input(8), positions}, std::move(with));
    };
    step.query = turn(step.query, step.heads);
    step.key = turn(step.key, step.kv_heads);
    return {};
}

// The cache with room for all tokens, and the new ones in their places: [B, M, max(C, T), H].
ValueId written(NodeDraft& draft, const CachedStep& step, ValueId past, ValueId news) {
    const ValueId apart = split_heads(draft, news, step.kv_heads);
    const ValueId batch_and_heads = shape_of(draft, apart, 0, 2);
    const ValueId head_size = shape_of(draft, apart, 3, 4);
    ValueId room = step.total;
    if (past != kNoValue) {
        const ValueId more = draft.add(Op::Sub, {step.total, shape_of(draft, past, 2, 3)});
        room = draft.add(Op::Max, {more, draft.constant_of({0})});
    }
    const ValueId shape = concat(draft, {batch_and_heads, room, head_size}, 0);
    const ValueId empty = draft.add(Op::Expand, {draft.scalar_like(0, news), shape});
    const ValueId cache = past == kNoValue ? empty : concat(draft, {past, empty}, 2);
    return draft.add(Op::TensorScatter, {cache, apart, step.begins}, {{"axis", int64_t{-2}}});
}

// Which of the C keys in the cache each of the S tokens sees: bool [B, 1, S, C].
ValueId visible_keys(NodeDraft& draft, const CachedStep& step, ValueId cache, int64_t window) {
    const ValueId keys = counting(draft, shape_of(draft, cache, 2, 3));
    if (draft.integer("causal", 1) == 0) {
        return draft.add(Op::Less, {keys, unsqueeze(draft, step.ends, {1, 2, 3})});
    }
    const ValueId tokens = unsqueeze(draft, counting(draft, step.length), {1});
    const ValueId places = draft.add(Op::Add, {unsqueeze(draft, step.begins, {1, 2, 3}), tokens});
    const ValueId before = draft.add(Op::LessOrEqual, {keys, places});
    if (window <= 0) return before;
    const ValueId first = draft.add(Op::Sub, {places, draft.constant_of({window})});
    return draft.add(Op::And, {before, draft.add(Op::Greater, {keys, first})});
}

// What an attention reads.
struct Attended {
    ValueId keys;    // [B, M, C, H]
    ValueId values;  // [B, M, C, H]
    ValueId mask;    // broadcasts over [B, N, S, C]; bool, or added to the scores
};

// A smooth softmax divides by one exponential more, e^0 or that of a number for each head. That is one more key of
// zeros whose value is zero and to whose score the number is added.
void add_sink(NodeDraft& draft, int64_t heads, Attended& to) {
    const ValueId sink = draft.input(11);
    if (sink == kNoValue && draft.integer("smooth_softmax", -1) <= 0) return;
    const ValueId zero = draft.scalar_like(0, to.keys);
    const ValueId one = draft.constant_of({1});
    const auto with_zeros = [&](ValueId x) {
        const ValueId shape = concat(draft, {shape_of(draft, x, 0, 2), one, shape_of(draft, x, 3, 4)}, 0);
        return concat(draft, {x, draft.add(Op::Expand, {zero, shape})}, 2);
    };
    to.keys = with_zeros(to.keys);
    to.values = with_zeros(to.values);
    if (!draft.has_input(10)) {
        const ValueId hidden = draft.scalar_like(-std::numeric_limits<double>::infinity(), zero);
        to.mask = draft.add(Op::Where, {to.mask, zero, hidden});
    }
    to.mask = draft.add(Op::Expand, {to.mask, draft.constant_of({1, heads, 1, 1})});
    const ValueId score = sink == kNoValue ? zero : reshape(draft, sink, {1, -1, 1, 1});
    const ValueId column = draft.add(Op::Expand, {score, concat(draft, {shape_of(draft, to.mask, 0, 3), one}, 0)});
    to.mask = concat(draft, {to.mask, column}, 3);
}

}  // namespace

Status group_query_attention(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    if (!draft.has_input(5) || !draft.has_input(6)) return draft.invalid("the lengths of the sequences are left out");
    if (draft.has_input(3) != draft.has_input(4)) return draft.invalid("has past keys or past values, but not both");
    QUOIN_RETURN_IF_ERROR(refuse_unknown_parts(draft));
    QUOIN_ASSIGN_OR_RETURN(CachedStep step, cached_step(draft));
    QUOIN_RETURN_IF_ERROR(rotate(draft, step));
    const ValueId present_key = written(draft, step, draft.input(3), step.key);
    const ValueId present_value = written(draft, step, draft.input(4), step.value);
    Attended attended{present_key, present_value,
                      visible_keys(draft, step, present_key, draft.integer("local_window_size", -1))};
    if (draft.has_input(10)) {
        // The bias ends with the longest sequence, the cache may be larger.
        const auto used = [&](ValueId x, int64_t axis) {
            return draft.add(Op::Slice, {x, draft.constant_of({0}), step.total, draft.constant_of({axis})});
        };
        attended.keys = used(attended.keys, 2);
        attended.values = used(attended.values, 2);
        const ValueId hidden = draft.scalar_like(-std::numeric_limits<double>::infinity(), draft.input(10));
        attended.mask = draft.add(Op::Where, {used(attended.mask, 3), draft.input(10), hidden});
    }
    add_sink(draft, step.heads, attended);
    Attributes attributes;
    if (const double scale = draft.number("scale", 0); scale != 0) attributes.emplace_back("scale", scale);
    if (const double cap = draft.number("softcap", 0); cap != 0) attributes.emplace_back("softcap", cap);
    const ValueId query = split_heads(draft, step.query, step.heads);
    const ValueId output =
        draft.add(Op::Attention, {query, attended.keys, attended.values, attended.mask}, std::move(attributes));
    draft.finish({join_heads(draft, output), present_key, present_value});
    return {};
}

}  // namespace quoin::onnx
