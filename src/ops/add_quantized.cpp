// AddQuantized (quoin).
//
// AddQuantized(a, b?) {a_scale, b_scale, offset, to, lowest, highest} -> round(a * a_scale + b * b_scale + offset),
// halves to even, within lowest..highest: u8 or i8 tensors of one shape, added or brought to another scale.
#include <algorithm>

#include "core/rounding.h"
#include "ops/op_kernel.h"

namespace quoin {
namespace {

constexpr int64_t kTaskElements = 32768;
constexpr int64_t kReplicatedElements = 8192;

DType result_type(const Node& node) {
    return dtype_from_number(static_cast<uint32_t>(node.integer("to", 0))).value_or(DType::Undefined);
}

Status infer_add_quantized(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::U8, DType::I8}));
    if (context.has_input(1)) QUOIN_RETURN_IF_ERROR(context.expect_dtype(1, {DType::U8, DType::I8}));
    const DType to = result_type(context.node());
    if (to != DType::U8 && to != DType::I8) return context.fail("'to' is no 8-bit type");
    const auto& a = context.input(0).dims;
    if (context.has_input(1) && context.input(0).is_static() && context.input(1).is_static() &&
        *a != *context.input(1).dims) {
        return context.fail("the summands differ in shape");
    }
    context.set_output(0, to, a);
    return {};
}

class AddQuantized final : public PreparedNode {
public:
    AddQuantized(const Node& node, decltype(KernelTable::add_quantized) kernel) : kernel_(kernel) {
        const bool is_signed = result_type(node) == DType::I8;
        args_.dst_signed = is_signed;
        args_.a_scale = static_cast<float>(node.number("a_scale", 1));
        args_.b_scale = static_cast<float>(node.number("b_scale", 1));
        args_.offset = static_cast<float>(node.number("offset", 0));
        const int64_t least = is_signed ? -128 : 0;
        args_.lowest = static_cast<int32_t>(std::max(node.integer("lowest", least), least));
        args_.highest = static_cast<int32_t>(std::min(node.integer("highest", least + 255), least + 255));
    }

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const int64_t elements = arguments.outputs[0].elements();
        return Work{.tasks = divide_up(elements, kTaskElements), .replicated = elements <= kReplicatedElements};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const int64_t begin = task * kTaskElements;
        AddQuantizedArgs args = args_;
        args.a = arguments.inputs[0].data + begin;
        args.a_signed = arguments.inputs[0].dtype == DType::I8;
        if (arguments.inputs.size() > 1 && arguments.inputs[1].dtype != DType::Undefined) {
            args.b = arguments.inputs[1].data + begin;
            args.b_signed = arguments.inputs[1].dtype == DType::I8;
        }
        args.count = std::min(kTaskElements, arguments.outputs[0].elements() - begin);
        args.dst = arguments.outputs[0].data + begin;
        kernel_(args);
        return {};
    }

    std::string label() const override { return "add_quantized"; }

private:
    decltype(KernelTable::add_quantized) kernel_;
    AddQuantizedArgs args_{};
};

Result<std::unique_ptr<PreparedNode>> prepare_add_quantized(const PrepareContext& context) {
    return std::unique_ptr<PreparedNode>(std::make_unique<AddQuantized>(context.node, context.kernels().add_quantized));
}

}  // namespace

extern const OpImplementation kAddQuantizedOp{infer_add_quantized, prepare_add_quantized};

}  // namespace quoin
