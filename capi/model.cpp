#include "handles.h"
#include "llm/describe.h"
#include "ops/providers.h"
#include "runtime_of.h"
#include "support.h"

using namespace quoin;
using namespace quoin::capi;

namespace {

// Weights are used in place, and kernels read whole elements.
constexpr uintptr_t kMemoryAlignment = 8;

struct FileOptions : LoadOptions {
    bool use_mmap = true;
};

Status read_load_options(const quoin_model_options* options, FileOptions& out) {
    quoin_model_options read;
    QUOIN_RETURN_IF_ERROR(read_options(options, read));
    std::string_view provider;
    QUOIN_RETURN_IF_ERROR(
        read_text(read.provider, read.provider == nullptr ? 0 : read.provider_length, "provider", provider));
    if (read.provider != nullptr) {
        const std::optional<Provider> found = provider_from_name(provider);
        if (!found) {
            return error(StatusCode::InvalidArgument, "there is no provider '", provider, "'; known are ",
                         provider_names());
        }
        out.provider = *found;
    }
    std::string_view arithmetic;
    QUOIN_RETURN_IF_ERROR(
        read_text(read.arithmetic, read.arithmetic == nullptr ? 0 : read.arithmetic_length, "arithmetic", arithmetic));
    if (read.arithmetic != nullptr && arithmetic != "f32" && arithmetic != "bf16") {
        return error(StatusCode::InvalidArgument, "there is no arithmetic '", arithmetic, "'; known are f32 and bf16");
    }
    out.arithmetic = arithmetic == "bf16" ? DType::BF16 : DType::F32;
    if (read.mmap_mode != QUOIN_MMAP_AUTO && read.mmap_mode != QUOIN_MMAP_NEVER) {
        return error(StatusCode::InvalidArgument, "mmap_mode = ", read.mmap_mode, " is none of QUOIN_MMAP_*");
    }
    out.use_mmap = read.mmap_mode == QUOIN_MMAP_AUTO;
    out.metadata_only = read.metadata_only != 0;
    if (read.overridable_initializers != 0 && read.overridable_initializers != 1) {
        return error(StatusCode::InvalidArgument, "overridable_initializers = ", read.overridable_initializers,
                     " is neither 0 nor 1");
    }
    out.overridable_initializers = read.overridable_initializers == 1;
    if (read.progress != nullptr) {
        out.progress = [callback = read.progress, user_data = read.progress_user_data](uint64_t done, uint64_t total) {
            const double fraction = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
            return callback(fraction, user_data) == 0;
        };
    }
    return {};
}

std::vector<quoin_model::ValueInfo> infos_of(std::vector<TensorSpec> specs) {
    std::vector<quoin_model::ValueInfo> infos;
    for (TensorSpec& spec : specs) infos.push_back({std::move(spec), {}});
    for (quoin_model::ValueInfo& info : infos) {
        for (const std::string& name : info.spec.dim_names) info.dim_names.push_back(name.c_str());
    }
    return infos;
}

Status load_into(const SourcePtr& source, const RuntimePtr& runtime, const LoadOptions& options, quoin_model** out) {
    auto handle = std::make_unique<quoin_model>();
    QUOIN_ASSIGN_OR_RETURN(handle->model, load(source, runtime, options));
    const Model& model = *handle->model;
    if (model.tokenizer != nullptr) handle->tokenizer = quoin_tokenizer{model.tokenizer};
    QUOIN_ASSIGN_OR_RETURN(handle->architecture, model.metadata.string("general.architecture", ""));
    handle->inputs = infos_of(input_specs(model));
    handle->outputs = infos_of(output_specs(model));
    *out = handle.release();
    return {};
}

Status value_info(const std::vector<quoin_model::ValueInfo>& infos, size_t index, quoin_value_info* out) {
    if (index >= infos.size()) return error(StatusCode::NotFound, "index ", index, " is not below ", infos.size());
    const quoin_model::ValueInfo& info = infos[index];
    quoin_value_info value{};
    value.name = info.spec.name.c_str();
    value.dtype = static_cast<int32_t>(info.spec.dtype);
    value.rank = info.spec.ranked ? static_cast<int32_t>(info.spec.dims.size()) : -1;
    value.dims = info.spec.ranked ? info.spec.dims.data() : nullptr;
    value.dim_names = info.spec.ranked ? info.dim_names.data() : nullptr;
    switch (info.spec.kind) {
        case ValueKind::Tensor:
        case ValueKind::Optional: value.kind = QUOIN_VALUE_TENSOR; break;
        case ValueKind::Sequence:
        case ValueKind::OptionalSequence: value.kind = QUOIN_VALUE_SEQUENCE; break;
        case ValueKind::Map: value.kind = QUOIN_VALUE_MAP; break;
    }
    value.optional = info.spec.kind == ValueKind::Optional || info.spec.kind == ValueKind::OptionalSequence ? 1 : 0;
    value.has_default = info.spec.has_default ? 1 : 0;
    return write_struct(value, out);
}

Status find_value(const std::vector<quoin_model::ValueInfo>& infos, const char* name, size_t length, size_t* out) {
    std::string_view wanted;
    QUOIN_RETURN_IF_ERROR(read_text(name, length, "name", wanted));
    for (size_t index = 0; index < infos.size(); ++index) {
        if (infos[index].spec.name != wanted) continue;
        *out = index;
        return {};
    }
    return error(StatusCode::NotFound, "the model has no tensor named '", wanted, "' here");
}

// Type, count and one element of a metadata value.
struct MetadataWriter {
    uint64_t element;
    quoin_metadata_value& out;

    Status operator()(bool value) const {
        out.type = QUOIN_METADATA_BOOL;
        out.integer = value ? 1 : 0;
        out.number = value ? 1.0 : 0.0;
        return {};
    }
    Status operator()(int64_t value) const {
        out.type = QUOIN_METADATA_INTEGER;
        out.integer = value;
        out.number = static_cast<double>(value);
        return {};
    }
    Status operator()(uint64_t value) const {
        out.type = QUOIN_METADATA_UNSIGNED;
        out.integer = static_cast<int64_t>(value);
        out.number = static_cast<double>(value);
        return {};
    }
    Status operator()(double value) const {
        out.type = QUOIN_METADATA_FLOAT;
        out.number = value;
        return {};
    }
    Status operator()(std::string_view value) const {
        out.type = QUOIN_METADATA_STRING;
        out.text = value.data();
        out.text_length = value.size();
        return {};
    }
    template <class Element>
    Status operator()(const std::vector<Element>& values) const {
        if (values.empty() && element == 0) {
            QUOIN_RETURN_IF_ERROR((*this)(Element{}));
            out.text = nullptr;
        } else if (element < values.size()) {
            QUOIN_RETURN_IF_ERROR((*this)(static_cast<Element>(values[element])));
        } else {
            return error(StatusCode::NotFound, "element ", element, " is not below ", values.size());
        }
        out.is_array = 1;
        out.count = values.size();
        return {};
    }
};

}  // namespace

quoin_status quoin_model_load_file(const quoin_runtime* runtime, const char* path, size_t path_length,
                                   const quoin_model_options* options, quoin_model** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(path, "path"));
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        std::string_view text;
        QUOIN_RETURN_IF_ERROR(read_text(path, path_length, "path", text));
        // The system would read it as the end, and open another file than was named.
        if (text.find('\0') != std::string_view::npos) {
            return error(StatusCode::InvalidArgument, "the path has a zero byte in it");
        }
        FileOptions read;
        QUOIN_RETURN_IF_ERROR(read_load_options(options, read));
        QUOIN_ASSIGN_OR_RETURN(const RuntimePtr used, runtime_of(runtime));
        QUOIN_ASSIGN_OR_RETURN(const SourcePtr source, open_file(std::string(text), read.use_mmap, used->memory));
        const size_t slash = text.rfind('/');
        const std::string_view folder = slash == std::string_view::npos ? "." : text.substr(0, slash + 1);
        read.folder = ModelFolder{std::string(folder), read.use_mmap, used->memory};
        return load_into(source, used, read, out);
    });
}

quoin_status quoin_model_load_memory(const quoin_runtime* runtime, const void* data, size_t size,
                                     const quoin_model_options* options, quoin_model** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(data, "data"));
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        if (reinterpret_cast<uintptr_t>(data) % kMemoryAlignment != 0) {
            return error(StatusCode::InvalidArgument, "data is not aligned to ", kMemoryAlignment, " bytes");
        }
        FileOptions read;
        QUOIN_RETURN_IF_ERROR(read_load_options(options, read));
        QUOIN_ASSIGN_OR_RETURN(const RuntimePtr used, runtime_of(runtime));
        return load_into(wrap_memory({static_cast<const std::byte*>(data), size}), used, read, out);
    });
}

quoin_status quoin_model_load_reader(const quoin_runtime* runtime, const quoin_reader* reader,
                                     const quoin_model_options* options, quoin_model** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(reader, "reader"));
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        quoin_reader functions;
        QUOIN_RETURN_IF_ERROR(read_options(reader, functions));
        if (functions.read == nullptr) return error(StatusCode::InvalidArgument, "reader.read is NULL");
        FileOptions read;
        QUOIN_RETURN_IF_ERROR(read_load_options(options, read));
        QUOIN_ASSIGN_OR_RETURN(const RuntimePtr used, runtime_of(runtime));
        const ReadAt read_at = [functions](uint64_t offset, std::span<std::byte> bytes) {
            return functions.read(offset, bytes.data(), bytes.size(), functions.user_data) == 0;
        };
        return load_into(wrap_reader(functions.size, read_at, used->memory), used, read, out);
    });
}

void quoin_model_destroy(quoin_model* model) {
    const std::unique_ptr<quoin_model> owner(model);
}

int32_t quoin_model_kind(const quoin_model* model) {
    if (model == nullptr) return 0;
    switch (model->model->kind) {
        case ModelKind::Graph: return QUOIN_MODEL_GRAPH;
        case ModelKind::LanguageModel: return QUOIN_MODEL_DECODER;
        case ModelKind::Vocabulary: return QUOIN_MODEL_VOCABULARY;
    }
    return 0;
}

quoin_status quoin_model_info(const quoin_model* model, quoin_model_facts* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(model, "model"));
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        const ModelFacts counted = facts_of(*model->model);
        quoin_model_facts facts{};
        facts.architecture = model->architecture.c_str();
        facts.parameter_count = counted.parameter_count;
        facts.memory_bytes = counted.memory_bytes;
        if (model->model->decoder) {
            const DecoderInfo& decoder = *model->model->decoder;
            facts.vocabulary_size = decoder.vocabulary_size;
            facts.context_length = decoder.context_length;
            facts.layers = static_cast<int64_t>(decoder.layers.size());
            facts.embedding_length = decoder.embedding_length;
            facts.active_weight_bytes = counted.active_weight_bytes;
            facts.prompt_multiply_adds = counted.prompt_multiply_adds;
            facts.logits_multiply_adds = counted.logits_multiply_adds;
            facts.prompt_arithmetic = static_cast<int32_t>(counted.prompt_arithmetic);
        }
        return write_struct(facts, out);
    });
}

const quoin_tokenizer* quoin_model_tokenizer(const quoin_model* model) {
    return model == nullptr || !model->tokenizer ? nullptr : &*model->tokenizer;
}

// ---- metadata

size_t quoin_model_metadata_count(const quoin_model* model) {
    return model == nullptr ? 0 : model->model->metadata.entries().size();
}

quoin_status quoin_model_metadata_key(const quoin_model* model, size_t index, const char** out_key,
                                      size_t* out_key_length) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_metadata_key", model, out_key, out_key_length));
        const auto& entries = model->model->metadata.entries();
        if (index >= entries.size())
            return error(StatusCode::NotFound, "index ", index, " is not below ", entries.size());
        *out_key = entries[index].key.data();
        *out_key_length = entries[index].key.size();
        return {};
    });
}

quoin_status quoin_model_metadata_find(const quoin_model* model, const char* key, size_t key_length,
                                       size_t* out_index) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_metadata_find", model, out_index));
        std::string_view wanted;
        QUOIN_RETURN_IF_ERROR(read_text(key, key_length, "key", wanted));
        const std::optional<size_t> found = model->model->metadata.index_of(wanted);
        if (!found) return error(StatusCode::NotFound, "the model has no key '", wanted, "'");
        *out_index = *found;
        return {};
    });
}

quoin_status quoin_model_metadata_value(const quoin_model* model, size_t index, uint64_t element,
                                        quoin_metadata_value* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_metadata_value", model, out));
        const auto& entries = model->model->metadata.entries();
        if (index >= entries.size())
            return error(StatusCode::NotFound, "index ", index, " is not below ", entries.size());
        quoin_metadata_value value{};
        value.count = 1;
        QUOIN_RETURN_IF_ERROR(std::visit(MetadataWriter{element, value}, entries[index].value));
        if (value.is_array == 0 && element != 0) {
            return error(StatusCode::NotFound, "key '", entries[index].key, "' is no array; its element is 0");
        }
        return write_struct(value, out);
    });
}

// ---- inputs and outputs

size_t quoin_model_input_count(const quoin_model* model) {
    return model == nullptr ? 0 : model->inputs.size();
}

quoin_status quoin_model_input_info(const quoin_model* model, size_t index, quoin_value_info* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_input_info", model, out));
        return value_info(model->inputs, index, out);
    });
}

quoin_status quoin_model_input_find(const quoin_model* model, const char* name, size_t name_length, size_t* out_index) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_input_find", model, out_index));
        return find_value(model->inputs, name, name_length, out_index);
    });
}

size_t quoin_model_output_count(const quoin_model* model) {
    return model == nullptr ? 0 : model->outputs.size();
}

quoin_status quoin_model_output_info(const quoin_model* model, size_t index, quoin_value_info* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_output_info", model, out));
        return value_info(model->outputs, index, out);
    });
}

quoin_status quoin_model_output_find(const quoin_model* model, const char* name, size_t name_length,
                                     size_t* out_index) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_model_output_find", model, out_index));
        return find_value(model->outputs, name, name_length, out_index);
    });
}

quoin_status quoin_model_describe(const quoin_model* model, int32_t what, int32_t format, quoin_write_callback write,
                                  void* user_data) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(model, "model"));
        if (write == nullptr) return error(StatusCode::InvalidArgument, "write is NULL");
        if (what < QUOIN_DESCRIBE_METADATA || what > QUOIN_DESCRIBE_PLAN) {
            return error(StatusCode::InvalidArgument, "no description has the number ", what);
        }
        if (format != QUOIN_FORMAT_TEXT && format != QUOIN_FORMAT_JSON) {
            return error(StatusCode::InvalidArgument, "no format has the number ", format);
        }
        QUOIN_ASSIGN_OR_RETURN(const std::string text,
                               describe(model->model, static_cast<Description>(what), format == QUOIN_FORMAT_JSON));
        if (write(text.data(), text.size(), user_data) != 0) {
            return error(StatusCode::Cancelled, "the description was stopped by the write callback");
        }
        return {};
    });
}
