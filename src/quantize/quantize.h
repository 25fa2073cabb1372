// A GGUF file with weights in floats to one with weights in fewer bits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "core/runtime.h"
#include "core/shape.h"
#include "core/source.h"
#include "core/status.h"

namespace quoin {

// One tensor, when it is written.
struct QuantizedTensor {
    std::string_view name;
    Shape shape;
    DType source_dtype = DType::Undefined;
    DType dtype = DType::Undefined;
    DType unfit = DType::Undefined;  // what it should have got, had its rows been whole blocks of that; else Undefined
    uint64_t source_bytes = 0;
    uint64_t bytes = 0;
};

struct QuantizeOptions {
    std::string type;  // a name of quantize/mixture.h
    // Both may be empty; false stops the work with Cancelled. On the calling thread.
    std::function<bool(double fraction)> progress;
    std::function<bool(const QuantizedTensor& tensor)> tensor_done;
};

struct QuantizeResult {
    uint64_t source_bytes = 0;  // of the files
    uint64_t output_bytes = 0;
    int64_t tensors = 0;
    int64_t converted = 0;  // the others were copied
    int64_t unfit = 0;
};

// Reads `source`, writes `output`. Tensor types follow quantize/mixture.h, values quantize/encoders.h; keys are copied
// byte for byte but for general.file_type and general.quantization_version; the tensors keep their order. The work is
// done in pieces of some megabytes by the runtime's team, with the same result for any number of threads. The output
// appears when all is written; before that, and after any failure, there is nothing. Only a process that is killed on a
// file system without nameless files leaves quoin.partial-PROCESS-NUMBER beside it.
// InvalidArgument: no such type, or both paths lead to the same file. InvalidModel: the source is malformed or holds
// NaN or infinity. Unsupported: its weights are quantised already, or it is one part of several. Io. Cancelled.
Result<QuantizeResult> quantize_file(const SourcePtr& source, const std::string& output, const RuntimePtr& runtime,
                                     const QuantizeOptions& options);

}  // namespace quoin
