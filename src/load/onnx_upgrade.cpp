#include "load/onnx_upgrade.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "load/onnx_contrib.h"
#include "load/onnx_convert.h"
#include "load/quoted.h"

namespace quoin::onnx {
namespace {

using Rule = Status (*)(NodeDraft&);

// ---- attributes that became inputs

// The list in attribute `key`, if it is there, as a constant input.
Status move_integers(NodeDraft& draft, std::string_view key, size_t input) {
    const std::optional<Attribute> value = draft.take(key);
    if (!value) return {};
    const auto* const integers = std::get_if<std::vector<int64_t>>(&*value);
    if (integers == nullptr) return draft.invalid("attribute '", key, "' is no list of integers");
    draft.set_input(input, draft.constant_of(*integers));
    return {};
}

// One number with the type of input 0.
Status move_number(NodeDraft& draft, std::string_view key, size_t input) {
    const std::optional<Attribute> value = draft.take(key);
    if (!value) return {};
    const auto* const number = std::get_if<double>(&*value);
    if (number == nullptr) return draft.invalid("attribute '", key, "' is no number");
    draft.set_input(input, draft.scalar_like(*number, draft.input(0)));
    return {};
}

Status axes_to_input(NodeDraft& draft) {
    // An empty list meant all axes, as no list does.
    if (draft.integers("axes") == std::vector<int64_t>()) draft.take("axes");
    return move_integers(draft, "axes", 1);
}

Status required_axes_to_input(NodeDraft& draft) {
    if (!draft.integers("axes")) return draft.invalid("the attribute 'axes' is missing");
    return move_integers(draft, "axes", 1);
}

Status clip_bounds_to_inputs(NodeDraft& draft) {
    const bool has_defaults = draft.version >= 6;
    constexpr double kLimit = std::numeric_limits<float>::max();
    if (has_defaults && draft.attribute("min") == nullptr) draft.set("min", -kLimit);
    if (has_defaults && draft.attribute("max") == nullptr) draft.set("max", kLimit);
    QUOIN_RETURN_IF_ERROR(move_number(draft, "min", 1));
    return move_number(draft, "max", 2);
}

Status slice_to_inputs(NodeDraft& draft) {
    if (!draft.integers("starts") || !draft.integers("ends")) {
        return draft.invalid("the attributes 'starts' and 'ends' are missing");
    }
    QUOIN_RETURN_IF_ERROR(move_integers(draft, "starts", 1));
    QUOIN_RETURN_IF_ERROR(move_integers(draft, "ends", 2));
    return move_integers(draft, "axes", 3);
}

Status split_to_input(NodeDraft& draft) {
    return move_integers(draft, "split", 1);
}

// They were an input before, too, with elements like those of the data.
Status split_sizes_as_integers(NodeDraft& draft) {
    if (!draft.has_input(1)) return {};
    draft.set_input(1, draft.add(Op::Cast, {draft.input(1)}, {{"to", static_cast<int64_t>(DType::I64)}}));
    return {};
}

// Before, the number of outputs alone said it.
Status count_split_outputs(NodeDraft& draft) {
    if (!draft.has_input(1)) draft.set("num_outputs", static_cast<int64_t>(draft.wanted.size()));
    return {};
}

Status pads_by_name(NodeDraft& draft) {
    if (std::optional<Attribute> pads = draft.take("paddings")) draft.set("pads", *std::move(pads));
    return {};
}

Status pads_to_inputs(NodeDraft& draft) {
    if (!draft.integers("pads")) return draft.invalid("the attribute 'pads' is missing");
    QUOIN_RETURN_IF_ERROR(move_integers(draft, "pads", 1));
    return move_number(draft, "value", 2);
}

Status shape_to_input(NodeDraft& draft) {
    if (!draft.integers("shape")) return draft.invalid("the attribute 'shape' is missing");
    return move_integers(draft, "shape", 1);
}

Status k_to_input(NodeDraft& draft) {
    const std::optional<Attribute> k = draft.take("k");
    const auto* const count = k ? std::get_if<int64_t>(&*k) : nullptr;
    if (count == nullptr) return draft.invalid("the attribute 'k' is missing");
    draft.set_input(1, draft.constant_of({*count}));
    return {};
}

Status dft_axis_to_input(NodeDraft& draft) {
    draft.set_input(2, draft.scalar(draft.integer("axis", 1)));
    draft.take("axis");
    return {};
}

// ---- other names and values for the same

Status concat_axis(NodeDraft& draft) {
    if (draft.attribute("axis") == nullptr) draft.set("axis", int64_t{1});
    return {};
}

Status cast_by_name(NodeDraft& draft) {
    using Names = std::pair<std::string_view, DType>;
    constexpr auto kNames = std::to_array<Names>({{"FLOAT", DType::F32},
                                                  {"UINT8", DType::U8},
                                                  {"INT8", DType::I8},
                                                  {"UINT16", DType::U16},
                                                  {"INT16", DType::I16},
                                                  {"INT32", DType::I32},
                                                  {"INT64", DType::I64},
                                                  {"STRING", DType::String},
                                                  {"BOOL", DType::Bool},
                                                  {"FLOAT16", DType::F16},
                                                  {"DOUBLE", DType::F64},
                                                  {"UINT32", DType::U32},
                                                  {"UINT64", DType::U64}});
    const std::string wanted = draft.string("to", "");
    const auto* const found = std::ranges::find(kNames, std::string_view(wanted), &Names::first);
    if (found == kNames.end()) return draft.unsupported("cannot cast to ", quoted(wanted));
    draft.set("to", static_cast<int64_t>(found->second));
    return {};
}

Status power_as_integer(NodeDraft& draft) {
    const double p = draft.number("p", 2.0);
    if (p != std::trunc(p) || std::abs(p) > 1e6) return draft.unsupported("the power p = ", p, " is no integer");
    draft.set("p", static_cast<int64_t>(p));
    return {};
}

Status selu_defaults(NodeDraft& draft) {
    if (draft.attribute("alpha") == nullptr) draft.set("alpha", static_cast<double>(1.6732F));
    if (draft.attribute("gamma") == nullptr) draft.set("gamma", static_cast<double>(1.0507F));
    return {};
}

Status half_pixels_by_default(NodeDraft& draft) {
    if (draft.attribute("coordinate_transformation_mode") == nullptr) {
        draft.set("coordinate_transformation_mode", std::string("output_half_pixel"));
    }
    return {};
}

Status grid_modes(NodeDraft& draft) {
    const std::string mode = draft.string("mode", "bilinear");
    draft.set("mode", mode == "bilinear" ? std::string("linear") : mode == "bicubic" ? std::string("cubic") : mode);
    return {};
}

Status scatter_elements(NodeDraft& draft) {
    draft.op_type = "ScatterElements";
    return {};
}

// The nearest element was the one before where a picture grows and the next one where it shrinks: ONNX's tests of that
// version say so. A picture that may do both does so in two steps.
Status resize_asymmetric(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    const std::string named = draft.string("mode", "nearest");
    const std::string mode = named == "bilinear" ? "linear" : named;
    const ValueId scales = draft.input(1);
    const std::optional<std::vector<float>> known = draft.constant_floats(scales);
    const auto any = [&](auto matches) { return !known || std::ranges::any_of(*known, matches); };
    const bool shrinks = mode == "nearest" && scales != kNoValue && any([](float scale) { return scale < 1; });
    const bool grows = any([](float scale) { return scale > 1; });
    const auto attributes = [&](const char* nearest_mode) {
        return Attributes{{"mode", mode},
                          {"coordinate_transformation_mode", std::string("asymmetric")},
                          {"nearest_mode", std::string(nearest_mode)}};
    };
    if (!shrinks || !grows) {
        for (auto& [key, value] : attributes(shrinks ? "ceil" : "floor")) draft.set(key, std::move(value));
        draft.inputs = {draft.input(0), kNoValue, scales};
        return {};
    }
    const ValueId one = draft.scalar_like(1, scales);
    const ValueId smaller =
        draft.add(Op::Resize, {draft.input(0), kNoValue, draft.add(Op::Min, {scales, one})}, attributes("ceil"));
    const ValueId larger =
        draft.add(Op::Resize, {smaller, kNoValue, draft.add(Op::Max, {scales, one})}, attributes("floor"));
    draft.finish({larger});
    return {};
}

// Files give empty tensors where there is nothing to give.
Status drop_empty_operands(NodeDraft& draft) {
    for (const size_t index : {size_t{1}, size_t{2}, size_t{3}}) {
        const ValueId id = draft.input(index);
        if (id == kNoValue || !draft.graph().value(id).constant) continue;
        if (draft.graph().value(id).constant->shape().element_count() == 0) draft.set_input(index, kNoValue);
    }
    return {};
}

Status forget(NodeDraft& draft, std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys) draft.take(key);
    return {};
}

Status forget_broadcast(NodeDraft& draft) {
    return forget(draft, {"broadcast"});
}

Status forget_output_sequence(NodeDraft& draft) {
    return forget(draft, {"output_sequence"});
}

Status forget_consumed_inputs(NodeDraft& draft) {
    return forget(draft, {"consumed_inputs"});
}

// Inference passes its input on. The mask had the type of the data at first.
Status dropout_without_training(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(forget(draft, {"is_test", "ratio"}));
    if (draft.wanted.size() < 2 || !draft.wanted[1]) return {};
    const std::vector<ValueId> made = draft.add_many(Op::Dropout, {draft.input(0)}, 2);
    const ValueId mask = draft.version < 10 ? draft.add(Op::CastLike, {made[1], draft.input(0)}) : made[1];
    draft.finish({made[0], mask});
    return {};
}

Status batch_normalization_for_inference(NodeDraft& draft) {
    for (size_t index = 1; index < draft.wanted.size(); ++index) {
        if (draft.wanted[index]) return draft.unsupported("the outputs of training are not known here");
    }
    draft.wanted.resize(std::min<size_t>(draft.wanted.size(), 1));
    return forget(draft, {"is_test", "momentum"});
}

struct Upgrade {
    std::string_view op;
    int64_t before;  // applies to versions below
    Rule rule;
};

// For one operator in the order of the versions.
constexpr auto kUpgrades = std::to_array<Upgrade>({
    {"Add", 7, broadcast_from_axis},
    {"And", 7, broadcast_from_axis},
    {"BatchNormalization", 14, batch_normalization_for_inference},
    {"BatchNormalization", 9, affine_normalization},
    {"Cast", 6, cast_by_name},
    {"Clip", 11, clip_bounds_to_inputs},
    {"Concat", 4, concat_axis},
    {"DFT", 20, dft_axis_to_input},
    {"Div", 7, broadcast_from_axis},
    {"Dropout", 12, dropout_without_training},
    {"Equal", 7, broadcast_from_axis},
    {"GRU", 7, forget_output_sequence},
    {"Gemm", 7, forget_broadcast},
    {"GlobalLpPool", 2, power_as_integer},
    {"Greater", 7, broadcast_from_axis},
    {"GridSample", 20, grid_modes},
    {"GroupNormalization", 21, expand_group_scale},
    {"Hardmax", 13, flatten_softmax},
    {"LSTM", 7, forget_output_sequence},
    {"Less", 7, broadcast_from_axis},
    {"LogSoftmax", 13, flatten_softmax},
    {"LpPool", 2, power_as_integer},
    {"Mul", 7, broadcast_from_axis},
    {"Or", 7, broadcast_from_axis},
    {"PRelu", 7, slope_by_channel},
    {"Pad", 2, pads_by_name},
    {"Pad", 11, pads_to_inputs},
    {"Pow", 7, broadcast_from_axis},
    {"RNN", 7, forget_output_sequence},
    {"ReduceL1", 18, axes_to_input},
    {"ReduceL2", 18, axes_to_input},
    {"ReduceLogSum", 18, axes_to_input},
    {"ReduceLogSumExp", 18, axes_to_input},
    {"ReduceMax", 18, axes_to_input},
    {"ReduceMean", 18, axes_to_input},
    {"ReduceMin", 18, axes_to_input},
    {"ReduceProd", 18, axes_to_input},
    {"ReduceSum", 13, axes_to_input},
    {"ReduceSumSquare", 18, axes_to_input},
    {"Reshape", 5, shape_to_input},
    {"Resize", 11, resize_asymmetric},
    {"Resize", std::numeric_limits<int64_t>::max(), drop_empty_operands},
    {"RoiAlign", 16, half_pixels_by_default},
    {"Scan", 9, scan_batches},
    {"Scatter", 12, scatter_elements},
    {"Selu", 6, selu_defaults},
    {"Slice", 10, slice_to_inputs},
    {"Softmax", 13, flatten_softmax},
    {"Split", 2, split_sizes_as_integers},
    {"Split", 13, split_to_input},
    {"Split", 18, count_split_outputs},
    {"Squeeze", 13, axes_to_input},
    {"Sub", 7, broadcast_from_axis},
    {"Tile", 6, tile_one_axis},
    {"TopK", 10, k_to_input},
    {"Unsqueeze", 13, required_axes_to_input},
    {"Upsample", 11, upsample},
    {"Xor", 7, broadcast_from_axis},
});
static_assert(std::ranges::is_sorted(kUpgrades, {}, &Upgrade::op));

}  // namespace

Status upgrade(NodeDraft& draft) {
    if (draft.version < 7) QUOIN_RETURN_IF_ERROR(forget_consumed_inputs(draft));
    const std::string op = draft.op_type;
    const auto* each = std::ranges::lower_bound(kUpgrades, std::string_view(op), {}, &Upgrade::op);
    for (; each != kUpgrades.end() && each->op == op; ++each) {
        if (draft.version < each->before && !draft.results()) QUOIN_RETURN_IF_ERROR(each->rule(draft));
    }
    return {};
}

}  // namespace quoin::onnx
