#include "load/model.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "core/byte_reader.h"
#include "load/gguf.h"
#include "load/onnx.h"
#include "load/quoted.h"

namespace quoin {
namespace {

struct Signature {
    size_t offset;
    std::string_view bytes;
    std::string_view meaning;
};

using namespace std::string_view_literals;

// What people hand over in place of a GGUF, by its first bytes. In this order; the shorter signatures stand last.
constexpr auto kSignatures = std::to_array<Signature>({
    {0, "FUGG"sv, "a GGUF of the other byte order; convert it to little-endian"},
    {0, "lmgg"sv, "a ggml file from before GGUF; convert the original model to GGUF"},
    {0, "fmgg"sv, "a ggml file (GGMF) from before GGUF; convert the original model to GGUF"},
    {0, "tjgg"sv, "a ggml file (GGJT) from before GGUF; convert the original model to GGUF"},
    {0, "algg"sv, "a ggml adapter (GGLA) from before GGUF"},
    {4, "TFL3"sv, "a TensorFlow Lite model"},
    {0, "\x89HDF"sv, "an HDF5 file, perhaps a Keras model"},
    {0, "version https://git-lfs"sv, "a Git LFS pointer; fetch the file itself with 'git lfs pull'"},
    {0, "PK\x03\x04"sv, "a ZIP archive, perhaps a PyTorch checkpoint; convert the model to GGUF"},
    {0, "\x1F\x8B"sv, "a gzip archive; unpack it first"},
    {0, "\x80\x02"sv, "a Python pickle, perhaps an old PyTorch checkpoint; convert the model to GGUF"},
    {0, "\x80\x04"sv, "a Python pickle; convert the model to GGUF"},
});

bool is_safetensors(std::string_view bytes, uint64_t file_size) {
    ByteReader reader(std::as_bytes(std::span(bytes)));
    const auto header = reader.read<uint64_t>();
    const auto brace = reader.read<char>();
    return brace == '{' && *header >= 2 && *header <= file_size - 8;
}

// ModelProto: field 1 (ir_version) as a small varint, then another field of it, as they are numbered.
bool is_onnx(std::string_view bytes) {
    constexpr std::string_view kNextFields = "\x12\x1A\x22\x28\x32\x3A\x42\x72\xCA";
    return bytes.size() > 3 && bytes[0] == '\x08' && bytes[1] >= 1 && bytes[1] < 32 &&
           kNextFields.find(bytes[2]) != std::string_view::npos;
}

bool is_text(std::string_view bytes) {
    return std::ranges::all_of(bytes, [](char letter) {
        return (letter >= ' ' && letter <= '~') || letter == '\n' || letter == '\r' || letter == '\t';
    });
}

std::string hexadecimal(std::string_view bytes) {
    std::ostringstream text;
    text << std::hex << std::setfill('0');
    for (const char each : bytes) text << ' ' << std::setw(2) << static_cast<int>(static_cast<unsigned char>(each));
    return std::move(text).str();
}

Status refuse(const Source& source, std::string_view bytes) {
    const auto unsupported = [&](std::string_view meaning) {
        return error(StatusCode::Unsupported, source.name(), ": neither a GGUF nor an ONNX file but ", meaning);
    };
    for (const Signature& signature : kSignatures) {
        if (bytes.size() > signature.offset && bytes.substr(signature.offset).starts_with(signature.bytes)) {
            return unsupported(signature.meaning);
        }
    }
    if (is_safetensors(bytes, source.size())) return unsupported("a safetensors file; convert the model to GGUF");
    if (is_text(bytes)) {
        return error(StatusCode::InvalidModel, source.name(), ": not a model but text that begins ", quoted(bytes));
    }
    return error(StatusCode::InvalidModel, source.name(), ": not a model of any known format; it begins with the bytes",
                 hexadecimal(bytes.substr(0, 8)));
}

// Files that hold something else than a whole model would fail later with a less helpful word.
Status check_is_model(const Source& source, const Metadata& metadata) {
    QUOIN_ASSIGN_OR_RETURN(const std::string_view type, metadata.string("general.type", "model"));
    if (type == "adapter" || type == "mmproj" || type == "imatrix") {
        return error(StatusCode::Unsupported, source.name(), ": key 'general.type' is ", quoted(type),
                     "; only whole models can be loaded");
    }
    QUOIN_ASSIGN_OR_RETURN(const int64_t parts, metadata.integer("split.count", 1));
    if (parts > 1) {
        return error(StatusCode::Unsupported, source.name(), ": one of ", parts,
                     " parts of a model (key 'split.count'); join them first");
    }
    return {};
}

Result<LoadedModel> load_gguf(const SourcePtr& source, const ReadOptions& options) {
    QUOIN_ASSIGN_OR_RETURN(GgufFile file, parse_gguf(source));
    LoadedModel model;
    if (options.metadata_only) {
        model.metadata = std::move(file.metadata);
        return model;
    }
    QUOIN_RETURN_IF_ERROR(check_is_model(*source, file.metadata));
    QUOIN_RETURN_IF_ERROR(file.metadata.require_string("general.architecture").status());
    if (!file.tensors.empty()) {
        QUOIN_ASSIGN_OR_RETURN(Decoder decoder, build_decoder(file, source));
        model.kind = ModelKind::LanguageModel;
        model.graph = std::move(decoder.graph);
        model.decoder = std::move(decoder.info);
    }
    model.metadata = std::move(file.metadata);
    return model;
}

bool makes_sequence(Op op) {
    constexpr std::array kAlways{Op::SequenceConstruct, Op::SequenceEmpty, Op::SequenceErase,
                                 Op::SequenceInsert,    Op::SequenceMap,   Op::SplitToSequence};
    return std::ranges::find(kAlways, op) != kAlways.end();
}

}  // namespace

Result<LoadedModel> load_model(const SourcePtr& source, const ReadOptions& options) {
    constexpr uint64_t kLookedAt = 32;
    if (source->size() == 0) return error(StatusCode::InvalidModel, source->name(), ": the file is empty");
    QUOIN_ASSIGN_OR_RETURN(const SourceBytes start, source->read(0, std::min(source->size(), kLookedAt)));
    const std::string_view bytes(reinterpret_cast<const char*>(start.bytes.data()), start.bytes.size());
    if (bytes.starts_with("GGUF")) return load_gguf(source, options);
    if (is_onnx(bytes)) return load_onnx(source, options);
    return refuse(*source, bytes);
}

Status check_stated(const LoadedModel& model) {
    for (const ValueId id : model.graph.outputs()) {
        const Value& value = model.graph.value(id);
        if (value.kind == ValueKind::Tensor || value.producer == kNoValue) continue;
        const Op op = model.graph.node(value.producer).op;
        if (op_info(op).has(facts::boxed) || op == Op::Identity) continue;
        const std::string_view name = value.name;  // of a string it would be std::quoted
        return error(StatusCode::InvalidModel, "output ", quoted(name), " is a tensor, which the file says it is not");
    }
    for (const auto& [id, dtype] : model.stated) {
        const Value& value = model.graph.value(id);
        if (value.producer != kNoValue && makes_sequence(model.graph.node(value.producer).op)) {
            const std::string_view name = value.name;
            return error(StatusCode::InvalidModel, "value ", quoted(name),
                         " is a sequence where the file says a tensor");
        }
        if (value.dtype == dtype || value.dtype == DType::Undefined) continue;
        const std::string_view name = value.name;
        return error(StatusCode::InvalidModel, "value ", quoted(name), " has the element type ",
                     dtype_name(value.dtype), " where the file says ", dtype_name(dtype));
    }
    return {};
}

}  // namespace quoin
