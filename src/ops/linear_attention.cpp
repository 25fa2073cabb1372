// LinearAttention (ONNX 27): a recurrence over tokens with a matrix [d_k, d_v] of state for each key/value head.
#include <algorithm>
#include <cmath>

#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/op_kernel.h"
#include "ops/widened.h"

namespace quoin {
namespace {

enum Input : size_t { kQuery, kKey, kValue, kPastState, kDecay, kBeta };

struct Heads {
    int64_t query;
    int64_t key;
};

Result<Heads> heads_of(const Node& node) {
    const Heads heads{node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)};
    if (heads.key < 1 || heads.query < heads.key || heads.query % heads.key != 0) {
        return node_error(node, heads.key, " heads of keys do not divide ", heads.query, " of queries");
    }
    return heads;
}

struct Rule {
    bool decays;
    bool corrects;  // the delta rule
};
Result<Rule> rule_of(const Node& node) {
    const std::string_view name = node.string("update_rule", "gated_delta");
    if (name == "linear") return Rule{false, false};
    if (name == "gated") return Rule{true, false};
    if (name == "delta") return Rule{false, true};
    if (name == "gated_delta") return Rule{true, true};
    return node_error(node, "update_rule is '", name, "'");
}

Result<Dim> per_head(const InferContext& context, size_t index, int64_t heads) {
    const auto& dims = context.input(index).dims;
    if (!dims) return Dim{};
    if (dims->size() != 3) return context.fail("input ", index, " has rank ", dims->size(), ", not 3");
    const Dim columns = dims->back();
    if (!columns.known()) return Dim{};
    if (columns.size % heads != 0) {
        return context.fail("input ", index, " with ", columns.size, " columns does not divide into ", heads, " heads");
    }
    return Dim{.size = columns.size / heads};
}

Dim scaled(Dim size, int64_t factor) {
    int64_t result = 0;
    if (!size.known() || __builtin_mul_overflow(size.size, factor, &result)) return {};
    return {.size = result};
}

Status infer_linear_attention(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Heads heads, heads_of(context.node()));
    QUOIN_ASSIGN_OR_RETURN(const Rule rule, rule_of(context.node()));
    for (size_t index = 0; index <= kBeta; ++index) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32, DType::F16, DType::BF16}));
        if (index != kPastState && context.has_input(index) &&
            context.input(index).dtype != context.input(kQuery).dtype) {
            return context.fail("the inputs have different element types");
        }
    }
    if (rule.decays != context.has_input(kDecay) && rule.decays) return context.fail("the decay is left out");
    if (rule.corrects && !context.has_input(kBeta)) return context.fail("beta is left out");
    QUOIN_ASSIGN_OR_RETURN(const Dim query_size, per_head(context, kQuery, heads.query));
    QUOIN_ASSIGN_OR_RETURN(const Dim key_size, per_head(context, kKey, heads.key));
    QUOIN_ASSIGN_OR_RETURN(const Dim value_size, per_head(context, kValue, heads.key));
    if (!may_equal(query_size, key_size)) return context.fail("queries and keys have different sizes");
    Dim batch;
    Dim tokens;
    if (context.input(kQuery).dims) {
        batch = context.input(kQuery).dims->front();
        tokens = (*context.input(kQuery).dims)[1];
    }
    for (const size_t index : {size_t{kKey}, size_t{kValue}, size_t{kDecay}, size_t{kBeta}}) {
        if (!context.has_input(index) || !context.input(index).dims) continue;
        const auto& dims = *context.input(index).dims;
        if (dims.size() != 3 || !may_equal(dims[0], batch) || !may_equal(dims[1], tokens)) {
            return context.fail("input ", index, " is not [batch, tokens, ...]");
        }
        const Dim columns = dims[2];
        const Dim each{.size = heads.key};
        if ((index == kDecay && !may_equal(columns, each) && !may_equal(columns, scaled(key_size, heads.key))) ||
            (index == kBeta && !may_equal(columns, each) && !may_equal(columns, {.size = 1}))) {
            return context.fail("input ", index, " has ", columns.size, " columns");
        }
    }
    const std::vector<Dim> state = {batch, {.size = heads.key}, key_size, value_size};
    if (context.has_input(kPastState) && context.input(kPastState).dims &&
        !std::ranges::equal(*context.input(kPastState).dims, state, may_equal)) {
        return context.fail("the past state is not [batch, heads, d_k, d_v]");
    }
    context.set_output(0, context.input(kQuery).dtype,
                       std::vector<Dim>{batch, tokens, scaled(value_size, heads.query)});
    const size_t like = context.has_input(kPastState) ? kPastState : kQuery;
    context.set_output(1, context.input(like).dtype, state);
    return {};
}

Status compute_linear_attention(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Heads heads, heads_of(context.node()));
    QUOIN_ASSIGN_OR_RETURN(const Rule rule, rule_of(context.node()));
    const Tensor& q = context.input(kQuery);
    const int64_t batch = q.shape()[0];
    const int64_t tokens = q.shape()[1];
    const int64_t d_k = q.shape()[2] / heads.query;
    const int64_t d_v = context.input(kValue).shape()[2] / heads.key;
    const DType state_dtype = context.has_input(kPastState) ? context.input(kPastState).dtype() : q.dtype();
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, q.dtype(), Shape{batch, tokens, heads.query * d_v}));
    QUOIN_ASSIGN_OR_RETURN(const Tensor present, context.output(1, state_dtype, Shape{batch, heads.key, d_k, d_v}));
    double scale = context.node().number("scale", 0.0);
    if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, d_k)));
    const ReadAs<float> query(q);
    const ReadAs<float> key(context.input(kKey));
    const ReadAs<float> value(context.input(kValue));
    const ReadAs<float> past(context.input(kPastState));
    const ReadAs<float> decay(context.input(kDecay));
    const ReadAs<float> beta(context.input(kBeta));
    const int64_t decays = context.has_input(kDecay) ? context.input(kDecay).shape()[2] : 0;
    const int64_t betas = context.has_input(kBeta) ? context.input(kBeta).shape()[2] : 0;
    WriteAs<float> dst(y);
    WriteAs<float> state(present);
    std::vector<float> correction(static_cast<size_t>(d_v));
    for (int64_t pair = 0; pair < batch * heads.key; ++pair) {
        const int64_t image = pair / heads.key;
        const int64_t head = pair % heads.key;
        float* const s = state.data() + pair * d_k * d_v;
        if (past.empty()) {
            std::fill_n(s, d_k * d_v, 0.0F);
        } else {
            std::copy_n(past.data() + pair * d_k * d_v, d_k * d_v, s);
        }
        for (int64_t token = image * tokens; token < (image + 1) * tokens; ++token) {
            const float* const k = key.data() + (token * heads.key + head) * d_k;
            const float* const v = value.data() + (token * heads.key + head) * d_v;
            if (rule.decays) {
                const float* const gates = decay.data() + token * decays;
                for (int64_t row = 0; row < d_k; ++row) {
                    const float factor = std::exp(decays == heads.key ? gates[head] : gates[head * d_k + row]);
                    for (int64_t column = 0; column < d_v; ++column) s[row * d_v + column] *= factor;
                }
            }
            std::copy_n(v, d_v, correction.begin());
            if (rule.corrects) {
                for (int64_t row = 0; row < d_k; ++row) {
                    for (int64_t column = 0; column < d_v; ++column) {
                        correction[static_cast<size_t>(column)] -= k[row] * s[row * d_v + column];
                    }
                }
                const float rate = beta[token * betas + (betas == 1 ? 0 : head)];
                for (float& each : correction) each *= rate;
            }
            for (int64_t row = 0; row < d_k; ++row) {
                for (int64_t column = 0; column < d_v; ++column) {
                    s[row * d_v + column] += k[row] * correction[static_cast<size_t>(column)];
                }
            }
            const int64_t group = heads.query / heads.key;
            for (int64_t each = head * group; each < (head + 1) * group; ++each) {
                const float* const from = query.data() + (token * heads.query + each) * d_k;
                float* const out = dst.data() + (token * heads.query + each) * d_v;
                std::fill_n(out, d_v, 0.0F);
                for (int64_t row = 0; row < d_k; ++row) {
                    const float factor = static_cast<float>(scale) * from[row];
                    for (int64_t column = 0; column < d_v; ++column) out[column] += factor * s[row * d_v + column];
                }
            }
        }
    }
    dst.store();
    state.store();
    return {};
}

}  // namespace

extern const OpImplementation kLinearAttentionOp{infer_linear_attention, nullptr, compute_linear_attention};

}  // namespace quoin
