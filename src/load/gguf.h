// The GGUF container: keys, and where each tensor's bytes lie. Knows nothing of what they mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/metadata.h"
#include "core/shape.h"
#include "core/source.h"
#include "core/status.h"

namespace quoin {

// A tensor that is wholly inside the file.
struct GgufTensor {
    std::string_view name;  // valid as long as GgufFile::metadata, or a copy of it, lives
    DType dtype = DType::Undefined;
    Shape shape;          // row-major (the file's dimensions reversed), rank 1 to 4, no zeros
    uint64_t offset = 0;  // from the beginning of the file
    uint64_t bytes = 0;
};

struct GgufFile {
    Metadata metadata;
    // The entries of `metadata` as they stand in the file: key, type and value. Valid as long as it, or a copy, lives.
    std::vector<std::span<const std::byte>> key_bytes;
    std::vector<GgufTensor> tensors;  // in the file's order; names are unique, bytes do not overlap
    uint64_t alignment = 0;           // of every tensor's bytes
};

// The number of a dtype in GGUF; nullopt for one that such files do not have.
std::optional<uint32_t> gguf_type(DType dtype);

// Reads the header of a little-endian GGUF of version 2 or 3; no tensor data. A source that is not mapped is read in
// windows, so that a header of n bytes costs at most two reads of 2n.
// InvalidModel: malformed. Unsupported: another version or byte order, an unknown tensor type, or sizes no model has.
// Memory stays within a small multiple of the header's bytes, whatever counts the file claims.
Result<GgufFile> parse_gguf(const SourcePtr& source);

}  // namespace quoin
