// Add, Mul, Swish (ONNX).
#include <algorithm>
#include <cmath>

#include "ops/infer_rules.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

constexpr int64_t kTaskElements = 8192;  // 32 KiB in, 32 KiB out: a task costs more than handing it out

using BinaryKernel = void (*)(const float* a, const float* b, int64_t count, float* dst);

// Element offsets of an operand for the row-major index of the broadcast result; stride 0 along broadcast dims.
class BroadcastStrides {
public:
    BroadcastStrides(const Shape& operand, const Shape& result) {
        int64_t stride = 1;
        for (size_t back = 1; back <= operand.rank(); ++back) {
            const int64_t dim = operand[operand.rank() - back];
            strides_[result.rank() - back] = dim == 1 ? 0 : stride;
            stride *= dim;
        }
    }
    int64_t offset(const Shape& result, int64_t index) const {
        int64_t offset = 0;
        for (size_t axis = result.rank(); axis-- > 0;) {
            offset += index % result[axis] * strides_[axis];
            index /= result[axis];
        }
        return offset;
    }

private:
    std::array<int64_t, Shape::kMaxRank> strides_{};
};

class Binary final : public PreparedNode {
public:
    explicit Binary(BinaryKernel kernel) : kernel_(kernel) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        // A task is some whole rows of the last axis, or a piece of one flat run where nothing is broadcast.
        const TensorView& dst = arguments.outputs[0];
        const bool flat = arguments.inputs[0].shape == dst.shape && arguments.inputs[1].shape == dst.shape;
        const int64_t unit = flat ? 1 : std::max<int64_t>(1, dst.columns());
        const int64_t grain = std::max<int64_t>(1, kTaskElements / unit);
        const int64_t units = flat ? dst.elements() : dst.rows();
        return Work{.tasks = (units + grain - 1) / grain, .grain = {grain, flat ? 1 : 0}};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const TensorView& a = arguments.inputs[0];
        const TensorView& b = arguments.inputs[1];
        const TensorView& dst = arguments.outputs[0];
        const int64_t begin = task * arguments.work.grain[0];
        if (arguments.work.grain[1] == 1) {
            const int64_t count = std::min(arguments.work.grain[0], dst.elements() - begin);
            kernel_(a.as<float>() + begin, b.as<float>() + begin, count, dst.as<float>() + begin);
            return {};
        }
        const BroadcastStrides a_strides(a.shape, dst.shape);
        const BroadcastStrides b_strides(b.shape, dst.shape);
        const int64_t columns = dst.columns();
        const int64_t end = std::min(begin + arguments.work.grain[0], dst.rows());
        for (int64_t row = begin; row < end; ++row) {
            const float* const left = a.as<float>() + a_strides.offset(dst.shape, row * columns);
            const float* const right = b.as<float>() + b_strides.offset(dst.shape, row * columns);
            float* const out = dst.as<float>() + row * columns;
            const bool left_row = a.columns() == columns;
            const bool right_row = b.columns() == columns;
            if (left_row && right_row) {
                kernel_(left, right, columns, out);
                continue;
            }
            for (int64_t column = 0; column < columns; ++column) {
                kernel_(left + (left_row ? column : 0), right + (right_row ? column : 0), 1, out + column);
            }
        }
        return {};
    }

private:
    BinaryKernel kernel_;
};

Status require_f32(const PrepareContext& context) {
    const DType dtype = context.graph.value(context.node.outputs[0]).dtype;
    if (dtype == DType::F32) return {};
    return context.fail(StatusCode::Unsupported, "no implementation for the element type ", dtype_name(dtype));
}

Result<std::unique_ptr<PreparedNode>> prepare_add(const PrepareContext& context) {
    QUOIN_RETURN_IF_ERROR(require_f32(context));
    return std::unique_ptr<PreparedNode>(std::make_unique<Binary>(context.kernels().add));
}

Result<std::unique_ptr<PreparedNode>> prepare_mul(const PrepareContext& context) {
    QUOIN_RETURN_IF_ERROR(require_f32(context));
    return std::unique_ptr<PreparedNode>(std::make_unique<Binary>(context.kernels().multiply));
}

// x * sigmoid(alpha * x)
class Swish final : public PreparedNode {
public:
    explicit Swish(decltype(KernelTable::silu) kernel) : kernel_(kernel) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = (arguments.outputs[0].elements() + kTaskElements - 1) / kTaskElements};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t begin = task * kTaskElements;
        const int64_t count = std::min(kTaskElements, arguments.outputs[0].elements() - begin);
        kernel_(arguments.inputs[0].as<float>() + begin, count, arguments.outputs[0].as<float>() + begin);
        return {};
    }

private:
    decltype(KernelTable::silu) kernel_;
};

Result<std::unique_ptr<PreparedNode>> prepare_swish(const PrepareContext& context) {
    QUOIN_RETURN_IF_ERROR(require_f32(context));
    const double alpha = context.node.number("alpha", 1.0);
    if (alpha != 1.0) return context.fail(StatusCode::Unsupported, "alpha = ", alpha, "; only 1 is implemented");
    return std::unique_ptr<PreparedNode>(std::make_unique<Swish>(context.kernels().silu));
}

}  // namespace

extern const OpImplementation kAddOp{infer_broadcast, prepare_add};
extern const OpImplementation kMulOp{infer_broadcast, prepare_mul};
extern const OpImplementation kSwishOp{infer_same_as_first, prepare_swish};

}  // namespace quoin
