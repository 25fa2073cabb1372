// The GGUF container: keys, and where each tensor's bytes lie. Knows nothing of what they mean.
#pragma once

#include <cstdint>
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
    std::vector<GgufTensor> tensors;  // in the file's order; names are unique, bytes do not overlap
};

// Reads the header of a little-endian GGUF of version 2 or 3; no tensor data. A source that is not mapped is read in
// windows, so that a header of n bytes costs at most two reads of 2n.
// InvalidModel: malformed. Unsupported: another version or byte order, an unknown tensor type, or sizes no model has.
// Memory stays within a small multiple of the header's bytes, whatever counts the file claims.
Result<GgufFile> parse_gguf(const SourcePtr& source);

}  // namespace quoin
