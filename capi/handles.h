// What the opaque handles of quoin.h hold.
#pragma once

#include <quoin/quoin.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/runtime.h"
#include "core/tensor.h"
#include "llm/context.h"
#include "llm/model.h"
#include "llm/model_session.h"
#include "llm/sampler.h"
#include "llm/sequence.h"

struct quoin_runtime {
    quoin::RuntimePtr runtime;
};

struct quoin_tokenizer {
    std::shared_ptr<const quoin::Tokenizer> tokenizer;
};

// Strings and arrays that the header hands out as borrowed pointers stand here, ready.
struct quoin_model {
    struct ValueInfo {
        quoin::TensorSpec spec;
        std::vector<const char*> dim_names;
    };
    quoin::ModelPtr model;
    std::optional<quoin_tokenizer> tokenizer;
    std::string architecture;
    std::vector<ValueInfo> inputs;
    std::vector<ValueInfo> outputs;
};

struct quoin_tensor {
    quoin::Tensor tensor;
};

// A value and, ready to be lent, what is in it.
struct quoin_value {
    quoin::RuntimeValue value;
    std::optional<quoin_tensor> tensor;
    std::vector<quoin_value> items;
};

struct quoin_session {
    std::unique_ptr<quoin::ModelSession> session;
    std::vector<quoin_value> outputs;           // of the last run, if it succeeded
    std::vector<const std::byte*> own_outputs;  // those of them that lie in the session's memory
};

struct quoin_context {
    std::shared_ptr<quoin::Context> context;
};

struct quoin_sequence {
    std::unique_ptr<quoin::Sequence> sequence;
};

struct quoin_sampler {
    quoin::Sampler sampler;
};
