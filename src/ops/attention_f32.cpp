// Attention (ONNX) in f32, a block of queries of one head a task: products by the matrix kernel, over blocks of keys
// with a running softmax, so that scratch does not grow with the number of keys.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/rounding.h"
#include "kernels/layout.h"
#include "ops/attention_sizes.h"

namespace quoin {
namespace {

constexpr int64_t kQueryBlock = 64;
constexpr int64_t kKeyBlock = 512;
constexpr float kMasked = -std::numeric_limits<float>::infinity();

class FloatAttention final : public PreparedNode {
public:
    FloatAttention(const Node& node, const KernelTable& kernels)
        : node_(node),
          kernels_(kernels),
          window_(node),
          softcap_(static_cast<float>(node.number("softcap", 0.0))),
          mask_is_broadcast_(mask_is_broadcast(node)) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const AttentionSizes sizes = sizes_of(arguments);
        const int64_t blocks = divide_up(sizes.queries, kQueryBlock);
        const int64_t rows = std::min(kQueryBlock, sizes.queries);
        return Work{.tasks = sizes.batch * sizes.heads * blocks,
                    .scratch_bytes = Scratch(sizes, rows, nullptr).floats * int64_t{sizeof(float)},
                    .grain = {blocks, rows, 1}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const AttentionSizes sizes = sizes_of(arguments);
        const int64_t blocks = arguments.work.grain[0];
        const int64_t head = task / blocks % sizes.heads;
        const int64_t batch = task / blocks / sizes.heads;
        const int64_t first = task % blocks * kQueryBlock;
        const int64_t rows = std::min(kQueryBlock, sizes.queries - first);
        Scratch place(sizes, arguments.work.grain[1], reinterpret_cast<float*>(scratch));
        if (task % blocks == 0 && head % (sizes.heads / sizes.kv_heads) == 0) {
            store_present(arguments, sizes, batch, sizes.kv_head(head));
        }
        const auto scale = static_cast<float>(attention_scale(node_, sizes.head_size));
        for (int64_t row = 0; row < rows; ++row) {
            const float* const src =
                arguments.inputs[kQuery].as<float>() + sizes.query.offset(batch, head, first + row);
            float* const dst = place.query + row * sizes.head_size;
            for (int64_t index = 0; index < sizes.head_size; ++index) dst[index] = scale * src[index];
            place.largest[row] = kMasked;
            place.sum[row] = 0;
        }
        std::fill_n(place.result, rows * sizes.value_size, 0.0F);

        const View view{batch, head, first, rows, valid_keys(arguments, sizes, batch)};
        const int64_t kv_head = batch * sizes.kv_heads + sizes.kv_head(head);
        if (sizes.past > 0) {
            const Source source{arguments.inputs[kPastKey].as<float>() + kv_head * sizes.past * sizes.head_size,
                                arguments.inputs[kPastValue].as<float>() + kv_head * sizes.past * sizes.value_size,
                                sizes.head_size, sizes.value_size};
            add_keys(arguments, sizes, view, source, 0, sizes.past, place);
        }
        const Source source{arguments.inputs[kKey].as<float>() + sizes.key.offset(batch, sizes.kv_head(head), 0),
                            arguments.inputs[kValue].as<float>() + sizes.value.offset(batch, sizes.kv_head(head), 0),
                            sizes.key.token, sizes.value.token};
        add_keys(arguments, sizes, view, source, sizes.past, sizes.tokens, place);

        for (int64_t row = 0; row < rows; ++row) {
            float* const dst = arguments.outputs[0].as<float>() + sizes.result.offset(batch, head, first + row);
            // A query that sees no key gives zeros.
            const float factor = place.sum[row] > 0 || std::isnan(place.sum[row]) ? 1 / place.sum[row] : 0.0F;
            const float* const src = place.result + row * sizes.value_size;
            for (int64_t index = 0; index < sizes.value_size; ++index) dst[index] = factor * src[index];
        }
        return {};
    }

    std::string label() const override { return "attention by blocks"; }

private:
    struct Scratch {
        float* query;    // [rows][head_size], scaled
        float* result;   // [rows][value_size]
        float* next;     // [rows][value_size], the result with one more block of keys
        float* scores;   // [rows][keys of a block]
        float* largest;  // [rows]
        float* sum;      // [rows]
        float* product;  // of the kernel
        int64_t floats;

        Scratch(const AttentionSizes& sizes, int64_t rows, float* base) {
            const int64_t keys = std::min(kKeyBlock, std::max<int64_t>(1, sizes.total()));
            int64_t used = 0;
            const auto take = [&](int64_t count) {
                float* const place = base == nullptr ? nullptr : base + used;
                used += (count + 15) / 16 * 16;
                return place;
            };
            query = take(rows * sizes.head_size);
            result = take(rows * sizes.value_size);
            next = take(rows * sizes.value_size);
            scores = take(rows * keys);
            largest = take(rows);
            sum = take(rows);
            product = take(matmul_scratch_floats(std::max(sizes.head_size, keys)));
            floats = used;
        }
    };
    struct View {
        int64_t batch;
        int64_t head;
        int64_t first;  // query
        int64_t rows;
        int64_t valid;  // keys that are no padding
    };
    struct Source {
        const float* keys;
        const float* values;
        int64_t key_stride;
        int64_t value_stride;
    };

    static bool given(const Arguments& arguments, size_t index) {
        return index < arguments.inputs.size() && arguments.inputs[index].dtype != DType::Undefined;
    }
    AttentionSizes sizes_of(const Arguments& arguments) const {
        const Shape* const past = given(arguments, kPastKey) ? &arguments.inputs[kPastKey].shape : nullptr;
        return attention_sizes(node_, arguments.inputs[kQuery].shape, arguments.inputs[kKey].shape,
                               arguments.inputs[kValue].shape, past);
    }
    static int64_t valid_keys(const Arguments& arguments, const AttentionSizes& sizes, int64_t batch) {
        if (!given(arguments, kNonpadLengths)) return sizes.total();
        return std::clamp<int64_t>(arguments.inputs[kNonpadLengths].as<int64_t>()[batch], 0, sizes.total());
    }
    // The place of the first query among the keys.
    static int64_t offset_of(const Arguments& arguments, const AttentionSizes& sizes, const View& view) {
        return given(arguments, kNonpadLengths) ? view.valid - sizes.queries : sizes.past;
    }

    static void store_present(const Arguments& arguments, const AttentionSizes& sizes, int64_t batch, int64_t head) {
        const auto store = [&](size_t output, size_t past, size_t fresh, const HeadStrides& strides, int64_t size) {
            if (output >= arguments.outputs.size() || arguments.outputs[output].data == nullptr) return;
            const int64_t index = batch * sizes.kv_heads + head;
            float* dst = arguments.outputs[output].as<float>() + index * sizes.total() * size;
            if (sizes.past > 0) {
                dst =
                    std::copy_n(arguments.inputs[past].as<float>() + index * sizes.past * size, sizes.past * size, dst);
            }
            for (int64_t token = 0; token < sizes.tokens; ++token) {
                dst = std::copy_n(arguments.inputs[fresh].as<float>() + strides.offset(batch, head, token), size, dst);
            }
        };
        store(1, kPastKey, kKey, sizes.key, sizes.head_size);
        store(2, kPastValue, kValue, sizes.value, sizes.value_size);
    }

    // Keys at positions begin..begin + count-1.
    void add_keys(const Arguments& arguments, const AttentionSizes& sizes, const View& view, const Source& source,
                  int64_t begin, int64_t count, Scratch& place) const {
        const int64_t offset = offset_of(arguments, sizes, view);
        // All rows see keys between what the first and what the last row see; the others, such as padding, are not
        // read.
        const int64_t least =
            std::clamp<int64_t>(window_.range(view.first + offset, view.valid).first - begin, 0, count);
        const int64_t most = std::clamp<int64_t>(
            window_.range(view.first + view.rows - 1 + offset, view.valid).last - begin, least, count);
        for (int64_t done = least; done < most; done += kKeyBlock) {
            const int64_t keys = std::min(kKeyBlock, most - done);
            const int64_t position = begin + done;
            MatMulArgs product{};
            product.a = place.query;
            product.a_stride = sizes.head_size;
            product.b = source.keys + done * source.key_stride;
            product.b_inner_stride = 1;
            product.b_column_stride = source.key_stride;
            product.rows = view.rows;
            product.inner = sizes.head_size;
            product.columns = keys;
            product.dst = place.scores;
            product.dst_stride = keys;
            product.scratch = place.product;
            kernels_.matmul_f32(product);
            for (int64_t row = 0; row < view.rows; ++row) {
                soften(arguments, view, window_.range(view.first + row + offset, view.valid), row, position, keys,
                       sizes.value_size, place);
            }
            product.a = place.scores;
            product.a_stride = keys;
            product.b = source.values + done * source.value_stride;
            product.b_inner_stride = source.value_stride;
            product.b_column_stride = 1;
            product.inner = keys;
            product.columns = sizes.value_size;
            product.epilogue.residual = place.result;
            product.epilogue.residual_stride[2] = sizes.value_size;
            product.dst = place.next;
            product.dst_stride = sizes.value_size;
            kernels_.matmul_f32(product);
            pass_by_hidden(product, place);
            std::swap(place.result, place.next);
        }
    }

    // 0 times NaN is NaN, but a key that a row does not see adds nothing to it, whatever its value holds.
    void pass_by_hidden(const MatMulArgs& product, const Scratch& place) const {
        if (!std::isnan(kernels_.largest_of_row(place.next, product.rows * product.columns))) return;
        for (int64_t row = 0; row < product.rows; ++row) {
            float* const next = place.next + row * product.columns;
            const bool spoiled = std::isnan(kernels_.largest_of_row(next, product.columns));
            if (!spoiled || std::isnan(place.sum[row])) continue;
            std::copy_n(place.result + row * product.columns, product.columns, next);
            for (int64_t key = 0; key < product.inner; ++key) {
                const float weight = product.a[row * product.a_stride + key];
                if (weight == 0) continue;
                const float* const value = product.b + key * product.b_inner_stride;
                for (int64_t index = 0; index < product.columns; ++index) next[index] += weight * value[index];
            }
        }
    }

    // Scores of a row become exp(score - largest so far); what was summed before is brought to the same scale.
    void soften(const Arguments& arguments, const View& view, AttentionWindow::Range range, int64_t row,
                int64_t position, int64_t keys, int64_t value_size, const Scratch& place) const {
        float* const scores = place.scores + row * keys;
        if (softcap_ > 0) {
            for (int64_t key = 0; key < keys; ++key) scores[key] /= softcap_;
            kernels_.tanh_row(scores, keys, 0, 0, scores);
            for (int64_t key = 0; key < keys; ++key) scores[key] *= softcap_;
        }
        const int64_t first = std::clamp<int64_t>(range.first - position, 0, keys);
        const int64_t last = std::clamp<int64_t>(range.last - position, first, keys);
        if (given(arguments, kMask)) {
            add_mask(arguments.inputs[kMask], view, row, position, keys, scores);
        }
        std::fill_n(scores, first, kMasked);
        std::fill_n(scores + last, keys - last, kMasked);
        const float before = place.largest[row];
        const float of_block = kernels_.largest_of_row(scores, keys);
        // Not std::max: where one of them is NaN, so is all of the row.
        const float largest = before < of_block || std::isnan(of_block) ? of_block : before;
        if (largest == kMasked) {
            std::fill_n(scores, keys, 0.0F);
            return;
        }
        for (int64_t key = 0; key < keys; ++key) scores[key] -= largest;
        kernels_.exp_row(scores, keys, 0, 0, scores);
        const float factor = std::exp(before - largest);
        place.sum[row] = place.sum[row] * factor + static_cast<float>(kernels_.sum_row(scores, keys));
        place.largest[row] = largest;
        if (factor == 1) return;
        float* const result = place.result + row * value_size;
        for (int64_t index = 0; index < value_size; ++index) result[index] *= factor;
    }

    void add_mask(const TensorView& mask, const View& view, int64_t row, int64_t position, int64_t keys,
                  float* scores) const {
        const MaskStrides strides(mask.shape, mask_is_broadcast_);
        const int64_t step = strides.strides[3];
        const int64_t base = strides.row(view.batch, view.head, view.first + row) + position * step;
        const int64_t there = std::clamp<int64_t>(strides.keys - position, 0, keys);
        if (mask.dtype == DType::Bool) {
            const auto* const allowed = mask.as<uint8_t>() + base;
            for (int64_t key = 0; key < there; ++key) {
                if (allowed[key * step] == 0) scores[key] = kMasked;
            }
        } else if (step == 0) {
            const float bias = mask.as<float>()[base];
            for (int64_t key = 0; key < there; ++key) scores[key] = bias == kMasked ? kMasked : scores[key] + bias;
        } else {
            const auto* const bias = mask.as<float>() + base;
            for (int64_t key = 0; key < there; ++key) {
                scores[key] = bias[key] == kMasked ? kMasked : scores[key] + bias[key];
            }
        }
        std::fill_n(scores + there, keys - there, kMasked);
    }

    const Node& node_;
    const KernelTable& kernels_;
    AttentionWindow window_;
    float softcap_;
    bool mask_is_broadcast_;
};

}  // namespace

Result<std::unique_ptr<PreparedNode>> prepare_attention(const PrepareContext& context) {
    std::unique_ptr<PreparedNode> none;
    for (const size_t index : {kQuery, kKey, kValue, kMask, kPastKey, kPastValue}) {
        const ValueId id = context.node.input(index);
        if (id == kNoValue) continue;
        const DType dtype = context.graph.value(id).dtype;
        if (dtype != DType::F32 && !(index == kMask && dtype == DType::Bool)) return none;
    }
    const int64_t precision = context.node.integer("softmax_precision", static_cast<int64_t>(DType::F32));
    const bool scores = context.node.outputs.size() > 3 && context.node.outputs[3] != kNoValue;
    if (scores || precision != static_cast<int64_t>(DType::F32)) return none;
    return std::unique_ptr<PreparedNode>(std::make_unique<FloatAttention>(context.node, context.kernels()));
}

}  // namespace quoin
