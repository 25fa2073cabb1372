#include "value_file.h"

#include <fstream>
#include <iterator>

#include "load/onnx_tensor.h"

namespace quoin::conformance {
namespace {

RuntimeValue to_value(NamedValue value, DType dtype) {
    switch (value.kind) {
        case NamedValue::Kind::None: return {};
        case NamedValue::Kind::Tensor: return std::move(value.tensor);
        case NamedValue::Kind::Map: return RuntimeValue::map(value.items[0].tensor, value.items[1].tensor);
        case NamedValue::Kind::Sequence: break;
    }
    if (value.element_type != DType::Undefined) dtype = value.element_type;
    std::vector<RuntimeValue> items;
    for (NamedValue& item : value.items) items.push_back(to_value(std::move(item), dtype));
    return {std::move(items), dtype};
}

Result<NamedValue> parse(std::span<const std::byte> bytes, ValueKind kind) {
    const auto memory = std::make_shared<Memory>();
    switch (kind) {
        case ValueKind::Tensor: {
            QUOIN_ASSIGN_OR_RETURN(NamedTensor named, parse_tensor_proto(bytes, memory));
            NamedValue value;
            value.kind = NamedValue::Kind::Tensor;
            value.tensor = std::move(named.tensor);
            return value;
        }
        case ValueKind::Sequence: return parse_sequence_proto(bytes, memory);
        case ValueKind::Optional:
        case ValueKind::OptionalSequence: return parse_optional_proto(bytes, memory);
        case ValueKind::Map: break;
    }
    return error(StatusCode::Unsupported, "no test keeps a map in a file");
}

}  // namespace

Result<RuntimeValue> read_value(const std::filesystem::path& path, ValueKind kind, DType dtype) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file) return error(StatusCode::Io, "cannot read '", path.string(), "'");
    Result<NamedValue> value = parse(std::as_bytes(std::span(text)), kind);
    if (!value.ok()) return with_context(value.status(), path.filename().string(), ": ");
    // Older editions keep the bits of a bf16 tensor as u16, for NumPy has no bf16.
    Tensor& tensor = value->tensor;
    if (kind == ValueKind::Tensor && dtype == DType::BF16 && tensor.dtype() == DType::U16) {
        const auto owner = std::make_shared<Tensor>(tensor);
        tensor = Tensor(DType::BF16, owner->shape(), owner->data(), owner->byte_size(), owner);
    }
    return to_value(std::move(value).value(), dtype);
}

}  // namespace quoin::conformance
