#include "llm/model.h"

#include <algorithm>
#include <set>

namespace quoin {
namespace {

Result<std::vector<RuntimeValue>> defaults_of(const Graph& graph) {
    std::vector<RuntimeValue> defaults(graph.inputs().size());
    for (size_t index = 0; index < defaults.size(); ++index) {
        const Constant* const constant = graph.value(graph.inputs()[index]).default_value.get();
        if (constant == nullptr) continue;
        QUOIN_ASSIGN_OR_RETURN(defaults[index], constant->load());
    }
    return defaults;
}

// A file whose keys alone are wanted may have any tokenizer or none.
Result<std::shared_ptr<const Tokenizer>> tokenizer_of(const Metadata& metadata, bool metadata_only) {
    if (metadata_only && metadata.find("tokenizer.ggml.model") == nullptr) return std::shared_ptr<const Tokenizer>();
    Result<std::shared_ptr<const Tokenizer>> tokenizer = make_tokenizer(metadata);
    const bool is_unknown = !tokenizer.ok() && tokenizer.status().code() == StatusCode::Unsupported;
    if (metadata_only && is_unknown) return std::shared_ptr<const Tokenizer>();
    return tokenizer;
}

// Whether a node of a decoder is computed for the tokens alone whose logits are wanted.
bool is_for_wanted_rows(const Graph& graph, const Node& node) {
    const auto& dims = graph.value(node.outputs[0]).dims;
    const auto& wanted = graph.value(graph.outputs()[0]).dims;
    return dims && wanted && dims->size() == wanted->size() && wanted->size() > 1 && (*dims)[1] == (*wanted)[1];
}

}  // namespace

Result<ModelPtr> load(const SourcePtr& source, const RuntimePtr& runtime, const LoadOptions& options) {
    QUOIN_ASSIGN_OR_RETURN(const Provider provider, effective_provider(options.provider, *runtime));
    QUOIN_RETURN_IF_ERROR(check_arithmetic(options.arithmetic, *runtime));
    QUOIN_ASSIGN_OR_RETURN(LoadedModel loaded, load_model(source, {options.folder, options.overridable_initializers,
                                                                   options.metadata_only}));
    auto model = std::make_shared<Model>();
    model->runtime = runtime;
    model->kind = loaded.kind;
    model->decoder = std::move(loaded.decoder);
    model->metadata = std::move(loaded.metadata);
    if (model->kind != ModelKind::Graph) {
        QUOIN_ASSIGN_OR_RETURN(model->tokenizer, tokenizer_of(model->metadata, options.metadata_only));
    }
    if (model->kind == ModelKind::Vocabulary) return ModelPtr(std::move(model));

    if (model->tokenizer != nullptr && model->tokenizer->vocabulary_size() > model->decoder->vocabulary_size) {
        return error(StatusCode::InvalidModel, source->name(), ": the tokenizer has ",
                     model->tokenizer->vocabulary_size(), " tokens, the embedding table only ",
                     model->decoder->vocabulary_size, " rows");
    }
    QUOIN_RETURN_IF_ERROR(with_context(infer_types(loaded.graph), source->name(), ": "));
    QUOIN_RETURN_IF_ERROR(with_context(check_stated(loaded), source->name(), ": "));
    model->source_graph = dump(loaded.graph);
    QUOIN_RETURN_IF_ERROR(with_context(
        optimize(loaded.graph, {*runtime, provider, options.progress, options.arithmetic}), source->name(), ": "));
    QUOIN_ASSIGN_OR_RETURN(model->prepared, prepare(std::move(loaded.graph), runtime, provider));
    QUOIN_ASSIGN_OR_RETURN(model->input_defaults, defaults_of(model->prepared->graph));
    return ModelPtr(std::move(model));
}

ModelFacts facts_of(const Model& model) {
    ModelFacts facts;
    if (model.prepared == nullptr) return facts;
    const Graph& graph = model.prepared->graph;
    for (const Value& value : graph.values()) {
        if (!value.constant) continue;
        facts.parameter_count += value.constant->shape().element_count().value_or(0);
        facts.memory_bytes += static_cast<int64_t>(value.constant->byte_size());
    }
    std::set<ValueId> read;  // a table that is also the output head is read whole, but once
    int64_t integer_work = 0;
    int64_t bf16_work = 0;
    for (const Node& node : graph.nodes()) {
        for (const ValueId input : node.inputs) {
            if (input == kNoValue || !graph.value(input).constant || node.op == Op::Embedding) continue;
            const Constant& constant = *graph.value(input).constant;
            if (read.insert(input).second) facts.active_weight_bytes += static_cast<int64_t>(constant.byte_size());
            if (constant.layout() != Layout::Panels) continue;
            const int64_t work = constant.shape().element_count().value_or(0);
            if (model.decoder && is_for_wanted_rows(graph, node)) {
                facts.logits_multiply_adds += work;
                continue;
            }
            facts.prompt_multiply_adds += work;
            if (graph.value(node.inputs[0]).dtype == DType::Q8Row) integer_work += work;
            if (constant.dtype() == DType::BF16) bf16_work += work;
        }
    }
    facts.prompt_arithmetic = 2 * integer_work > facts.prompt_multiply_adds ? DType::I8
                              : 2 * bf16_work > facts.prompt_multiply_adds  ? DType::BF16
                                                                            : DType::F32;
    return facts;
}

}  // namespace quoin
