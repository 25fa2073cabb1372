// Attention (ONNX 25): rule, and an implementation for every element type and every output. f32 without the scores as
// an output is taken by attention_f32.cpp.
#include <algorithm>
#include <cmath>

#include "ops/attention_sizes.h"
#include "ops/infer_rules.h"
#include "ops/node_attributes.h"
#include "ops/widened.h"

namespace quoin {

AttentionSizes attention_sizes(const Node& node, const Shape& query, const Shape& key, const Shape& value,
                               const Shape* past) {
    AttentionSizes sizes;
    sizes.batch = query[0];
    if (past != nullptr) sizes.past = (*past)[2];
    if (query.rank() == 4) {
        sizes.heads = query[1];
        sizes.kv_heads = key[1];
        sizes.queries = query[2];
        sizes.tokens = key[2];
        sizes.head_size = query[3];
        sizes.value_size = value[3];
        const auto strides = [](int64_t heads, int64_t tokens, int64_t size) {
            return HeadStrides{heads * tokens * size, tokens * size, size};
        };
        sizes.query = strides(sizes.heads, sizes.queries, sizes.head_size);
        sizes.key = strides(sizes.kv_heads, sizes.tokens, sizes.head_size);
        sizes.value = strides(sizes.kv_heads, sizes.tokens, sizes.value_size);
        sizes.result = strides(sizes.heads, sizes.queries, sizes.value_size);
        return sizes;
    }
    sizes.heads = node.integer("q_num_heads", 1);
    sizes.kv_heads = node.integer("kv_num_heads", 1);
    sizes.queries = query[1];
    sizes.tokens = key[1];
    sizes.head_size = query[2] / sizes.heads;
    sizes.value_size = value[2] / sizes.kv_heads;
    const auto strides = [](int64_t heads, int64_t tokens, int64_t size) {
        return HeadStrides{heads * tokens * size, size, heads * size};
    };
    sizes.query = strides(sizes.heads, sizes.queries, sizes.head_size);
    sizes.key = strides(sizes.kv_heads, sizes.tokens, sizes.head_size);
    sizes.value = strides(sizes.kv_heads, sizes.tokens, sizes.value_size);
    sizes.result = strides(sizes.heads, sizes.queries, sizes.value_size);
    return sizes;
}

namespace {

const auto kFloats = {DType::F32, DType::F64, DType::F16, DType::BF16};

// ---- infer ----------------------------------------------------------------------------------------------------

struct HeadDims {
    Dim batch;
    Dim heads;
    Dim tokens;
    Dim size;
};

Result<HeadDims> head_dims(const InferContext& context, size_t index, int64_t heads) {
    const std::vector<Dim>& dims = *context.input(index).dims;
    if (dims.size() == 4) return HeadDims{dims[0], dims[1], dims[2], dims[3]};
    if (heads <= 0 || (dims[2].known() && dims[2].size % heads != 0)) {
        return context.fail("input ", index, " with ", dims[2].size, " columns does not divide into ", heads, " heads");
    }
    return HeadDims{dims[0], {.size = heads}, dims[1], dims[2].known() ? Dim{.size = dims[2].size / heads} : Dim{}};
}

Status expect_dims(const InferContext& context, size_t index, std::initializer_list<Dim> wanted) {
    if (!context.has_input(index) || !context.input(index).dims) return {};
    if (std::ranges::equal(*context.input(index).dims, wanted, may_equal)) return {};
    return context.fail("input ", index, " has not the shape that the other inputs ask for");
}

Dim sum_of(Dim a, Dim b) {
    int64_t sum = 0;
    if (!a.known() || !b.known() || __builtin_add_overflow(a.size, b.size, &sum)) return {};
    return {.size = sum};
}

Status check_attributes(const InferContext& context) {
    const Node& node = context.node();
    if (node.integer("left_window_size", -1) < -1 || node.integer("right_window_size", -1) < -1) {
        return context.fail("a window size is below -1");
    }
    const int64_t mode = node.integer("qk_matmul_output_mode", 0);
    if (mode < 0 || mode > 3) return context.fail("qk_matmul_output_mode is ", mode);
    const auto precision = dtype_from_number(static_cast<uint32_t>(node.integer("softmax_precision", 1)));
    if (std::ranges::find(kFloats, precision.value_or(DType::Undefined)) == kFloats.end()) {
        return context.fail("softmax_precision is ", node.integer("softmax_precision", 1));
    }
    if (!(node.number("softcap", 0.0) >= 0)) return context.fail("softcap is ", node.number("softcap", 0.0));
    return {};
}

Status infer_attention(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(check_attributes(context));
    for (const size_t index : {kQuery, kKey, kValue, kPastKey, kPastValue}) {
        QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, kFloats));
    }
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(kNonpadLengths, {DType::I64}));
    if (context.has_input(kPastKey) != context.has_input(kPastValue)) {
        return context.fail("past keys and past values go together");
    }
    if (context.has_input(kPastKey) && context.has_input(kNonpadLengths)) {
        return context.fail("past keys and nonpad_kv_seqlen exclude each other");
    }
    const DType dtype = context.input(kQuery).dtype;
    const DType value_dtype = context.input(kValue).dtype;
    if (context.input(kKey).dtype != dtype || (context.has_input(kPastKey) && context.input(kPastKey).dtype != dtype)) {
        return context.fail("queries and keys have different element types");
    }
    const auto& q = context.input(kQuery).dims;
    if (!q || !context.input(kKey).dims || !context.input(kValue).dims) {
        context.set_output(0, dtype, q ? std::optional(std::vector<Dim>(q->size())) : std::nullopt);
        context.set_output(1, dtype, std::vector<Dim>(4));
        context.set_output(2, value_dtype, std::vector<Dim>(4));
        context.set_output(3, dtype, std::vector<Dim>(4));
        return {};
    }
    const size_t rank = q->size();
    if ((rank != 3 && rank != 4) || context.input(kKey).dims->size() != rank ||
        context.input(kValue).dims->size() != rank) {
        return context.fail("queries, keys and values must all have rank 3 or all rank 4");
    }
    const int64_t heads = context.node().integer("q_num_heads", 0);
    const int64_t kv_heads = context.node().integer("kv_num_heads", 0);
    QUOIN_ASSIGN_OR_RETURN(const HeadDims query, head_dims(context, kQuery, heads));
    QUOIN_ASSIGN_OR_RETURN(const HeadDims key, head_dims(context, kKey, kv_heads));
    QUOIN_ASSIGN_OR_RETURN(const HeadDims value, head_dims(context, kValue, kv_heads));
    if (!may_equal(query.batch, key.batch) || !may_equal(query.batch, value.batch) ||
        !may_equal(query.size, key.size) || !may_equal(key.heads, value.heads) ||
        !may_equal(key.tokens, value.tokens)) {
        return context.fail("the shapes of queries, keys and values do not fit each other");
    }
    if (query.heads.known() && key.heads.known() && (key.heads.size < 1 || query.heads.size % key.heads.size != 0)) {
        return context.fail(key.heads.size, " heads of keys do not divide ", query.heads.size, " of queries");
    }
    Dim total = key.tokens;
    if (context.has_input(kPastKey)) {
        const auto& past = context.input(kPastKey).dims;
        if (past && past->size() != 4) return context.fail("the past keys have rank ", past->size());
        const Dim length = past ? (*past)[2] : Dim{};
        QUOIN_RETURN_IF_ERROR(expect_dims(context, kPastKey, {key.batch, key.heads, length, key.size}));
        QUOIN_RETURN_IF_ERROR(expect_dims(context, kPastValue, {value.batch, value.heads, length, value.size}));
        total = sum_of(length, key.tokens);
    }
    QUOIN_RETURN_IF_ERROR(expect_dims(context, kNonpadLengths, {query.batch}));
    if (context.has_input(kMask) && context.input(kMask).dims) {
        const auto& mask = *context.input(kMask).dims;
        const std::array<Dim, 4> wanted = {query.batch, query.heads, query.tokens, total};
        if (mask.size() > 4 || mask.empty()) return context.fail("the mask has rank ", mask.size());
        for (size_t back = 1; back <= mask.size(); ++back) {
            const Dim dim = mask[mask.size() - back];
            const Dim limit = wanted[4 - back];
            const bool shorter = back == 1 && !mask_is_broadcast(context.node()) && dim.known() && limit.known() &&
                                 dim.size < limit.size;
            if (dim.size != 1 && !shorter && !may_equal(dim, limit)) {
                return context.fail("the mask's dimension ", dim.size, " cannot be broadcast to ", limit.size);
            }
        }
    }
    std::vector<Dim> result = {query.batch, query.heads, query.tokens, value.size};
    if (rank == 3) {
        int64_t columns = 0;
        const bool known = value.size.known() && !__builtin_mul_overflow(value.size.size, heads, &columns);
        result = {query.batch, query.tokens, known ? Dim{.size = columns} : Dim{}};
    }
    context.set_output(0, dtype, std::move(result));
    context.set_output(1, dtype, std::vector<Dim>{key.batch, key.heads, total, key.size});
    context.set_output(2, value_dtype, std::vector<Dim>{value.batch, value.heads, total, value.size});
    context.set_output(3, dtype, std::vector<Dim>{query.batch, query.heads, query.tokens, total});
    return {};
}

// ---- compute --------------------------------------------------------------------------------------------------

// Past and new tokens as one [batch][kv_heads][total][size].
template <class T>
std::vector<T> joined(const AttentionSizes& sizes, const T* past, const T* fresh, const HeadStrides& strides,
                      int64_t size) {
    std::vector<T> result;
    result.reserve(static_cast<size_t>(sizes.batch * sizes.kv_heads * sizes.total() * size));
    for (int64_t batch = 0; batch < sizes.batch; ++batch) {
        for (int64_t head = 0; head < sizes.kv_heads; ++head) {
            if (past != nullptr) {
                const T* const from = past + (batch * sizes.kv_heads + head) * sizes.past * size;
                result.insert(result.end(), from, from + sizes.past * size);
            }
            for (int64_t token = 0; token < sizes.tokens; ++token) {
                const T* const from = fresh + strides.offset(batch, head, token);
                result.insert(result.end(), from, from + size);
            }
        }
    }
    return result;
}

// Every intermediate result is rounded to the element type, as the specification's function body does.
template <class Element>
class PlainAttention {
public:
    using T = Arithmetic<Element>;
    static T rounded(T value) { return static_cast<T>(static_cast<Element>(value)); }

    PlainAttention(ComputeContext& context, const AttentionSizes& sizes)
        : context_(context),
          sizes_(sizes),
          window_(context.node()),
          mode_(context.node().integer("qk_matmul_output_mode", 0)),
          softcap_(static_cast<T>(context.node().number("softcap", 0.0))),
          factor_(rounded(static_cast<T>(std::sqrt(attention_scale(context.node(), sizes.head_size))))),
          precision_(*dtype_from_number(static_cast<uint32_t>(
              context.node().integer("softmax_precision", static_cast<int64_t>(context.input(kQuery).dtype()))))) {}

    Status run(const Tensor& y, const Tensor& present_key, const Tensor& present_value, const Tensor& scores) {
        const ReadAs<T> query(context_.input(kQuery));
        const ReadAs<T> fresh_key(context_.input(kKey));
        const ReadAs<T> fresh_value(context_.input(kValue));
        const ReadAs<T> past_key(context_.input(kPastKey));
        const ReadAs<T> past_value(context_.input(kPastValue));
        const ReadAs<T> mask(context_.input(kMask));
        const std::vector<T> key = joined<T>(sizes_, past_key.data(), fresh_key.data(), sizes_.key, sizes_.head_size);
        const std::vector<T> value =
            joined<T>(sizes_, past_value.data(), fresh_value.data(), sizes_.value, sizes_.value_size);
        store(present_key, key);
        store(present_value, value);
        WriteAs<T> result(y);
        WriteAs<T> qk(scores);
        const MaskStrides strides(context_.input(kMask).shape(), mask_is_broadcast(context_.node()));
        const bool boolean = context_.input(kMask).dtype() == DType::Bool;
        const auto lengths = context_.input(kNonpadLengths).template as<const int64_t>();
        const int64_t total = sizes_.total();
        std::vector<T> row(static_cast<size_t>(total));
        std::vector<T> bias(row);
        for (int64_t batch = 0; batch < sizes_.batch; ++batch) {
            // Lengths come from the model's user: no more keys than there are.
            const int64_t valid =
                lengths.empty() ? total : std::clamp<int64_t>(lengths[static_cast<size_t>(batch)], 0, total);
            const int64_t offset = sizes_.past > 0 || lengths.empty() ? sizes_.past : valid - sizes_.queries;
            for (int64_t head = 0; head < sizes_.heads; ++head) {
                const int64_t group = batch * sizes_.kv_heads + sizes_.kv_head(head);
                for (int64_t index = 0; index < sizes_.queries; ++index) {
                    const auto range = window_.range(index + offset, valid);
                    const T* const masked = mask.empty() ? nullptr : mask.data() + strides.row(batch, head, index);
                    bool any = false;
                    for (int64_t j = 0; j < total; ++j) {
                        T& each = bias[static_cast<size_t>(j)];
                        each = j >= range.first && j < range.last ? T{0} : -std::numeric_limits<T>::infinity();
                        if (context_.has_input(kMask)) {
                            const bool padded = j >= strides.keys;
                            if (padded || (boolean && masked[j * strides.strides[3]] == 0)) {
                                each = -std::numeric_limits<T>::infinity();
                            } else if (!boolean) {
                                each += masked[j * strides.strides[3]];
                            }
                        }
                        any = any || each != -std::numeric_limits<T>::infinity();
                    }
                    T* const out = qk.size() == 0
                                       ? nullptr
                                       : qk.data() + ((batch * sizes_.heads + head) * sizes_.queries + index) * total;
                    score(query.data() + sizes_.query.offset(batch, head, index),
                          key.data() + group * total * sizes_.head_size, bias, row, out);
                    soften(row, any);
                    if (out != nullptr && mode_ == 3) std::ranges::copy(row, out);
                    T* const target = result.data() + sizes_.result.offset(batch, head, index);
                    const T* const values = value.data() + group * total * sizes_.value_size;
                    for (int64_t column = 0; column < sizes_.value_size; ++column) {
                        T sum = 0;
                        for (int64_t j = 0; j < total; ++j) {
                            sum += row[static_cast<size_t>(j)] == 0
                                       ? T{0}
                                       : row[static_cast<size_t>(j)] * values[j * sizes_.value_size + column];
                        }
                        target[column] = sum;
                    }
                }
            }
        }
        result.store();
        qk.store();
        return {};
    }

private:
    static void store(const Tensor& tensor, const std::vector<T>& values) {
        WriteAs<T> out(tensor);
        if (out.size() == 0) return;
        std::ranges::copy(values, out.data());
        out.store();
    }

    void score(const T* query, const T* keys, const std::vector<T>& bias, std::vector<T>& row, T* out) const {
        for (size_t j = 0; j < row.size(); ++j) {
            T sum = 0;
            const T* const key = keys + static_cast<int64_t>(j) * sizes_.head_size;
            for (int64_t index = 0; index < sizes_.head_size; ++index) {
                sum += rounded(query[index] * factor_) * rounded(key[index] * factor_);
            }
            sum = rounded(sum);
            if (out != nullptr && mode_ == 0) out[j] = sum;
            if (softcap_ > 0) sum = rounded(rounded(std::tanh(rounded(sum / softcap_))) * softcap_);
            if (out != nullptr && mode_ == 1) out[j] = sum;
            sum = rounded(sum + bias[j]);
            if (out != nullptr && mode_ == 2) out[j] = sum;
            // A masked key stays masked whatever its score was, NaN included.
            row[j] = bias[j] == -std::numeric_limits<T>::infinity() ? bias[j] : sum;
        }
    }

    void soften(std::vector<T>& row, bool any) const {
        if (!any) {
            std::ranges::fill(row, T{0});
            return;
        }
        visit_floats(precision_, [&]<class Softmax>() {
            using Wide = Arithmetic<Softmax>;
            const auto cut = [](Wide value) { return static_cast<Wide>(static_cast<Softmax>(value)); };
            Wide largest = -std::numeric_limits<Wide>::infinity();
            for (const T each : row) largest = std::max(largest, cut(static_cast<Wide>(each)));
            Wide sum = 0;
            std::vector<Wide> powers;
            for (const T each : row) {
                powers.push_back(cut(std::exp(cut(cut(static_cast<Wide>(each)) - largest))));
                sum += powers.back();
            }
            sum = cut(sum);
            for (size_t j = 0; j < row.size(); ++j) row[j] = rounded(static_cast<T>(cut(powers[j] / sum)));
        });
    }

    ComputeContext& context_;
    const AttentionSizes& sizes_;
    AttentionWindow window_;
    int64_t mode_;
    T softcap_;
    T factor_;
    DType precision_;
};

Status compute_attention(ComputeContext& context) {
    const Tensor& query = context.input(kQuery);
    const Shape* const past = context.has_input(kPastKey) ? &context.input(kPastKey).shape() : nullptr;
    const AttentionSizes sizes = attention_sizes(context.node(), query.shape(), context.input(kKey).shape(),
                                                 context.input(kValue).shape(), past);
    const DType dtype = query.dtype();
    Shape result = query.shape();
    result[result.rank() - 1] = query.shape().rank() == 3 ? sizes.heads * sizes.value_size : sizes.value_size;
    QUOIN_ASSIGN_OR_RETURN(const Tensor y, context.output(0, dtype, result));
    std::array<Tensor, 3> others;
    const std::array<Shape, 3> shapes = {Shape{sizes.batch, sizes.kv_heads, sizes.total(), sizes.head_size},
                                         Shape{sizes.batch, sizes.kv_heads, sizes.total(), sizes.value_size},
                                         Shape{sizes.batch, sizes.heads, sizes.queries, sizes.total()}};
    for (size_t index = 0; index < others.size(); ++index) {
        if (!context.wants_output(index + 1)) continue;
        QUOIN_ASSIGN_OR_RETURN(
            others[index],
            context.output(index + 1, index == 1 ? context.input(kValue).dtype() : dtype, shapes[index]));
    }
    Status status;
    const bool done = visit_floats(dtype, [&]<class Element>() {
        status = PlainAttention<Element>(context, sizes).run(y, others[0], others[1], others[2]);
    });
    return done ? status : context.fail(StatusCode::Unsupported, "no attention of ", dtype_name(dtype));
}

}  // namespace

extern const OpImplementation kAttentionOp{infer_attention, prepare_attention, compute_attention};

}  // namespace quoin
