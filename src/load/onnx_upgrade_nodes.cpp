// Changes of meaning between versions of ONNX that need more than one node of today.
#include <algorithm>

#include "load/onnx_contrib.h"
#include "load/onnx_upgrade.h"

namespace quoin::onnx {
namespace {

// [n] of ones, where n is a scalar or [1] tensor of i64.
ValueId ones(NodeDraft& draft, ValueId count) {
    const ValueId shape = draft.add(Op::Reshape, {count, draft.constant_of({1})});
    return draft.add(Op::ConstantOfShape, {shape}, {{"value", tensor_of(std::vector<int64_t>{1})}});
}

// The rank of a tensor, [1].
ValueId rank_of(NodeDraft& draft, ValueId tensor) {
    if (const std::optional<size_t> known = draft.rank(tensor)) {
        return draft.constant_of({static_cast<int64_t>(*known)});
    }
    return draft.add(Op::Shape, {draft.add(Op::Shape, {tensor})});
}

// Makes the draft's op of its inputs.
ValueId same_op(NodeDraft& draft, std::vector<ValueId> inputs) {
    return draft.add(*find_op("onnx", draft.op_type), std::move(inputs), draft.attributes);
}

}  // namespace

// Softmax was that of a matrix: the dims before `axis` are its rows, all others its columns.
Status flatten_softmax(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    const int64_t axis = draft.integer("axis", 1);
    draft.set("axis", int64_t{-1});
    const std::optional<size_t> rank = draft.rank(draft.input(0));
    if (axis == -1 || (rank && axis + 1 == static_cast<int64_t>(*rank))) return {};
    const ValueId shape = draft.add(Op::Shape, {draft.input(0)});
    const ValueId matrix = draft.add(Op::Flatten, {draft.input(0)}, {{"axis", axis}});
    draft.finish({draft.add(Op::Reshape, {same_op(draft, {matrix}), shape}, {{"allowzero", int64_t{1}}})});
    return {};
}

// B's first dim stands below dim `axis` of A; ones are put behind it until today's rule does the same.
Status broadcast_from_axis(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    const bool broadcast = draft.integer("broadcast", 0) != 0;
    draft.take("broadcast");
    const std::optional<Attribute> taken = draft.take("axis");
    const auto* const axis = taken ? std::get_if<int64_t>(&*taken) : nullptr;
    if (!broadcast || axis == nullptr) return {};
    const ValueId a = draft.input(0);
    const ValueId b = draft.input(1);
    const ValueId b_shape = draft.add(Op::Shape, {b});
    ValueId missing = draft.add(Op::Sub, {rank_of(draft, a), rank_of(draft, b)});
    ValueId begin = draft.constant_of({*axis});
    if (*axis < 0) begin = draft.add(Op::Add, {begin, rank_of(draft, a)});
    missing = draft.add(Op::Sub, {missing, begin});
    draft.set_input(
        1, draft.add(Op::Reshape, {b, concat(draft, {b_shape, ones(draft, missing)}, 0)}, {{"allowzero", int64_t{1}}}));
    return {};
}

// One slope for each channel, which is dim 1, or one for all.
Status slope_by_channel(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 2));
    if (draft.rank(draft.input(1)) == 0) return {};
    const ValueId behind = draft.add(Op::Sub, {rank_of(draft, draft.input(0)), draft.constant_of({2})});
    const ValueId shape = concat(draft, {draft.constant_of({-1}), ones(draft, behind)}, 0);
    draft.set_input(1, draft.add(Op::Reshape, {draft.input(1), shape}));
    return {};
}

// With spatial = 0, mean and variance have the shape of one element of the batch and broadcast over it.
Status affine_normalization(NodeDraft& draft) {
    const bool spatial = draft.integer("spatial", 1) != 0;
    draft.take("spatial");
    if (spatial) return {};
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 5));
    const ValueId x = draft.input(0);
    const ValueId epsilon = draft.scalar_like(draft.number("epsilon", 1e-5), x);
    const ValueId deviation = draft.add(Op::Sqrt, {draft.add(Op::Add, {draft.input(4), epsilon})});
    const ValueId centered = draft.add(Op::Sub, {x, draft.input(3)});
    const ValueId scaled = draft.add(Op::Mul, {draft.add(Op::Div, {centered, deviation}), draft.input(1)});
    draft.finish({draft.add(Op::Add, {scaled, draft.input(2)})});
    return {};
}

Status upsample(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 1));
    ValueId scales = draft.input(1);
    if (draft.version < 7) {
        const auto height = static_cast<float>(draft.number("height_scale", 0));
        const auto width = static_cast<float>(draft.number("width_scale", 0));
        scales = draft.constant(tensor_of(std::vector<float>{1, 1, height, width}));
    } else if (const Attribute* const found = draft.attribute("scales")) {
        const auto* const list = std::get_if<std::vector<double>>(found);
        if (list == nullptr) return draft.invalid("attribute 'scales' is no list of numbers");
        scales = draft.constant(tensor_of(std::vector<float>(list->begin(), list->end())));
    }
    if (scales == kNoValue) return draft.invalid("the scales are missing");
    const std::string mode = draft.string("mode", "nearest");
    draft.op_type = "Resize";
    draft.inputs = {draft.input(0), kNoValue, scales};
    draft.attributes = {{"mode", mode == "bilinear" ? std::string("linear") : mode},
                        {"coordinate_transformation_mode", std::string("asymmetric")},
                        {"nearest_mode", std::string("floor")}};
    return {};
}

// Inputs were the number of copies and the one axis along which they stand.
Status tile_one_axis(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    const auto one_integer = [&](ValueId id) {
        const ValueId integer = draft.add(Op::Cast, {id}, {{"to", static_cast<int64_t>(DType::I64)}});
        return draft.add(Op::Reshape, {integer, draft.constant_of({1})});
    };
    const ValueId tiles = one_integer(draft.input(1));
    const ValueId axis = one_integer(draft.input(2));
    const ValueId once = ones(draft, rank_of(draft, draft.input(0)));
    draft.inputs = {draft.input(0), draft.add(Op::ScatterElements, {once, axis, tiles})};
    return {};
}

Status expand_group_scale(NodeDraft& draft) {
    QUOIN_RETURN_IF_ERROR(expect_inputs(draft, 3));
    const int64_t groups = draft.integer("num_groups", 0);
    if (groups < 1) return draft.invalid("num_groups = ", groups);
    const ValueId channels = draft.add(Op::Shape, {draft.input(0)}, {{"start", int64_t{1}}, {"end", int64_t{2}}});
    const ValueId group_count = draft.constant_of({groups});
    const ValueId shape = concat(draft, {group_count, draft.add(Op::Div, {channels, group_count})}, 0);
    for (const size_t index : {size_t{1}, size_t{2}}) {
        const ValueId column = draft.add(Op::Unsqueeze, {draft.input(index), draft.constant_of({1})});
        const ValueId wide = draft.add(Op::Expand, {column, shape});
        draft.set_input(index, draft.add(Op::Reshape, {wide, draft.constant_of({-1})}));
    }
    return {};
}

// Version 8 ran the body for every sequence of a batch: that is a Scan over the batch whose body is a Scan of today.
Status scan_batches(NodeDraft& draft) {
    if (draft.has_input(0)) return draft.unsupported("sequences of different lengths are not known here");
    const Attribute* const attribute = draft.attribute("body");
    const auto* const found = attribute == nullptr ? nullptr : std::get_if<std::shared_ptr<const Graph>>(attribute);
    if (found == nullptr) return draft.invalid("has no body");
    const std::shared_ptr<const Graph> body = *found;
    const int64_t scanned = draft.integer("num_scan_inputs", 0);
    const size_t own = draft.inputs.empty() ? 0 : draft.inputs.size() - 1;
    if (body->inputs().size() != own + draft.captures.size() || scanned < 1 || scanned > static_cast<int64_t>(own)) {
        return draft.invalid("has ", own, " states and sequences, its body takes ", body->inputs().size());
    }
    Graph outer;
    Node scan{Op::Scan, draft.name, {}, {}, {{"num_scan_inputs", scanned}, {"body", body}}};
    for (const ValueId id : body->inputs()) {
        const Value& value = body->value(id);
        scan.inputs.push_back(outer.add_value(value.name, value.dtype, std::nullopt));
        outer.make_input(scan.inputs.back());
    }
    for (const ValueId id : body->outputs()) {
        scan.outputs.push_back(outer.add_value(body->value(id).name, DType::Undefined, std::nullopt));
        outer.add_output(scan.outputs.back());
    }
    if (std::optional<Attribute> directions = draft.take("directions")) {
        scan.attributes.emplace_back("scan_input_directions", *std::move(directions));
    }
    if (!draft.captures.empty()) {
        scan.attributes.emplace_back("captures", static_cast<int64_t>(draft.captures.size()));
    }
    outer.append_node(std::move(scan));
    draft.inputs.erase(draft.inputs.begin());
    draft.set("num_scan_inputs", static_cast<int64_t>(own));
    draft.set("body", std::shared_ptr<const Graph>(std::make_shared<Graph>(std::move(outer))));
    return {};
}

// One list named the labels of 0, 1, ...; the type of the input says in which direction.
Status encode_labels(NodeDraft& draft) {
    const std::optional<Attribute> taken = draft.take("classes_strings");
    const auto* const labels = taken ? std::get_if<std::vector<std::string>>(&*taken) : nullptr;
    if (labels == nullptr) return draft.invalid("the attribute 'classes_strings' is missing");
    std::vector<int64_t> numbers;
    for (size_t index = 0; index < labels->size(); ++index) numbers.push_back(static_cast<int64_t>(index));
    switch (draft.dtype(draft.input(0))) {
        case DType::String:
            draft.set("keys_strings", *labels);
            draft.set("values_int64s", numbers);
            return {};
        case DType::I64:
            draft.set("keys_int64s", numbers);
            draft.set("values_strings", *labels);
            return {};
        default: return draft.unsupported("whether its input is text or numbers is not known while loading");
    }
}

}  // namespace quoin::onnx
