// Tensors as ONNX writes them: the message TensorProto, in models and in files of their own.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/memory.h"
#include "core/source.h"
#include "core/status.h"
#include "core/tensor.h"
#include "graph/constant.h"
#include "load/onnx_external.h"
#include "load/onnx_proto.h"

namespace quoin {

struct NamedTensor {
    std::string name;
    Tensor tensor;
};

// A TensorProto: any element type but complex numbers, elements in raw_data or in typed fields, in this message alone.
// The result shares nothing with `bytes`. InvalidModel when shape and elements do not agree; nothing is allocated
// before they do.
Result<NamedTensor> parse_tensor_proto(std::span<const std::byte> bytes, const std::shared_ptr<Memory>& memory);

// A value as the messages TensorProto, SequenceProto, OptionalProto and MapProto hold it.
struct NamedValue {
    enum class Kind : uint8_t { None, Tensor, Sequence, Map };
    Kind kind = Kind::None;
    std::string name;
    Tensor tensor;
    std::vector<NamedValue> items;          // of a sequence; of a map its keys and its values, tensors both
    DType element_type = DType::Undefined;  // of a sequence of tensors that has any
};
Result<NamedValue> parse_sequence_proto(std::span<const std::byte> bytes, const std::shared_ptr<Memory>& memory);
Result<NamedValue> parse_optional_proto(std::span<const std::byte> bytes, const std::shared_ptr<Memory>& memory);

namespace onnx {

// What tensors of a model are made from.
struct TensorOrigin {
    const SourcePtr& source;        // holds the message
    const std::byte* source_bytes;  // its first byte, of which the message's views are a part
    const std::shared_ptr<Memory>& memory;
    ExternalFiles& files;
};

// Decoded into memory.
Result<Tensor> decode_tensor(const TensorProto& proto, const std::shared_ptr<Memory>& memory);
// Large raw data stays in the source or in the file that the message names.
Result<Constant> constant_of(const TensorProto& proto, const TensorOrigin& origin);
// Dense, zero where the sparse tensor has no element.
Result<Tensor> decode_sparse_tensor(const SparseTensorProto& proto, const std::shared_ptr<Memory>& memory);

}  // namespace onnx
}  // namespace quoin
