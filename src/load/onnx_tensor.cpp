#include "load/onnx_tensor.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "load/quoted.h"
#include "load/wire.h"

namespace quoin {
namespace onnx {
namespace {

// Below, a tensor is copied when the model is loaded: it would be later, and kernels want it aligned.
constexpr uint64_t kWorthLeaving = uint64_t{64} << 10;

// The field of TensorProto that holds elements of this type when they are not raw.
enum class TypedField : uint32_t { Float = 4, Int32 = 5, String = 6, Int64 = 7, Double = 10, Uint64 = 11 };

TypedField typed_field(DType dtype) {
    switch (dtype) {
        case DType::F32: return TypedField::Float;
        case DType::F64: return TypedField::Double;
        case DType::I64: return TypedField::Int64;
        case DType::U32:
        case DType::U64: return TypedField::Uint64;
        case DType::String: return TypedField::String;
        default: return TypedField::Int32;  // one element, or one byte of elements below 8 bits, in each number
    }
}

struct TypedElements {
    std::vector<int64_t> integers;
    std::vector<float> singles;
    std::vector<double> doubles;
    std::vector<std::string_view> strings;
};

TypedElements read_elements(std::string_view message, TypedField which) {
    TypedElements elements;
    wire::FieldReader field(message);
    while (field.next()) {
        if (field.number() != static_cast<uint32_t>(which)) continue;
        switch (which) {
            case TypedField::Float: field.append_singles(elements.singles); break;
            case TypedField::Double: field.append_doubles(elements.doubles); break;
            case TypedField::String: elements.strings.push_back(field.bytes()); break;
            default: field.append_integers(elements.integers); break;
        }
    }
    return elements;
}

template <class... Parts>
Status fail(const TensorProto& proto, const Parts&... parts) {
    return error(StatusCode::InvalidModel, "tensor ", quoted(proto.name), ": ", parts...);
}

struct Layout {
    DType dtype = DType::Undefined;
    Shape shape;
    int64_t elements = 0;
    size_t bytes = 0;  // of the elements as raw data
};

Result<Shape> checked_shape(const TensorProto& proto, const std::vector<int64_t>& dims) {
    if (dims.size() > Shape::kMaxRank) {
        return error(StatusCode::Unsupported, "tensor ", quoted(proto.name), ": ", dims.size(), " dimensions; at most ",
                     Shape::kMaxRank, " are known here");
    }
    Shape shape{std::span<const int64_t>(dims)};
    if (!shape.element_count()) return fail(proto, "no tensor can have the shape ", to_string(shape));
    return shape;
}

Result<Layout> layout_of(const TensorProto& proto) {
    Layout layout;
    const bool plain = proto.data_type > 0 && proto.data_type < 100;
    const std::optional<DType> dtype = plain ? dtype_from_number(static_cast<uint32_t>(proto.data_type)) : std::nullopt;
    if (!dtype) {
        return error(StatusCode::Unsupported, "tensor ", quoted(proto.name), ": elements of the type number ",
                     proto.data_type, " of ONNX are not known here");
    }
    if (proto.segmented) {
        return error(StatusCode::Unsupported, "tensor ", quoted(proto.name), ": is stored in segments");
    }
    layout.dtype = *dtype;
    QUOIN_ASSIGN_OR_RETURN(layout.shape, checked_shape(proto, proto.dims));
    layout.elements = *layout.shape.element_count();
    const std::optional<size_t> bytes = byte_size(*dtype, layout.elements);
    if (!bytes) return fail(proto, "no tensor can have the shape ", to_string(layout.shape));
    layout.bytes = *bytes;
    return layout;
}

Status wrong_count(const TensorProto& proto, const Layout& layout, size_t found, const char* what) {
    return fail(proto, "has ", found, ' ', what, " where ", dtype_name(layout.dtype), to_string(layout.shape),
                " needs ", what == std::string_view("bytes") ? layout.bytes : static_cast<size_t>(layout.elements));
}

Result<Tensor> allocate(const TensorProto& proto, const Layout& layout, const std::shared_ptr<Memory>& memory) {
    return Tensor::allocate(memory, layout.dtype, layout.shape, "tensor " + quoted(proto.name));
}

template <class To, class From>
void copy_elements(const std::vector<From>& from, const Tensor& to) {
    std::ranges::transform(from, to.as<To>().begin(), [](From each) { return static_cast<To>(each); });
}

void copy_integers(const std::vector<int64_t>& from, const Tensor& to) {
    const bool several = dtype_info(to.dtype()).block_elements > 1;
    switch (several ? 1 : dtype_info(to.dtype()).block_bytes) {
        case 1: copy_elements<uint8_t>(from, to); break;
        case 2: copy_elements<uint16_t>(from, to); break;
        case 4: copy_elements<uint32_t>(from, to); break;
        default: copy_elements<uint64_t>(from, to); break;
    }
    // Any number but 0 stands for true; a bool holds 0 or 1.
    if (to.dtype() == DType::Bool) {
        for (uint8_t& each : to.as<uint8_t>()) each = each != 0 ? 1 : 0;
    }
}

Result<Tensor> decode_typed(const TensorProto& proto, const Layout& layout, const std::shared_ptr<Memory>& memory) {
    const TypedElements elements = read_elements(proto.message, typed_field(layout.dtype));
    const size_t found =
        elements.integers.size() + elements.singles.size() + elements.doubles.size() + elements.strings.size();
    const bool bytes = dtype_info(layout.dtype).block_elements > 1;
    if (found != (bytes ? layout.bytes : static_cast<size_t>(layout.elements))) {
        return wrong_count(proto, layout, found, bytes ? "bytes" : "elements");
    }
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, allocate(proto, layout, memory));
    switch (typed_field(layout.dtype)) {
        case TypedField::Float: copy_elements<float>(elements.singles, tensor); break;
        case TypedField::Double: copy_elements<double>(elements.doubles, tensor); break;
        case TypedField::String: copy_elements<std::string>(elements.strings, tensor); break;
        default: copy_integers(elements.integers, tensor); break;
    }
    return tensor;
}

Result<Tensor> copy_raw(const TensorProto& proto, const Layout& layout, std::span<const std::byte> bytes,
                        const std::shared_ptr<Memory>& memory) {
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, allocate(proto, layout, memory));
    if (!bytes.empty()) std::memcpy(tensor.data(), bytes.data(), bytes.size());
    if (layout.dtype == DType::Bool) {
        for (uint8_t& each : tensor.as<uint8_t>()) each = each != 0 ? 1 : 0;
    }
    return tensor;
}

Status check_raw(const TensorProto& proto, const Layout& layout) {
    if (layout.dtype == DType::String) return fail(proto, "strings cannot be raw data");
    if (proto.raw_data->size() != layout.bytes) return wrong_count(proto, layout, proto.raw_data->size(), "bytes");
    return {};
}

}  // namespace

Result<Tensor> decode_tensor(const TensorProto& proto, const std::shared_ptr<Memory>& memory) {
    QUOIN_ASSIGN_OR_RETURN(const Layout layout, layout_of(proto));
    if (proto.external) return fail(proto, "its elements lie in another file, which is not allowed here");
    if (!proto.raw_data) return decode_typed(proto, layout, memory);
    QUOIN_RETURN_IF_ERROR(check_raw(proto, layout));
    return copy_raw(proto, layout, std::as_bytes(std::span(*proto.raw_data)), memory);
}

Result<Constant> constant_of(const TensorProto& proto, const TensorOrigin& origin) {
    QUOIN_ASSIGN_OR_RETURN(const Layout layout, layout_of(proto));
    SourcePtr source = origin.source;
    uint64_t offset = 0;
    if (proto.external) {
        if (layout.dtype == DType::String) return fail(proto, "strings cannot lie in another file");
        QUOIN_ASSIGN_OR_RETURN(ExternalBytes external, origin.files.find(proto, layout.bytes));
        source = std::move(external.source);
        offset = external.offset;
    } else if (!proto.raw_data) {
        QUOIN_ASSIGN_OR_RETURN(Tensor tensor, decode_typed(proto, layout, origin.memory));
        return Constant(std::move(tensor));
    } else {
        QUOIN_RETURN_IF_ERROR(check_raw(proto, layout));
        offset =
            static_cast<uint64_t>(reinterpret_cast<const std::byte*>(proto.raw_data->data()) - origin.source_bytes);
    }
    if (layout.bytes >= kWorthLeaving && layout.dtype != DType::Bool) {
        return Constant(layout.dtype, layout.shape, std::move(source), offset, layout.bytes);
    }
    QUOIN_ASSIGN_OR_RETURN(const SourceBytes bytes, source->read(offset, layout.bytes));
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, copy_raw(proto, layout, bytes.bytes, origin.memory));
    return Constant(std::move(tensor));
}

Result<Tensor> decode_sparse_tensor(const SparseTensorProto& proto, const std::shared_ptr<Memory>& memory) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor values, decode_tensor(proto.values, memory));
    QUOIN_ASSIGN_OR_RETURN(const Tensor indices, decode_tensor(proto.indices, memory));
    QUOIN_ASSIGN_OR_RETURN(const Shape shape, checked_shape(proto.values, proto.dims));
    const auto count = static_cast<size_t>(*values.shape().element_count());
    const bool linear = indices.shape().rank() == 1;
    const bool fits =
        indices.dtype() == DType::I64 && values.shape().rank() == 1 &&
        (linear || (indices.shape().rank() == 2 && indices.shape()[1] == static_cast<int64_t>(shape.rank()))) &&
        static_cast<size_t>(indices.shape()[0]) == count;
    if (!fits) return fail(proto.values, "its indices do not fit its values");
    if (dtype_info(values.dtype()).block_elements != 1 || values.dtype() == DType::String) {
        return error(StatusCode::Unsupported, "sparse tensor ", quoted(proto.values.name), ": elements of ",
                     dtype_name(values.dtype()), " are not known here");
    }
    // A sparse tensor may well be larger than its file, but not without end.
    constexpr int64_t kMostElements = int64_t{1} << 28;
    if (*shape.element_count() > kMostElements) {
        return error(StatusCode::Unsupported, "sparse tensor ", quoted(proto.values.name), ": ", to_string(shape),
                     " is more than is made dense here");
    }
    QUOIN_ASSIGN_OR_RETURN(
        Tensor dense, Tensor::allocate(memory, values.dtype(), shape, "sparse tensor " + quoted(proto.values.name)));
    if (dense.byte_size() != 0) std::memset(dense.data(), 0, dense.byte_size());
    const auto size = static_cast<size_t>(dtype_info(values.dtype()).block_bytes);
    const auto positions = indices.as<const int64_t>();
    for (size_t index = 0; index < count; ++index) {
        int64_t position = 0;
        bool inside = true;
        if (linear) {
            position = positions[index];
            inside = position >= 0 && position < *shape.element_count();
        } else {
            for (size_t axis = 0; axis < shape.rank(); ++axis) {
                const int64_t at = positions[index * shape.rank() + axis];
                inside = inside && at >= 0 && at < shape[axis];
                if (inside) position = position * shape[axis] + at;
            }
        }
        if (!inside) return fail(proto.values, "index ", index, " lies outside of ", to_string(shape));
        std::memcpy(dense.data() + static_cast<size_t>(position) * size, values.data() + index * size, size);
    }
    return dense;
}

}  // namespace onnx

namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<NamedTensor> named_tensor(std::string_view message, const std::shared_ptr<Memory>& memory) {
    QUOIN_ASSIGN_OR_RETURN(const onnx::TensorProto proto, onnx::parse_tensor(message));
    QUOIN_ASSIGN_OR_RETURN(Tensor tensor, onnx::decode_tensor(proto, memory));
    return NamedTensor{std::string(proto.name), std::move(tensor)};
}

Result<NamedValue> tensor_value(std::string_view message, const std::shared_ptr<Memory>& memory) {
    QUOIN_ASSIGN_OR_RETURN(NamedTensor named, named_tensor(message, memory));
    NamedValue value{.kind = NamedValue::Kind::Tensor, .name = std::move(named.name)};
    value.tensor = std::move(named.tensor);
    value.element_type = value.tensor.dtype();
    return value;
}

Status too_deep() {
    return error(StatusCode::InvalidModel, "sequences are nested deeper than ", onnx::kMostNesting, " levels");
}

Result<NamedValue> sequence_value(std::string_view message, const std::shared_ptr<Memory>& memory, int depth);

Result<NamedValue> map_value(std::string_view message, const std::shared_ptr<Memory>& memory, int depth) {
    NamedValue map{.kind = NamedValue::Kind::Map};
    std::vector<int64_t> keys;
    std::vector<std::string_view> string_keys;
    std::string_view values;
    wire::FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: map.name = field.bytes(); break;
            case 3: field.append_integers(keys); break;
            case 4: string_keys.push_back(field.bytes()); break;
            case 5: values = field.bytes(); break;
            default: break;
        }
    }
    const bool strings = !string_keys.empty();
    const auto count = static_cast<int64_t>(strings ? string_keys.size() : keys.size());
    QUOIN_ASSIGN_OR_RETURN(const Tensor key_tensor,
                           Tensor::allocate(memory, strings ? DType::String : DType::I64, {count}, "keys of a map"));
    if (strings) {
        std::ranges::copy(string_keys, key_tensor.as<std::string>().begin());
    } else {
        std::ranges::copy(keys, key_tensor.as<int64_t>().begin());
    }
    QUOIN_ASSIGN_OR_RETURN(NamedValue value_tensor, sequence_value(values, memory, depth + 1));
    map.items = {{.kind = NamedValue::Kind::Tensor, .tensor = key_tensor}, std::move(value_tensor)};
    return map;
}

Result<NamedValue> optional_value(std::string_view message, const std::shared_ptr<Memory>& memory, int depth) {
    if (depth > onnx::kMostNesting) return too_deep();
    NamedValue value;
    std::string name;
    wire::FieldReader field(message);
    while (field.next()) {
        switch (field.number()) {
            case 1: name = field.bytes(); break;
            case 3: {
                QUOIN_ASSIGN_OR_RETURN(value, tensor_value(field.bytes(), memory));
                break;
            }
            case 5: {
                QUOIN_ASSIGN_OR_RETURN(value, sequence_value(field.bytes(), memory, depth + 1));
                break;
            }
            case 6: {
                QUOIN_ASSIGN_OR_RETURN(value, map_value(field.bytes(), memory, depth + 1));
                break;
            }
            case 7: {
                QUOIN_ASSIGN_OR_RETURN(value, optional_value(field.bytes(), memory, depth + 1));
                break;
            }
            default: break;
        }
    }
    value.name = std::move(name);
    return value;
}

Result<NamedValue> sequence_value(std::string_view message, const std::shared_ptr<Memory>& memory, int depth) {
    if (depth > onnx::kMostNesting) return too_deep();
    NamedValue sequence{.kind = NamedValue::Kind::Sequence};
    wire::FieldReader field(message);
    while (field.next()) {
        const uint32_t number = field.number();
        if (number == 1) sequence.name = field.bytes();
        if (number == 4) return error(StatusCode::Unsupported, "a sequence of sparse tensors");
        if (number != 3 && number != 5 && number != 6 && number != 7) continue;
        const std::string_view inner = field.bytes();
        Result<NamedValue> item = number == 3   ? tensor_value(inner, memory)
                                  : number == 5 ? sequence_value(inner, memory, depth + 1)
                                  : number == 6 ? map_value(inner, memory, depth + 1)
                                                : optional_value(inner, memory, depth + 1);
        if (!item.ok()) return item.status();
        sequence.element_type = item->element_type;
        sequence.items.push_back(std::move(item).value());
    }
    return sequence;
}

}  // namespace

Result<NamedTensor> parse_tensor_proto(std::span<const std::byte> bytes, const std::shared_ptr<Memory>& memory) {
    return wire::caught([&] { return named_tensor(text_of(bytes), memory); });
}

Result<NamedValue> parse_sequence_proto(std::span<const std::byte> bytes, const std::shared_ptr<Memory>& memory) {
    return wire::caught([&] { return sequence_value(text_of(bytes), memory, 1); });
}

Result<NamedValue> parse_optional_proto(std::span<const std::byte> bytes, const std::shared_ptr<Memory>& memory) {
    return wire::caught([&] { return optional_value(text_of(bytes), memory, 1); });
}

}  // namespace quoin
