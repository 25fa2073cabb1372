#include "load/onnx_external.h"

#include <charconv>
#include <utility>

#include "load/quoted.h"

namespace quoin::onnx {
namespace {

template <class... Parts>
Status fail(const TensorProto& tensor, const Parts&... parts) {
    return error(StatusCode::InvalidModel, "tensor ", quoted(tensor.name), ": ", parts...);
}

Result<uint64_t> number(const TensorProto& tensor, std::string_view key, std::string_view text) {
    uint64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size()) {
        return fail(tensor, "the ", key, " of its external data is ", quoted(text), ", which is no number of bytes");
    }
    return value;
}

}  // namespace

Result<ExternalBytes> ExternalFiles::find(const TensorProto& tensor, uint64_t bytes) {
    std::string_view location;
    uint64_t offset = 0;
    uint64_t length = bytes;
    for (const auto& [key, value] : tensor.external_data) {
        if (key == "location") location = value;
        if (key == "offset") {
            QUOIN_ASSIGN_OR_RETURN(offset, number(tensor, key, value));
        }
        if (key == "length") {
            QUOIN_ASSIGN_OR_RETURN(length, number(tensor, key, value));
        }
    }
    if (location.empty()) return fail(tensor, "its external data names no file");
    if (length != bytes) {
        return fail(tensor, "has ", length, " bytes of external data where its shape needs ", bytes);
    }
    if (!folder_) {
        return error(StatusCode::Unsupported, "tensor ", quoted(tensor.name), ": its elements lie in the file ",
                     quoted(location), ", and this model has no folder; load it from a file");
    }
    auto opened = opened_.find(location);
    if (opened == opened_.end()) {
        Result<SourcePtr> source = open_file_below(folder_->path, location, folder_->use_mmap, folder_->memory);
        if (!source.ok()) return with_context(source.status(), "tensor ", quoted(tensor.name), ": ");
        opened = opened_.emplace(location, std::move(source).value()).first;
    }
    const SourcePtr& source = opened->second;
    if (offset > source->size() || bytes > source->size() - offset) {
        return fail(tensor, bytes, " bytes at offset ", offset, " reach past the end of ", quoted(location), " (",
                    source->size(), " bytes)");
    }
    return ExternalBytes{source, offset};
}

}  // namespace quoin::onnx
