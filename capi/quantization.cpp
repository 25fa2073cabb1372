#include "quantize/quantize.h"

#include "runtime_of.h"
#include "support.h"

using namespace quoin;
using namespace quoin::capi;

namespace {

quoin_quantized_tensor public_tensor(const QuantizedTensor& tensor) {
    quoin_quantized_tensor out{};
    out.struct_size = sizeof(out);
    out.name = tensor.name.data();
    out.name_length = tensor.name.size();
    out.dims = tensor.shape.dims().data();
    out.rank = static_cast<int32_t>(tensor.shape.rank());
    out.source_dtype = static_cast<int32_t>(tensor.source_dtype);
    out.dtype = static_cast<int32_t>(tensor.dtype);
    out.unfit_dtype = static_cast<int32_t>(tensor.unfit);
    out.source_bytes = tensor.source_bytes;
    out.bytes = tensor.bytes;
    return out;
}

}  // namespace

quoin_status quoin_model_quantize_file(const quoin_runtime* runtime, const char* path, size_t path_length,
                                       const char* type, size_t type_length, const char* output, size_t output_length,
                                       const quoin_quantize_options* options, quoin_quantize_facts* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_quantize_file", path, type, output));
        std::string_view source_path;
        std::string_view type_name;
        std::string_view output_path;
        QUOIN_RETURN_IF_ERROR(read_text(path, path_length, "path", source_path));
        QUOIN_RETURN_IF_ERROR(read_text(type, type_length, "type", type_name));
        QUOIN_RETURN_IF_ERROR(read_text(output, output_length, "output", output_path));
        // The system would read a zero byte as the end, and open another file than was named.
        for (const std::string_view text : {source_path, output_path}) {
            if (text.find('\0') == std::string_view::npos) continue;
            return error(StatusCode::InvalidArgument, "a path has a zero byte in it");
        }
        if (output_path.empty()) return error(StatusCode::InvalidArgument, "output is empty");
        quoin_quantize_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        if (read.mmap_mode != QUOIN_MMAP_AUTO && read.mmap_mode != QUOIN_MMAP_NEVER) {
            return error(StatusCode::InvalidArgument, "mmap_mode = ", read.mmap_mode, " is none of QUOIN_MMAP_*");
        }
        if (out != nullptr) QUOIN_RETURN_IF_ERROR(check_struct_size(out->struct_size));

        QuantizeOptions wanted;
        wanted.type = std::string(type_name);
        if (read.progress != nullptr) {
            wanted.progress = [&read](double fraction) {
                return read.progress(fraction, read.progress_user_data) == 0;
            };
        }
        if (read.tensor != nullptr) {
            wanted.tensor_done = [&read](const QuantizedTensor& tensor) {
                const quoin_quantized_tensor seen = public_tensor(tensor);
                return read.tensor(&seen, read.tensor_user_data) == 0;
            };
        }
        QUOIN_ASSIGN_OR_RETURN(const RuntimePtr used, runtime_of(runtime));
        QUOIN_ASSIGN_OR_RETURN(const SourcePtr source,
                               open_file(std::string(source_path), read.mmap_mode == QUOIN_MMAP_AUTO, used->memory));
        QUOIN_ASSIGN_OR_RETURN(const QuantizeResult result,
                               quantize_file(source, std::string(output_path), used, wanted));
        if (out == nullptr) return {};
        quoin_quantize_facts facts{};
        facts.source_bytes = result.source_bytes;
        facts.output_bytes = result.output_bytes;
        facts.tensors = result.tensors;
        facts.converted = result.converted;
        facts.unfit = result.unfit;
        return write_struct(facts, out);
    });
}
