#include "ops/infer_rules.h"

namespace quoin {

Status infer_same_as_first(InferContext& context) {
    context.set_output(0, context.input(0).dtype, context.input(0).dims);
    return {};
}

Result<DType> common_dtype(const InferContext& context, size_t first, size_t count) {
    DType common = DType::Undefined;
    for (size_t index = first; index < first + count; ++index) {
        const DType dtype = context.input(index).dtype;
        if (dtype == DType::Undefined || dtype == common) continue;
        if (common != DType::Undefined) {
            return context.fail("the inputs have different element types, ", dtype_name(common), " and ",
                                dtype_name(dtype));
        }
        common = dtype;
    }
    return common;
}

}  // namespace quoin
