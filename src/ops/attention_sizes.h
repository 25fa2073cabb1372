// Sizes, strides and masks of ONNX Attention, shared by its two implementations.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "core/shape.h"
#include "graph/graph.h"
#include "ops/op_kernel.h"

namespace quoin {

enum AttentionInput : size_t { kQuery, kKey, kValue, kMask, kPastKey, kPastValue, kNonpadLengths };

// Elements between neighbours of a tensor seen as [batch][head][token][size], whatever its layout.
struct HeadStrides {
    int64_t batch = 0;
    int64_t head = 0;
    int64_t token = 0;

    int64_t offset(int64_t b, int64_t h, int64_t t) const { return b * batch + h * head + t * token; }
};

struct AttentionSizes {
    int64_t batch = 0;
    int64_t heads = 0;
    int64_t kv_heads = 0;
    int64_t queries = 0;
    int64_t past = 0;
    int64_t tokens = 0;  // new ones
    int64_t head_size = 0;
    int64_t value_size = 0;
    HeadStrides query;
    HeadStrides key;
    HeadStrides value;
    HeadStrides result;

    int64_t total() const { return past + tokens; }
    int64_t kv_head(int64_t head) const { return head / (heads / kv_heads); }
};

// The shapes must have passed the rule of the op. `past` is the shape of the past keys, or null.
AttentionSizes attention_sizes(const Node& node, const Shape& query, const Shape& key, const Shape& value,
                               const Shape* past);

// Which keys a query sees, the mask aside: positions first <= j < last.
struct AttentionWindow {
    bool causal = false;
    int64_t left = -1;  // -1: no bound
    int64_t right = -1;

    explicit AttentionWindow(const Node& node)
        : causal(node.integer("is_causal", 0) != 0),
          left(node.integer("left_window_size", -1)),
          right(node.integer("right_window_size", -1)) {}

    struct Range {
        int64_t first;
        int64_t last;
    };
    // `position` is the query's place among the keys, `valid` the number of keys that are no padding.
    Range range(int64_t position, int64_t valid) const {
        int64_t first = 0;
        int64_t last = valid;
        if (causal) last = std::min(last, position + 1);
        if (right >= 0 && right < valid) last = std::min(last, position + right + 1);
        if (left >= 0) first = std::max<int64_t>(0, position - std::min(left, position + valid));
        return {first, std::max(first, last)};
    }
};

// Attribute, 1 where the mask is broadcast to the scores along all axes, as by an Add. From version 24 on ONNX masks
// the keys that a shorter mask says nothing of, so that one of a single key is no longer that of all keys.
inline constexpr std::string_view kMaskIsBroadcast = "mask_is_broadcast";
inline bool mask_is_broadcast(const Node& node) {
    return node.integer(kMaskIsBroadcast, 0) != 0;
}

// A mask of up to four axes seen as [batch][head][query][key]; keys from `keys` on are masked.
struct MaskStrides {
    std::array<int64_t, 4> strides{};
    int64_t keys = 0;

    MaskStrides(const Shape& shape, bool is_broadcast) {
        int64_t stride = 1;
        for (size_t back = 1; back <= shape.rank() && back <= 4; ++back) {
            const int64_t size = shape[shape.rank() - back];
            strides[4 - back] = size == 1 && (back > 1 || is_broadcast) ? 0 : stride;
            stride *= size;
        }
        keys = shape.rank() == 0 ? 0 : strides[3] == 0 ? std::numeric_limits<int64_t>::max() : shape.back();
    }
    int64_t row(int64_t batch, int64_t head, int64_t query) const {
        return batch * strides[0] + head * strides[1] + query * strides[2];
    }
};

inline double attention_scale(const Node& node, int64_t head_size) {
    const double fallback = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, head_size)));
    return node.number("scale", fallback);
}

// Null without an error where something asks for compute() (attention_f32.cpp).
Result<std::unique_ptr<PreparedNode>> prepare_attention(const PrepareContext& context);

}  // namespace quoin
