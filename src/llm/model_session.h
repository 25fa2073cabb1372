// Tensors in, tensors out, for every kind of model: what quoin_session stands for.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"
#include "core/tensor.h"
#include "exec/session.h"
#include "exec/trace.h"
#include "llm/model.h"
#include "llm/sequence.h"

namespace quoin {

// An input or output as a caller sees it; -1 stands for any size, equal names for equal sizes.
struct TensorSpec {
    std::string name;
    DType dtype = DType::Undefined;
    bool ranked = true;
    std::vector<int64_t> dims;
    std::vector<std::string> dim_names;
    ValueKind kind = ValueKind::Tensor;
    bool has_default = false;  // an input that need not be given
};

// For a graph its own inputs and outputs; for a decoder "tokens" i32 [tokens] and "logits" f32 [tokens, vocabulary].
std::vector<TensorSpec> input_specs(const Model& model);
std::vector<TensorSpec> output_specs(const Model& model);

// Not thread-safe, except cancel().
class ModelSession {
public:
    static Result<std::unique_ptr<ModelSession>> create(ModelPtr model);

    const Model& model() const { return *model_; }
    size_t input_count() const { return inputs_.size(); }
    size_t output_count() const { return bound_.size(); }
    // Bytes of tensors are read by later runs, not copied. None: the input is left out, or has its default value.
    void set_input(size_t index, RuntimeValue value);
    // Later runs write there; nullopt undoes it.
    void bind_output(size_t index, std::optional<Tensor> tensor) { bound_[index] = std::move(tensor); }
    bool is_bound(size_t index) const { return bound_[index].has_value(); }
    Status run();
    // Of the last run; nothing before the first and after a failure. Bytes are the session's or the bound tensor's.
    const std::vector<RuntimeValue>& outputs() const { return outputs_; }
    void cancel() const;

    // From now on runs are written down, anew.
    void start_profile();
    void stop_profile();
    // What was written down since the start; null before it.
    const Trace* profile() const { return trace_.get(); }
    // A listing of the plan for the inputs that are set; for one that is not, every dim must be known.
    Result<std::string> plan_text() const;

private:
    explicit ModelSession(ModelPtr model);
    Status run_graph();
    Status run_decoder();

    ModelPtr model_;
    std::vector<RuntimeValue> inputs_;
    std::vector<std::optional<Tensor>> bound_;
    std::vector<RuntimeValue> outputs_;
    std::unique_ptr<Trace> trace_;
    bool tracing_ = false;
    std::unique_ptr<Session> graph_session_;  // for graphs
    std::shared_ptr<Context> context_;        // for decoders, made for the longest text so far
    mutable WorkState state_;
    mutable std::mutex mutex_;  // a cancel() must not reach graph_session_ when the next run has begun
};

}  // namespace quoin
