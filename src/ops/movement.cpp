#include "ops/movement.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "ops/axes.h"
#include "ops/element_types.h"

namespace quoin {
namespace {

constexpr int64_t kTaskBytes = int64_t{64} << 10;
constexpr int64_t kMostLines = 4;  // that are interleaved at once
constexpr int64_t kInterleavedPiece = 4096;
constexpr int64_t kTile = 32;  // two tiles of 4-byte elements are 8 KiB: both stay in the first cache

template <class T>
void copy_row(const T* source, int64_t count, T* target) {
    if constexpr (std::is_trivially_copyable_v<T>) {
        std::memcpy(target, source, static_cast<size_t>(count) * sizeof(T));
    } else {
        std::copy_n(source, count, target);
    }
}

// Element by element. Every second one, as where an image is taken apart into four, becomes vectors with the step a
// constant.
template <class T>
void copy_strided(const T* source, int64_t source_stride, int64_t count, T* target, int64_t target_stride) {
    if constexpr (std::is_trivially_copyable_v<T>) {
        if (source_stride == 2 && target_stride == 1) {
            const T* __restrict from = source;
            T* __restrict to = target;
            for (int64_t each = 0; each < count; ++each) to[each] = from[each * 2];
            return;
        }
    }
    for (int64_t each = 0; each < count; ++each) target[each * target_stride] = source[each * source_stride];
}

// Few lines side by side, as from planes to channels: with their number a constant the loop becomes vectors.
template <int kLines, class T>
void interleave(const T* __restrict source, int64_t line_stride, int64_t count, T* __restrict target) {
    for (int64_t each = 0; each < count; ++each) {
        for (int line = 0; line < kLines; ++line) target[each * kLines + line] = source[line * line_stride + each];
    }
}

template <class T>
void interleave(const T* source, int64_t lines, int64_t line_stride, int64_t count, T* target) {
    switch (lines) {
        case 2: return interleave<2>(source, line_stride, count, target);
        case 3: return interleave<3>(source, line_stride, count, target);
        default: return interleave<4>(source, line_stride, count, target);
    }
}

}  // namespace

bool is_movable(DType dtype) {
    return dtype == DType::String || (dtype != DType::Undefined && dtype_info(dtype).block_elements == 1);
}

void BoxCopy::add(int64_t dim, int64_t source_stride, int64_t target_stride) {
    if (dim == 1) return;
    if (rank_ != 0) {
        Axis& last = axes_[rank_ - 1];
        if (last.source == source_stride * dim && last.target == target_stride * dim) {
            last = {last.dim * dim, source_stride, target_stride};
            return;
        }
    }
    axes_[rank_++] = {dim, source_stride, target_stride};
}

void BoxCopy::finish(DType dtype) {
    dtype_ = dtype;
    const int64_t element_bytes = std::max<int32_t>(1, dtype_info(dtype).block_bytes);
    if (rank_ == 0) axes_[rank_++] = {1, 1, 1};
    inner_ = axes_[--rank_];
    kind_ = inner_.source == 1 && inner_.target == 1 ? Kind::Rows : Kind::Strided;
    if (kind_ == Kind::Strided && inner_.target == 1 && dtype != DType::String) {
        for (size_t axis = 0; axis < rank_; ++axis) {
            if (axes_[axis].source != 1) continue;
            kind_ = Kind::Tiles;
            second_ = axes_[axis];
            std::copy(axes_.begin() + static_cast<std::ptrdiff_t>(axis) + 1,
                      axes_.begin() + static_cast<std::ptrdiff_t>(rank_),
                      axes_.begin() + static_cast<std::ptrdiff_t>(axis));
            --rank_;
            break;
        }
    }
    const bool few = inner_.dim >= 2 && inner_.dim <= kMostLines;
    if (kind_ == Kind::Tiles && few && second_.target == inner_.dim) kind_ = Kind::Interleaved;
    choose(element_bytes);
}

void BoxCopy::choose(int64_t element_bytes) {
    if (kind_ == Kind::Tiles) {
        inner_piece_ = kTile;
        second_piece_ = kTile;
    } else if (kind_ == Kind::Interleaved) {
        inner_piece_ = kMostLines;
        second_piece_ = kInterleavedPiece;
    } else {
        inner_piece_ = std::max<int64_t>(1, kTaskBytes / element_bytes);
    }
    inner_pieces_ = task_count(inner_.dim, inner_piece_);
    second_pieces_ = task_count(second_.dim, second_piece_);
    units_ = inner_pieces_ * second_pieces_;
    for (size_t axis = 0; axis < rank_; ++axis) units_ *= axes_[axis].dim;
    const int64_t unit_bytes =
        std::min(inner_piece_, inner_.dim) * std::min(second_piece_, second_.dim) * element_bytes;
    grain_ = std::max<int64_t>(1, kTaskBytes / std::max<int64_t>(1, unit_bytes));
    tasks_ = task_count(units_, grain_);
}

template <class T>
void BoxCopy::run_units(int64_t begin, int64_t end, const T* source, T* target) const {
    source += source_offset_;
    target += target_offset_;
    const int64_t pieces = inner_pieces_ * second_pieces_;
    std::array<int64_t, kMostDims> index{};
    int64_t outer = begin / pieces;
    for (size_t axis = rank_; axis-- > 0;) {
        index[axis] = outer % axes_[axis].dim;
        outer /= axes_[axis].dim;
        source += index[axis] * axes_[axis].source;
        target += index[axis] * axes_[axis].target;
    }
    int64_t piece = begin % pieces;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t first = piece % inner_pieces_ * inner_piece_;
        const int64_t count = std::min(inner_piece_, inner_.dim - first);
        const T* const from = source + first * inner_.source;
        T* const to = target + first * inner_.target;
        switch (kind_) {
            case Kind::Rows: copy_row(from, count, to); break;
            case Kind::Strided: copy_strided(from, inner_.source, count, to, inner_.target); break;
            case Kind::Interleaved: {
                const int64_t second = piece / inner_pieces_ * second_piece_;
                const int64_t some = std::min(second_piece_, second_.dim - second);
                if constexpr (std::is_trivially_copyable_v<T>) {
                    interleave(from + second, inner_.dim, inner_.source, some, to + second * second_.target);
                }
                break;
            }
            case Kind::Tiles: {
                const int64_t second = piece / inner_pieces_ * second_piece_;
                const int64_t rows = std::min(second_piece_, second_.dim - second);
                for (int64_t row = 0; row < rows; ++row) {
                    const T* const column = from + second + row;
                    T* const line = to + (second + row) * second_.target;
                    for (int64_t each = 0; each < count; ++each) line[each] = column[each * inner_.source];
                }
                break;
            }
        }
        if (++piece < pieces) continue;
        piece = 0;
        for (size_t axis = rank_; axis-- > 0;) {
            source += axes_[axis].source;
            target += axes_[axis].target;
            if (++index[axis] < axes_[axis].dim) break;
            source -= index[axis] * axes_[axis].source;
            target -= index[axis] * axes_[axis].target;
            index[axis] = 0;
        }
    }
}

void BoxCopy::run(int64_t task, const std::byte* source, std::byte* target) const {
    const int64_t begin = task * grain_;
    const int64_t end = std::min(begin + grain_, units_);
    visit_sizes(dtype_, [&]<class T>() {
        run_units(begin, end, reinterpret_cast<const T*>(source), reinterpret_cast<T*>(target));
    });
}

Status require_movable(const TensorView& view) {
    if (is_movable(view.dtype)) return {};
    return error(StatusCode::Unsupported, "elements of the type ", dtype_name(view.dtype),
                 " cannot be moved one by one here");
}

Result<Work> BoxNode::plan(const Arguments& arguments, int /*threads*/) const {
    QUOIN_RETURN_IF_ERROR(require_movable(arguments.inputs[0]));
    return Work{.tasks = box(arguments).tasks()};
}

Status BoxNode::run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const {
    box(arguments).run(task, arguments.inputs[0].data, arguments.outputs[0].data);
    return {};
}

}  // namespace quoin
