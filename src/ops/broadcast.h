// Broadcasting (ONNX, multidirectional) as loops over runs of the last axis, for ops of any number of operands.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "core/shape.h"
#include "ops/op_kernel.h"

namespace quoin {

// How the operands lie under the result. Axes that all operands walk through alike are one axis, so equal shapes are a
// single run and [1, C, 1, 1] under [N, C, H, W] are N * C runs of H * W elements with one element of the operand each.
template <size_t kOperands>
class Broadcast {
public:
    // Every operand's shape must broadcast to `result` (the op's shape rule has checked that).
    Broadcast(const Shape& result, const std::array<const Shape*, kOperands>& operands) {
        int64_t elements = 1;
        std::array<int64_t, kOperands> walked;
        walked.fill(1);
        for (size_t back = 1; back <= result.rank(); ++back) {
            const int64_t size = result[result.rank() - back];
            elements *= size;
            if (size == 1) continue;
            std::array<int64_t, kOperands> strides{};
            for (size_t each = 0; each < kOperands; ++each) {
                const Shape& shape = *operands[each];
                const int64_t dim = back <= shape.rank() ? shape[shape.rank() - back] : 1;
                strides[each] = dim == 1 ? 0 : walked[each];
                walked[each] *= dim;
            }
            append(size, strides);
        }
        elements_ = elements;
        if (rank_ == 0) append(1, {});
    }

    int64_t elements() const { return elements_; }

    // body(index, count, offsets, steps) for runs that make up the result's elements begin <= index < end: `count`
    // elements from `index` on, operand i read from offsets[i] on in steps of steps[i], 0 or 1.
    template <class Body>
    void for_runs(int64_t begin, int64_t end, Body&& body) const {
        if (begin >= end) return;
        std::array<int64_t, Shape::kMaxRank> place{};
        std::array<int64_t, kOperands> offsets{};
        int64_t rest = begin;
        for (size_t axis = 0; axis < rank_; ++axis) {
            place[axis] = rest % sizes_[axis];
            rest /= sizes_[axis];
            for (size_t each = 0; each < kOperands; ++each) offsets[each] += place[axis] * strides_[axis][each];
        }
        while (true) {
            const int64_t count = std::min(sizes_[0] - place[0], end - begin);
            body(begin, count, offsets, strides_[0]);
            begin += count;
            if (begin >= end) return;
            for (size_t each = 0; each < kOperands; ++each) offsets[each] -= place[0] * strides_[0][each];
            place[0] = 0;
            for (size_t axis = 1; axis < rank_; ++axis) {
                for (size_t each = 0; each < kOperands; ++each) offsets[each] += strides_[axis][each];
                if (++place[axis] < sizes_[axis]) break;
                place[axis] = 0;
                for (size_t each = 0; each < kOperands; ++each) offsets[each] -= sizes_[axis] * strides_[axis][each];
            }
        }
    }

private:
    // The next axis outwards, joined to the one before where every operand goes on as it did.
    void append(int64_t size, const std::array<int64_t, kOperands>& strides) {
        bool joins = rank_ > 0;
        for (size_t each = 0; joins && each < kOperands; ++each) {
            joins = strides[each] == strides_[rank_ - 1][each] * sizes_[rank_ - 1];
        }
        if (joins) {
            sizes_[rank_ - 1] *= size;
            return;
        }
        sizes_[rank_] = size;
        strides_[rank_] = strides;
        ++rank_;
    }

    int64_t elements_ = 0;
    size_t rank_ = 0;
    std::array<int64_t, Shape::kMaxRank> sizes_{};  // innermost first
    std::array<std::array<int64_t, kOperands>, Shape::kMaxRank> strides_{};
};

// The dims that all inputs broadcast to; nullopt where the rank of one is unknown. Fails when they do not fit.
Result<std::optional<std::vector<Dim>>> broadcast_dims(const InferContext& context, size_t first, size_t count);

// The same of tensors that are there. Fails when they do not fit, or the result has too many elements.
Result<Shape> broadcast_shape(const ComputeContext& context, std::initializer_list<const Shape*> shapes);

}  // namespace quoin
