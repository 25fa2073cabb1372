// Reshape and Cast (ONNX).
#include <algorithm>

#include "core/half.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

// ---- Reshape: a view, no step ---------------------------------------------------------------------------------

// 0 copies the input's dim (unless allowzero), -1 takes what is left.
Status infer_reshape(InferContext& context) {
    const DType dtype = context.input(0).dtype;
    const std::optional<Result<Tensor>> target = context.constant(1);
    if (!target) {
        context.set_output(0, dtype, std::nullopt);
        return {};
    }
    if (!target->ok()) return target->status();
    if ((*target)->dtype() != DType::I64) return context.fail("the shape is not i64");
    const std::span<const int64_t> wanted = (*target)->as<int64_t>();
    const bool allow_zero = context.node().integer("allowzero", 0) != 0;
    const auto& dims = context.input(0).dims;
    if (wanted.size() > Shape::kMaxRank) return context.fail("the result has ", wanted.size(), " dimensions");

    std::vector<Dim> result(wanted.size());
    std::optional<size_t> inferred;
    for (size_t axis = 0; axis < wanted.size(); ++axis) {
        if (wanted[axis] == -1) {
            if (inferred) return context.fail("the shape has more than one -1");
            inferred = axis;
        } else if (wanted[axis] == 0 && !allow_zero) {
            if (dims && axis >= dims->size()) return context.fail("dimension ", axis, " to copy does not exist");
            if (dims) result[axis] = (*dims)[axis];
        } else if (wanted[axis] < 0) {
            return context.fail("the shape has the dimension ", wanted[axis]);
        } else {
            result[axis] = {.size = wanted[axis]};
        }
    }
    // Symbolic dims that stand on both sides cancel; what remains must be known to divide.
    const auto known = [](const Dim& dim) { return dim.known(); };
    if (dims && std::ranges::all_of(*dims, known)) {
        int64_t before = 1;
        int64_t after = 1;
        bool overflow = false;
        for (const Dim& dim : *dims) overflow = overflow || __builtin_mul_overflow(before, dim.size, &before);
        for (size_t axis = 0; axis < result.size(); ++axis) {
            if (axis != inferred) overflow = overflow || __builtin_mul_overflow(after, result[axis].size, &after);
        }
        if (overflow) return context.fail("the shape has too many elements");
        if (inferred && after != 0 && before % after == 0) {
            result[*inferred] = {.size = before / after};
        } else if (inferred || before != after) {
            return context.fail("cannot make ", after, " elements of ", before);
        }
    }
    context.set_output(0, dtype, std::move(result));
    return {};
}

// ---- Cast -----------------------------------------------------------------------------------------------------

bool is_float(DType dtype) {
    return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
}

float load_float(const TensorView& src, int64_t index) {
    switch (src.dtype) {
        case DType::F16: return f16_to_f32(src.as<uint16_t>()[index]);
        case DType::BF16: return bf16_to_f32(src.as<uint16_t>()[index]);
        default: return src.as<float>()[index];
    }
}

void store_float(const TensorView& dst, int64_t index, float value) {
    switch (dst.dtype) {
        case DType::F16: dst.as<uint16_t>()[index] = f32_to_f16(value); break;
        case DType::BF16: dst.as<uint16_t>()[index] = f32_to_bf16(value); break;
        default: dst.as<float>()[index] = value; break;
    }
}

class FloatCast final : public PreparedNode {
public:
    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return Work{.tasks = (arguments.outputs[0].elements() + kTaskElements - 1) / kTaskElements};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t begin = task * kTaskElements;
        const int64_t end = std::min(begin + kTaskElements, arguments.outputs[0].elements());
        for (int64_t index = begin; index < end; ++index) {
            store_float(arguments.outputs[0], index, load_float(arguments.inputs[0], index));
        }
        return {};
    }

private:
    static constexpr int64_t kTaskElements = 16384;
};

Status infer_cast(InferContext& context) {
    const auto target = dtype_from_number(static_cast<uint32_t>(context.node().integer("to", 0)));
    if (!target) return context.fail("'to' is no element type");
    context.set_output(0, *target, context.input(0).dims);
    return {};
}

Result<std::unique_ptr<PreparedNode>> prepare_cast(const PrepareContext& context) {
    const DType from = context.graph.value(context.node.inputs[0]).dtype;
    const DType to = context.graph.value(context.node.outputs[0]).dtype;
    if (!is_float(from) || !is_float(to)) {
        return context.fail(StatusCode::Unsupported, "no conversion from ", dtype_name(from), " to ", dtype_name(to));
    }
    return std::unique_ptr<PreparedNode>(std::make_unique<FloatCast>());
}

}  // namespace

extern const OpImplementation kReshapeOp{infer_reshape, nullptr};
extern const OpImplementation kCastOp{infer_cast, prepare_cast};

}  // namespace quoin
