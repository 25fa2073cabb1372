#include "load/onnx_convert.h"

namespace quoin::onnx {

Status convert_contrib(NodeDraft& draft) {
    static_cast<void>(draft);
    return {};
}

}  // namespace quoin::onnx
