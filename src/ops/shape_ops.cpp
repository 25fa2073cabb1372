// Cast (ONNX).
#include <algorithm>

#include "core/half.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

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

extern const OpImplementation kCastOp{infer_cast, prepare_cast};

}  // namespace quoin
