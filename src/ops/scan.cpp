// Scan (ONNX): a body run once for each slice of its scan inputs.
#include <algorithm>
#include <optional>

#include "ops/axes.h"
#include "ops/bodies.h"
#include "ops/movement.h"

namespace quoin {
namespace {

using Dims = std::vector<Dim>;

// Inputs: states, scan inputs, captures. The body makes the states and a slice of each scan output.
struct ScanCounts {
    size_t states;
    size_t scan_inputs;
    size_t scan_outputs;
};

template <class Context>
Result<ScanCounts> scan_counts(const Context& context, const Graph& body) {
    const auto captures = static_cast<size_t>(std::max<int64_t>(0, context.node().integer("captures", 0)));
    const int64_t scans = context.node().integer("num_scan_inputs", 0);
    if (context.input_count() < captures) return context.fail("it has fewer inputs than its body captures");
    const size_t own = context.input_count() - captures;
    if (scans <= 0 || static_cast<size_t>(scans) > own) return context.fail("'num_scan_inputs' is ", scans);
    const size_t states = own - static_cast<size_t>(scans);
    if (body.inputs().size() != context.input_count() || body.outputs().size() != context.output_count() ||
        context.output_count() < states) {
        return context.fail("the inputs and outputs of its body are not those it calls for");
    }
    return ScanCounts{states, static_cast<size_t>(scans), context.output_count() - states};
}

// The entry of a list attribute; 0 where it is absent or too short.
int64_t listed(const Node& node, std::string_view key, size_t index) {
    const std::vector<int64_t>* const list = list_attribute(node, key);
    return list == nullptr || index >= list->size() ? 0 : (*list)[index];
}

Status infer_scan(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Graph* const body, require_body(context, "body"));
    QUOIN_ASSIGN_OR_RETURN(const ScanCounts counts, scan_counts(context, *body));
    Dim length;
    for (size_t index = 0; index < counts.scan_inputs; ++index) {
        const auto& dims = context.input(counts.states + index).dims;
        if (!dims) continue;
        QUOIN_ASSIGN_OR_RETURN(const size_t axis,
                               require_axis(context, listed(context.node(), "scan_input_axes", index), dims->size()));
        if (!length.known()) length = (*dims)[axis];
    }
    for (size_t index = 0; index < counts.states; ++index) {
        const ValueType type = common_type(context.input(index), output_type(*body, index));
        context.set_output(index, type.dtype, type.dims);
    }
    for (size_t index = 0; index < counts.scan_outputs; ++index) {
        ValueType type = output_type(*body, counts.states + index);
        if (type.dims) {
            const int64_t wanted = listed(context.node(), "scan_output_axes", index);
            QUOIN_ASSIGN_OR_RETURN(const size_t axis, require_axis(context, wanted, type.dims->size() + 1));
            type.dims->insert(type.dims->begin() + static_cast<std::ptrdiff_t>(axis), length);
        }
        context.set_output(counts.states + index, type.dtype, type.dims);
    }
    return {};
}

// One step of a scan input. Slices of the first axis are parts of the whole.
Result<RuntimeValue> slice_of(ComputeContext& context, const Tensor& whole, size_t axis, int64_t step) {
    const Shape& shape = whole.shape();
    Shape part;
    for (size_t each = 0; each < shape.rank(); ++each) {
        if (each != axis) part.push_back(shape[each]);
    }
    const int64_t inner = product(shape, axis + 1, shape.rank());
    const int64_t outer = product(shape, 0, axis);
    if (outer == 1) {
        const size_t bytes = whole.byte_size() / static_cast<size_t>(shape[axis]);
        std::byte* const first = whole.data() + bytes * static_cast<size_t>(step);
        return RuntimeValue(Tensor(whole.dtype(), part, first, bytes, whole.owner()));
    }
    QUOIN_ASSIGN_OR_RETURN(Tensor slice,
                           Tensor::allocate(context.runtime().memory, whole.dtype(), part, context.node().name));
    BoxCopy box(step * inner);
    box.add(outer, shape[axis] * inner, inner);
    box.add(inner, 1, 1);
    box.finish(whole.dtype());
    box.run_all(whole.data(), slice.data());
    return RuntimeValue(std::move(slice));
}

// A scan output as it is made, slice by slice.
struct ScanOutput {
    std::optional<Tensor> tensor;
    size_t axis = 0;
    bool backwards = false;
};

Status begin_output(ComputeContext& context, size_t index, const ScanCounts& counts, DType dtype, const Shape& slice,
                    int64_t length, ScanOutput& output) {
    QUOIN_ASSIGN_OR_RETURN(output.axis,
                           require_axis(context, listed(context.node(), "scan_output_axes", index), slice.rank() + 1));
    if (slice.rank() + 1 > Shape::kMaxRank) return context.fail("a result has ", slice.rank() + 1, " dimensions");
    output.backwards = listed(context.node(), "scan_output_directions", index) != 0;
    Shape shape;
    for (size_t each = 0; each <= slice.rank(); ++each) {
        shape.push_back(each == output.axis ? length : slice[each < output.axis ? each : each - 1]);
    }
    QUOIN_ASSIGN_OR_RETURN(output.tensor, context.output(counts.states + index, dtype, shape));
    return {};
}

Status write_slice(ComputeContext& context, const RuntimeValue& value, int64_t step, int64_t length,
                   const ScanOutput& output) {
    const Shape& shape = output.tensor->shape();
    const Tensor& slice = value.tensor();
    bool fits =
        value.is_tensor() && slice.dtype() == output.tensor->dtype() && slice.shape().rank() + 1 == shape.rank();
    for (size_t each = 0; fits && each < slice.shape().rank(); ++each) {
        fits = slice.shape()[each] == shape[each < output.axis ? each : each + 1];
    }
    if (!fits) return context.fail("step ", step, " made something unlike the steps before it");
    const int64_t inner = product(shape, output.axis + 1, shape.rank());
    BoxCopy box(0, (output.backwards ? length - 1 - step : step) * inner);
    box.add(product(shape, 0, output.axis), inner, length * inner);
    box.add(inner, 1, 1);
    box.finish(slice.dtype());
    box.run_all(slice.data(), output.tensor->data());
    return {};
}

Status compute_scan(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const Graph* const body, require_body(context, "body"));
    QUOIN_ASSIGN_OR_RETURN(const ScanCounts counts, scan_counts(context, *body));
    std::vector<size_t> axes;
    int64_t length = -1;
    for (size_t index = 0; index < counts.scan_inputs; ++index) {
        const Tensor& input = context.input(counts.states + index);
        if (!is_movable(input.dtype())) {
            return context.fail(StatusCode::Unsupported, "no implementation for the element type ",
                                dtype_name(input.dtype()));
        }
        const int64_t wanted = listed(context.node(), "scan_input_axes", index);
        QUOIN_ASSIGN_OR_RETURN(const size_t axis, require_axis(context, wanted, input.shape().rank()));
        axes.push_back(axis);
        if (length >= 0 && input.shape()[axis] != length) return context.fail("the scan inputs differ in length");
        length = input.shape()[axis];
    }
    std::vector<RuntimeValue> inputs(
        context.inputs().begin(),
        context.inputs().begin() + static_cast<std::ptrdiff_t>(counts.states + counts.scan_inputs));
    std::vector<ScanOutput> outputs(counts.scan_outputs);
    for (int64_t step = 0; step < length; ++step) {
        for (size_t index = 0; index < counts.scan_inputs; ++index) {
            const bool backwards = listed(context.node(), "scan_input_directions", index) != 0;
            QUOIN_ASSIGN_OR_RETURN(inputs[counts.states + index],
                                   slice_of(context, context.input(counts.states + index), axes[index],
                                            backwards ? length - 1 - step : step));
        }
        QUOIN_ASSIGN_OR_RETURN(std::vector<RuntimeValue> results, context.run_body("body", inputs));
        for (size_t index = 0; index < counts.states; ++index) inputs[index] = std::move(results[index]);
        for (size_t index = 0; index < counts.scan_outputs; ++index) {
            const RuntimeValue& slice = results[counts.states + index];
            if (!slice.is_tensor() || !is_movable(slice.dtype())) {
                return context.fail("scan output ", index, " cannot be made of what the body returns");
            }
            if (!outputs[index].tensor) {
                QUOIN_RETURN_IF_ERROR(begin_output(context, index, counts, slice.dtype(), slice.tensor().shape(),
                                                   length, outputs[index]));
            }
            QUOIN_RETURN_IF_ERROR(write_slice(context, slice, step, length, outputs[index]));
        }
    }
    for (size_t index = 0; index < counts.states; ++index) {
        QUOIN_RETURN_IF_ERROR(context.set_output(index, std::move(inputs[index])));
    }
    for (size_t index = 0; index < counts.scan_outputs && length == 0; ++index) {
        const ValueType type = output_type(*body, counts.states + index);
        Shape slice;
        for (const Dim& dim : type.dims.value_or(Dims())) slice.push_back(std::max<int64_t>(0, dim.size));
        const DType dtype = type.dtype == DType::Undefined ? DType::F32 : type.dtype;
        QUOIN_RETURN_IF_ERROR(begin_output(context, index, counts, dtype, slice, 0, outputs[index]));
    }
    return {};
}

}  // namespace

extern const OpImplementation kScanOp{infer_scan, nullptr, compute_scan};

}  // namespace quoin
