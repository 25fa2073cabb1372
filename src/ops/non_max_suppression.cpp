// NonMaxSuppression (ONNX): of boxes that overlap, those with the best scores.
#include <algorithm>
#include <numeric>

#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

Status infer_non_max_suppression(InferContext& context) {
    for (const size_t index : {0, 1, 3, 4}) QUOIN_RETURN_IF_ERROR(context.expect_dtype(index, {DType::F32}));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(2, {DType::I64}));
    const auto& boxes = context.input(0).dims;
    const auto& scores = context.input(1).dims;
    if (boxes && (boxes->size() != 3 || !may_equal((*boxes)[2], {.size = 4}))) {
        return context.fail("the boxes are not [batches, boxes, 4]");
    }
    if (scores && scores->size() != 3) return context.fail("the scores are not [batches, classes, boxes]");
    if (boxes && scores && (!may_equal((*boxes)[0], (*scores)[0]) || !may_equal((*boxes)[1], (*scores)[2]))) {
        return context.fail("boxes and scores do not belong together");
    }
    context.set_output(0, DType::I64, Dims{Dim{}, {.size = 3}});
    return {};
}

struct Box {
    float y0, x0, y1, x1;
    float area;
};

// Corners in any order, or a center with width and height.
Box make_box(const float* numbers, bool centered) {
    Box box{};
    if (centered) {
        const float half_width = numbers[2] / 2;
        const float half_height = numbers[3] / 2;
        box = {numbers[1] - half_height, numbers[0] - half_width, numbers[1] + half_height, numbers[0] + half_width, 0};
    } else {
        box = {std::min(numbers[0], numbers[2]), std::min(numbers[1], numbers[3]), std::max(numbers[0], numbers[2]),
               std::max(numbers[1], numbers[3]), 0};
    }
    box.area = (box.y1 - box.y0) * (box.x1 - box.x0);
    return box;
}

bool overlap(const Box& a, const Box& b, float threshold) {
    const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
    const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
    if (!(height > 0) || !(width > 0) || !(a.area > 0) || !(b.area > 0)) return false;
    const float common = height * width;
    return common / (a.area + b.area - common) > threshold;
}

template <class T>
T scalar(const ComputeContext& context, size_t index, T otherwise) {
    if (!context.has_input(index)) return otherwise;
    const auto values = context.input(index).as<const T>();
    return values.empty() ? otherwise : values[0];
}

Status compute_non_max_suppression(ComputeContext& context) {
    const Tensor& boxes = context.input(0);
    const Tensor& scores = context.input(1);
    const int64_t most = scalar<int64_t>(context, 2, 0);
    const auto overlap_threshold = scalar<float>(context, 3, 0.0F);
    const bool has_least = context.has_input(4);
    const auto least = scalar<float>(context, 4, 0.0F);
    const bool centered = context.node().integer("center_point_box", 0) != 0;
    const int64_t batches = scores.shape()[0];
    const int64_t classes = scores.shape()[1];
    const int64_t count = scores.shape()[2];

    std::vector<int64_t> found;  // batch, class, box
    std::vector<Box> made(static_cast<size_t>(count));
    std::vector<int64_t> order;
    std::vector<int64_t> kept;
    for (int64_t batch = 0; batch < batches && most > 0 && count > 0; ++batch) {
        for (int64_t index = 0; index < count; ++index) {
            made[static_cast<size_t>(index)] =
                make_box(boxes.as<const float>().data() + (batch * count + index) * 4, centered);
        }
        for (int64_t kind = 0; kind < classes; ++kind) {
            const float* const score = scores.as<const float>().data() + (batch * classes + kind) * count;
            order.clear();
            for (int64_t index = 0; index < count; ++index) {
                // A score that is no number is none.
                if (has_least ? score[index] > least : score[index] == score[index]) order.push_back(index);
            }
            std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return score[a] > score[b]; });
            kept.clear();
            for (const int64_t index : order) {
                if (static_cast<int64_t>(kept.size()) == most) break;
                const Box& box = made[static_cast<size_t>(index)];
                const bool hidden = std::ranges::any_of(kept, [&](int64_t other) {
                    return overlap(box, made[static_cast<size_t>(other)], overlap_threshold);
                });
                if (hidden) continue;
                kept.push_back(index);
                found.insert(found.end(), {batch, kind, index});
            }
        }
    }
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(0, DType::I64, {static_cast<int64_t>(found.size() / 3), 3}));
    std::ranges::copy(found, output.as<int64_t>().begin());
    return {};
}

}  // namespace

extern const OpImplementation kNonMaxSuppressionOp{infer_non_max_suppression, nullptr, compute_non_max_suppression};

}  // namespace quoin
