#include <algorithm>

#include "handles.h"
#include "support.h"

using namespace quoin;
using namespace quoin::capi;

static_assert(QUOIN_FINISH_END == static_cast<int>(Finish::End));
static_assert(QUOIN_FINISH_LENGTH == static_cast<int>(Finish::Length));
static_assert(QUOIN_FINISH_CONTEXT == static_cast<int>(Finish::Context));
static_assert(QUOIN_FINISH_CANCELLED == static_cast<int>(Finish::Cancelled));

quoin_status quoin_context_create(const quoin_model* model, const quoin_context_options* options, quoin_context** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_context_create", model, out));
        quoin_context_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        ContextOptions chosen;
        chosen.kv_tokens = read.kv_tokens;
        chosen.max_sequences = read.max_sequences;
        chosen.max_step_tokens = read.max_step_tokens;
        if (read.kv_dtype != QUOIN_DTYPE_UNDEFINED) {
            const std::optional<DType> dtype = dtype_of(read.kv_dtype);
            if (!dtype) return error(StatusCode::InvalidArgument, "kv_dtype = ", read.kv_dtype, " is no element type");
            chosen.kv_dtype = *dtype;
        }
        QUOIN_ASSIGN_OR_RETURN(std::shared_ptr<Context> context, Context::create(model->model, chosen));
        *out = std::make_unique<quoin_context>(quoin_context{std::move(context)}).release();
        return {};
    });
}

void quoin_context_destroy(quoin_context* context) {
    const std::unique_ptr<quoin_context> owner(context);
}

quoin_status quoin_context_metrics(const quoin_context* context, quoin_metrics* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_context_metrics", context, out));
        const ContextMetrics counted = context->context->metrics();
        quoin_metrics metrics{};
        metrics.steps = counted.steps;
        metrics.shared_steps = counted.shared_steps;
        metrics.tokens = counted.tokens;
        metrics.step_seconds = counted.step_seconds;
        metrics.sequences = counted.sequences;
        metrics.pages_total = counted.pages_total;
        metrics.pages_used = counted.pages_used;
        metrics.page_tokens = kCachePageTokens;
        metrics.kv_bytes_per_token = counted.kv_bytes_per_token;
        metrics.memory_bytes = counted.memory_bytes;
        return write_struct(metrics, out);
    });
}

// ---- sequence

quoin_status quoin_sequence_create(const quoin_context* context, const quoin_sequence_options* options,
                                   quoin_sequence** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_sequence_create", context, out));
        quoin_sequence_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        QUOIN_ASSIGN_OR_RETURN(std::unique_ptr<Sequence> sequence, Sequence::create(context->context));
        *out = std::make_unique<quoin_sequence>(quoin_sequence{std::move(sequence)}).release();
        return {};
    });
}

void quoin_sequence_destroy(quoin_sequence* sequence) {
    const std::unique_ptr<quoin_sequence> owner(sequence);
}

quoin_status quoin_sequence_append_tokens(quoin_sequence* sequence, const int32_t* ids, size_t count) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(sequence, "sequence"));
        if (ids == nullptr && count != 0) return error(StatusCode::InvalidArgument, "ids is NULL");
        return sequence->sequence->append_tokens({ids, count});
    });
}

quoin_status quoin_sequence_append_text(quoin_sequence* sequence, const char* text, size_t text_length, int32_t flags) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(sequence, "sequence"));
        std::string_view read;
        QUOIN_RETURN_IF_ERROR(read_text(text, text_length, "text", read));
        if ((flags & QUOIN_ENCODE_BOS) != 0) {
            return error(StatusCode::InvalidArgument,
                         "flags may only hold QUOIN_ENCODE_SPECIAL and QUOIN_ENCODE_CONTINUE");
        }
        QUOIN_ASSIGN_OR_RETURN(const EncodeOptions options, encode_options(flags));
        return sequence->sequence->append_text(read, options);
    });
}

size_t quoin_sequence_length(const quoin_sequence* sequence) {
    return sequence == nullptr ? 0 : sequence->sequence->tokens().size();
}

quoin_status quoin_sequence_tokens(const quoin_sequence* sequence, int32_t* ids, size_t capacity, size_t* out_count) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(sequence, "sequence"));
        const std::span<const int32_t> tokens = sequence->sequence->tokens();
        return write_array(tokens.data(), tokens.size(), ids, capacity, out_count);
    });
}

quoin_status quoin_sequence_fork(const quoin_sequence* sequence, quoin_sequence** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_sequence_fork", sequence, out));
        QUOIN_ASSIGN_OR_RETURN(std::unique_ptr<Sequence> copy, sequence->sequence->fork());
        *out = std::make_unique<quoin_sequence>(quoin_sequence{std::move(copy)}).release();
        return {};
    });
}

quoin_status quoin_sequence_trim(quoin_sequence* sequence, size_t length) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(sequence, "sequence"));
        return sequence->sequence->trim(length);
    });
}

quoin_status quoin_sequence_evaluate(quoin_sequence* sequence, size_t rows, float* logits, size_t capacity,
                                     size_t* out_count) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(sequence, "sequence"));
        QUOIN_ASSIGN_OR_RETURN(const size_t count, sequence->sequence->logits_count(rows));
        if (out_count != nullptr) *out_count = count;
        if (logits == nullptr && rows != 0) return {};
        return sequence->sequence->evaluate(rows, {logits, std::min(capacity, count)});
    });
}

// ---- sampler

quoin_status quoin_sampler_create(const quoin_sampler_options* options, quoin_sampler** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        quoin_sampler_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        SamplerOptions chosen;
        // Zero in the header is the neutral value of each filter.
        chosen.repetition_penalty = read.repetition_penalty == 0.0F ? 1.0F : read.repetition_penalty;
        chosen.frequency_penalty = read.frequency_penalty;
        chosen.presence_penalty = read.presence_penalty;
        chosen.penalty_window = read.penalty_window == 0 ? 64 : read.penalty_window;
        if (read.penalty_window == -1) chosen.penalty_window = Sampler::kLongestWindow;
        chosen.top_k = read.top_k;
        chosen.top_p = read.top_p == 0.0F ? 1.0F : read.top_p;
        chosen.min_p = read.min_p;
        chosen.temperature = read.temperature;
        chosen.seed = read.seed;
        if (read.top_k < 0 || read.top_p < 0.0F || read.top_p > 1.0F || read.min_p < 0.0F || read.min_p > 1.0F ||
            read.temperature < 0.0F) {
            return error(StatusCode::InvalidArgument,
                         "top_k and temperature must not be negative, top_p and min_p lie between 0 and 1");
        }
        QUOIN_ASSIGN_OR_RETURN(Sampler sampler, Sampler::make(chosen));
        *out = std::make_unique<quoin_sampler>(quoin_sampler{std::move(sampler)}).release();
        return {};
    });
}

void quoin_sampler_reset(quoin_sampler* sampler) {
    if (sampler != nullptr) sampler->sampler.reset();
}

void quoin_sampler_destroy(quoin_sampler* sampler) {
    const std::unique_ptr<quoin_sampler> owner(sampler);
}

// ---- generate

quoin_status quoin_sequence_generate(quoin_sequence* sequence, quoin_sampler* sampler,
                                     const quoin_generate_options* options, quoin_piece_callback callback,
                                     void* user_data, quoin_result* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(sequence, "sequence"));
        quoin_generate_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        if (read.max_tokens < 0) return error(StatusCode::InvalidArgument, "max_tokens is negative");
        if (out != nullptr) QUOIN_RETURN_IF_ERROR(check_struct_size(out->struct_size));
        PieceCallback on_piece;
        if (callback != nullptr) {
            on_piece = [callback, user_data](std::string_view text, int32_t token) {
                const quoin_piece piece{sizeof(quoin_piece), text.empty() ? "" : text.data(), text.size(), token, 0};
                return callback(&piece, user_data) == 0;
            };
        }
        GenerateResult result;
        const Status status = sequence->sequence->generate(
            sampler == nullptr ? nullptr : &sampler->sampler,
            {.max_tokens = read.max_tokens, .ignore_end = read.ignore_end != 0}, on_piece, result);
        if (out != nullptr && (status.ok() || status.code() == StatusCode::Cancelled)) {
            quoin_result filled{};
            filled.finish = static_cast<int32_t>(result.finish);
            filled.end_token = result.end_token;
            filled.prompt_tokens = result.prompt_tokens;
            filled.generated_tokens = result.generated_tokens;
            filled.prompt_seconds = result.prompt_seconds;
            filled.generate_seconds = result.generate_seconds;
            QUOIN_RETURN_IF_ERROR(write_struct(filled, out));
        }
        return status;
    });
}

void quoin_sequence_cancel(const quoin_sequence* sequence) {
    if (sequence != nullptr) sequence->sequence->cancel();
}
