// Elements that a model keeps in files beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/source.h"
#include "load/model.h"
#include "load/onnx_proto.h"

namespace quoin::onnx {

struct ExternalBytes {
    SourcePtr source;
    uint64_t offset = 0;
};

// Opens each file once.
class ExternalFiles {
public:
    explicit ExternalFiles(const std::optional<ModelFolder>& folder) : folder_(folder) {}

    // Where the `bytes` bytes of this tensor are; checked to be there. Only regular files below the folder, reached
    // without any link: a model must not read what its user did not put beside it. InvalidModel for every other place.
    Result<ExternalBytes> find(const TensorProto& tensor, uint64_t bytes);

private:
    const std::optional<ModelFolder>& folder_;
    std::map<std::string, SourcePtr, std::less<>> opened_;
};

}  // namespace quoin::onnx
