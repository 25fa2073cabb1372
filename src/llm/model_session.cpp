#include "llm/model_session.h"

#include <algorithm>

namespace quoin {
namespace {

TensorSpec spec_of(const Graph& graph, ValueId id) {
    const Value& value = graph.value(id);
    TensorSpec spec{value.name, value.dtype, value.dims.has_value(),        {},
                    {},         value.kind,  value.default_value != nullptr};
    if (!value.dims) return spec;
    for (const Dim& dim : *value.dims) {
        spec.dims.push_back(dim.size);
        const bool named = !dim.known() && dim.symbol >= 0;
        spec.dim_names.push_back(named ? graph.symbols()[static_cast<size_t>(dim.symbol)] : std::string());
    }
    return spec;
}

std::vector<TensorSpec> graph_specs(const Model& model, const std::vector<ValueId>& ids) {
    std::vector<TensorSpec> specs;
    for (const ValueId id : ids) specs.push_back(spec_of(model.prepared->graph, id));
    return specs;
}

TensorView view_of(const Tensor& tensor) {
    return {tensor.data(), tensor.dtype(), tensor.shape()};
}

}  // namespace

std::vector<TensorSpec> input_specs(const Model& model) {
    if (model.decoder) return {{"tokens", DType::I32, true, {-1}, {"tokens"}}};
    if (model.prepared == nullptr) return {};
    return graph_specs(model, model.prepared->graph.inputs());
}

std::vector<TensorSpec> output_specs(const Model& model) {
    if (model.decoder) {
        return {{"logits", DType::F32, true, {-1, model.decoder->vocabulary_size}, {"tokens", ""}}};
    }
    if (model.prepared == nullptr) return {};
    return graph_specs(model, model.prepared->graph.outputs());
}

Result<std::unique_ptr<ModelSession>> ModelSession::create(ModelPtr model) {
    if (model->prepared == nullptr) {
        return error(StatusCode::Unsupported, "this file holds only a vocabulary; there is nothing to run");
    }
    return std::unique_ptr<ModelSession>(new ModelSession(std::move(model)));
}

ModelSession::ModelSession(ModelPtr model)
    : model_(std::move(model)), inputs_(input_specs(*model_).size()), bound_(output_specs(*model_).size()) {
    if (model_->decoder) return;
    graph_session_ = std::make_unique<Session>(model_->prepared);
    inputs_ = model_->input_defaults;
}

void ModelSession::set_input(size_t index, RuntimeValue value) {
    const bool absent = value.is_none() && index < model_->input_defaults.size();
    inputs_[index] = absent ? model_->input_defaults[index] : std::move(value);
}

Status ModelSession::run() {
    std::unique_lock lock(mutex_);
    WorkState::Work work(state_);
    if (!work.begun()) return error(StatusCode::InvalidState, "this session is at work on another thread");
    if (graph_session_ != nullptr) graph_session_->forget_cancel();
    lock.unlock();
    outputs_.clear();
    QUOIN_RETURN_IF_ERROR(model_->decoder ? run_decoder() : run_graph());
    if (!work.end()) return {};
    outputs_.clear();
    return error(StatusCode::Cancelled, "the run was cancelled");
}

Status ModelSession::run_graph() {
    for (size_t index = 0; index < inputs_.size(); ++index) graph_session_->set_input(index, inputs_[index]);
    for (size_t index = 0; index < bound_.size(); ++index) {
        graph_session_->bind_output(index, bound_[index] ? view_of(*bound_[index]) : TensorView{});
    }
    graph_session_->set_trace(tracing_ ? trace_.get() : nullptr);
    QUOIN_RETURN_IF_ERROR(graph_session_->run());
    for (size_t index = 0; index < bound_.size(); ++index) outputs_.push_back(graph_session_->output_value(index));
    return {};
}

Status ModelSession::run_decoder() {
    if (inputs_[0].is_none()) return error(StatusCode::InvalidArgument, "input 'tokens' was not set");
    const Tensor* const tokens = &inputs_[0].tensor();
    if (tokens->dtype() != DType::I32 || tokens->shape().rank() != 1 || tokens->shape()[0] == 0) {
        return error(StatusCode::InvalidArgument, "input 'tokens' is ", dtype_name(tokens->dtype()),
                     to_string(tokens->shape()), " where the model takes i32[tokens] with at least one token");
    }
    const int64_t count = tokens->shape()[0];
    const Shape shape{count, model_->decoder->vocabulary_size};
    std::optional<Tensor> logits = bound_[0];
    if (logits && (logits->dtype() != DType::F32 || !(logits->shape() == shape))) {
        return error(StatusCode::InvalidArgument, "the tensor bound to output 'logits' is ",
                     dtype_name(logits->dtype()), to_string(logits->shape()), "; the result is f32", to_string(shape));
    }
    if (!logits) {
        QUOIN_ASSIGN_OR_RETURN(logits, Tensor::allocate(model_->runtime->memory, DType::F32, shape, "logits"));
    }
    if (context_ == nullptr || context_->kv_tokens() < count) {
        context_.reset();
        QUOIN_ASSIGN_OR_RETURN(context_, Context::create(model_, {.kv_tokens = count, .max_sequences = 1}));
    }
    context_->set_trace(tracing_ ? trace_.get() : nullptr);
    QUOIN_ASSIGN_OR_RETURN(const std::unique_ptr<Sequence> sequence, Sequence::create(context_));
    QUOIN_RETURN_IF_ERROR(sequence->append_tokens(tokens->as<const int32_t>()));
    QUOIN_RETURN_IF_ERROR(sequence->evaluate(static_cast<size_t>(count), logits->as<float>(), state_));
    outputs_.emplace_back(*std::move(logits));
    return {};
}

void ModelSession::start_profile() {
    trace_ = std::make_unique<Trace>(model_->runtime->team->size());
    tracing_ = true;
}

void ModelSession::stop_profile() {
    tracing_ = false;
}

Result<std::string> ModelSession::plan_text() const {
    const Graph& graph = model_->prepared->graph;
    if (model_->decoder) return error(StatusCode::Unsupported, "the plan of a decoder belongs to its model");
    std::vector<TensorView> views;
    for (size_t index = 0; index < inputs_.size(); ++index) {
        const Value& value = graph.value(graph.inputs()[index]);
        if (inputs_[index].is_tensor()) {
            views.push_back(view_of(inputs_[index].tensor()));
            continue;
        }
        if (!inputs_[index].is_none() || value.kind != ValueKind::Tensor) {
            views.emplace_back();
            continue;
        }
        std::vector<int64_t> dims;
        if (value.dims) std::ranges::transform(*value.dims, std::back_inserter(dims), &Dim::size);
        if (!value.dims || std::ranges::min(dims.empty() ? std::vector<int64_t>{0} : dims) < 0) {
            return error(StatusCode::InvalidArgument, "the shape of input '", value.name,
                         "' is not known: ", describe(graph, value), "; set a tensor");
        }
        views.push_back({nullptr, value.dtype, Shape(std::span<const int64_t>(dims))});
    }
    QUOIN_ASSIGN_OR_RETURN(const Stage stage, plan(*model_->prepared, views));
    std::string text = dump(*model_->prepared, stage.program);
    if (!stage.program.last) text += "further stages follow; their shapes depend on the elements of tensors\n";
    return text;
}

void ModelSession::cancel() const {
    const std::scoped_lock lock(mutex_);
    if (state_.cancel() && graph_session_ != nullptr) graph_session_->cancel();
}

}  // namespace quoin
