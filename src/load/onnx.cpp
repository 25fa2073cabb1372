#include "load/onnx.h"

#include <deque>
#include <utility>

#include "load/onnx_external.h"
#include "load/onnx_graph.h"
#include "load/onnx_proto.h"
#include "load/quoted.h"
#include "load/wire.h"

namespace quoin {
namespace {

constexpr int64_t kOldestIr = 3;
constexpr int64_t kNewestIr = 13;

Status check_versions(const onnx::ModelProto& model) {
    if (!model.graph) return error(StatusCode::InvalidModel, "the model has no graph");
    if (model.ir_version < kOldestIr || model.ir_version > kNewestIr) {
        return error(StatusCode::Unsupported, "IR version ", model.ir_version, " of ONNX; known are ", kOldestIr,
                     " to ", kNewestIr);
    }
    return {};
}

// Copied, so that the whole file need not stay for a few words.
Metadata metadata_of(const onnx::ModelProto& model, const std::string& source_name) {
    const auto texts = std::make_shared<std::deque<std::string>>();
    Metadata metadata(source_name, texts);
    const auto keep = [&](std::string text) -> std::string_view { return texts->emplace_back(std::move(text)); };
    const auto add_text = [&](std::string_view key, std::string_view text) {
        if (!text.empty()) metadata.add(key, keep(std::string(text)));
    };
    metadata.add("onnx.ir_version", model.ir_version);
    for (const auto& [domain, version] : onnx::operator_sets(model.opset_imports)) {
        metadata.add(keep("onnx.opset." + (domain.empty() ? "ai.onnx" : std::string(domain))), version);
    }
    add_text("onnx.producer_name", model.producer_name);
    add_text("onnx.producer_version", model.producer_version);
    add_text("onnx.domain", model.domain);
    if (model.model_version) metadata.add("onnx.model_version", *model.model_version);
    add_text("onnx.doc_string", model.doc_string);
    add_text("onnx.graph_name", model.graph->name);
    for (const auto& [key, value] : model.metadata_props)
        metadata.add(keep(std::string(key)), keep(std::string(value)));
    return metadata;
}

Result<LoadedModel> build(const SourcePtr& source, const ReadOptions& options) {
    QUOIN_ASSIGN_OR_RETURN(const SourceBytes file, source->read(0, source->size()));
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size());
    QUOIN_ASSIGN_OR_RETURN(const onnx::ModelProto proto, onnx::parse_model(bytes));
    QUOIN_RETURN_IF_ERROR(check_versions(proto));
    LoadedModel model;
    model.metadata = metadata_of(proto, source->name());
    if (options.metadata_only) return model;
    const auto& folder = options.folder;
    const auto memory = folder && folder->memory ? folder->memory : std::make_shared<Memory>();
    onnx::ExternalFiles files(folder);
    onnx::ModelContext context(proto, {source, file.bytes.data(), memory, files}, options.overridable_initializers);
    model.kind = ModelKind::Graph;
    QUOIN_ASSIGN_OR_RETURN(onnx::BuiltGraph built, onnx::build_graph(*proto.graph, context));
    model.graph = std::move(built.graph);
    model.stated = std::move(built.stated);
    return model;
}

}  // namespace

Result<LoadedModel> load_onnx(const SourcePtr& source, const ReadOptions& options) {
    Result<LoadedModel> model = wire::caught([&] { return build(source, options); });
    if (!model.ok()) return with_context(model.status(), source->name(), ": ");
    return model;
}

}  // namespace quoin
