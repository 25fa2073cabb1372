// Copies between dense tensors that visit the elements in another order: what Transpose, Slice, Expand, Concat and the
// like are made of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/status.h"
#include "ops/op_kernel.h"

namespace quoin {

// A box of elements: for each index of `dims` one element moves from source + index * source strides to target + index
// * target strides. Strides and offsets count elements; a source stride may be 0 (repeat) or negative.
class BoxCopy {
public:
    static constexpr size_t kMostDims = 2 * Shape::kMaxRank;

    BoxCopy() = default;
    explicit BoxCopy(int64_t source_offset, int64_t target_offset = 0)
        : source_offset_(source_offset), target_offset_(target_offset) {}

    // Outermost first; in the order of the target's memory it is fastest.
    void add(int64_t dim, int64_t source_stride, int64_t target_stride);
    // Joins what is contiguous and chooses how to copy. To be called once, after the last add().
    void finish(DType dtype);

    // How many tasks make a task worth its handing out. The box is copied when all of them have run, in any order.
    int64_t tasks() const { return tasks_; }
    void run(int64_t task, const std::byte* source, std::byte* target) const;
    void run_all(const std::byte* source, std::byte* target) const {
        for (int64_t task = 0; task < tasks_; ++task) run(task, source, target);
    }

private:
    enum class Kind : uint8_t { Rows, Tiles, Interleaved, Strided };
    struct Axis {
        int64_t dim;
        int64_t source;
        int64_t target;
    };

    template <class T>
    void run_units(int64_t begin, int64_t end, const T* source, T* target) const;
    void choose(int64_t element_bytes);

    std::array<Axis, kMostDims> axes_{};
    size_t rank_ = 0;
    int64_t source_offset_ = 0;
    int64_t target_offset_ = 0;
    DType dtype_ = DType::Undefined;
    Kind kind_ = Kind::Rows;
    Axis inner_{1, 1, 1};  // the last axis, in pieces of inner_piece_
    Axis second_{
        1, 0,
        0};  // of tiles and interleaved lines: the axis that is contiguous in the source, in pieces of second_piece_
    int64_t inner_piece_ = 1;
    int64_t inner_pieces_ = 1;
    int64_t second_piece_ = 1;
    int64_t second_pieces_ = 1;
    int64_t units_ = 0;
    int64_t grain_ = 1;
    int64_t tasks_ = 0;
};

// Whether a BoxCopy can move these: all but types that put several elements into a byte.
bool is_movable(DType dtype);

// A node that is one BoxCopy from input 0 to output 0.
class BoxNode : public PreparedNode {
public:
    Result<Work> plan(const Arguments& arguments, int threads) const override;
    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override;

protected:
    // Finished. `arguments` has bytes only while the node runs; the shape of the box does not depend on them.
    virtual BoxCopy box(const Arguments& arguments) const = 0;
};

// A node of a class that is made from the graph's node alone; none where the elements cannot be moved one by one.
template <class MovingNode>
Result<std::unique_ptr<PreparedNode>> prepare_movable(const PrepareContext& context) {
    const DType dtype = context.graph.value(context.node.inputs[0]).dtype;
    if (is_block_format(dtype)) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ", dtype_name(dtype));
    }
    if (dtype != DType::Undefined && !is_movable(dtype)) return std::unique_ptr<PreparedNode>();
    return std::unique_ptr<PreparedNode>(std::make_unique<MovingNode>(context.node));
}

// For a plan(): an element type that became known only now may be one that cannot be moved.
Status require_movable(const TensorView& view);

}  // namespace quoin
