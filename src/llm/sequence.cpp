#include "llm/sequence.h"

#include <algorithm>
#include <chrono>

namespace quoin {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

Status busy_error() {
    return error(StatusCode::InvalidState, "this sequence is at work on another thread or in a callback");
}

}  // namespace

Result<std::unique_ptr<Sequence>> Sequence::create(std::shared_ptr<Context> context) {
    // The object first: from here on its destructor gives back what it holds.
    std::unique_ptr<Sequence> sequence(new Sequence(context));
    const Status status = context->enter_sequence();
    if (!status.ok()) {
        sequence->context_.reset();
        return status;
    }
    return sequence;
}

Sequence::Sequence(std::shared_ptr<Context> context) : context_(std::move(context)) {
    // A decode step allocates nothing, so the lists have their final room from the start.
    tokens_.reserve(static_cast<size_t>(context_->kv_tokens()));
    pages_.reserve(static_cast<size_t>(context_->kv_tokens() / kCachePageTokens));
}

Sequence::~Sequence() {
    if (context_ != nullptr) context_->leave_sequence(pages_);
}

Status Sequence::append_tokens(std::span<const int32_t> ids) {
    const WorkState::Work work(state_);
    if (!work.begun()) return busy_error();
    return append(ids);
}

Status Sequence::append(std::span<const int32_t> ids) {
    const int64_t vocabulary = context_->model().decoder->vocabulary_size;
    const auto bad = std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= vocabulary; });
    if (bad != ids.end()) {
        return error(StatusCode::InvalidArgument, "token id ", *bad, " is not between 0 and ", vocabulary - 1);
    }
    if (static_cast<int64_t>(tokens_.size() + ids.size()) > context_->kv_tokens()) {
        return error(StatusCode::ContextFull, "the sequence of ", tokens_.size(), " and the new ", ids.size(),
                     " tokens do not fit in a context of ", context_->kv_tokens(),
                     "; shorten the text or create the context with more kv_tokens");
    }
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
    return {};
}

Status Sequence::append_text(std::string_view text, EncodeOptions options) {
    const std::shared_ptr<const Tokenizer>& tokenizer = context_->model().tokenizer;
    if (tokenizer == nullptr) {
        return error(StatusCode::Unsupported, "this model has no tokenizer; append token ids instead of text");
    }
    const WorkState::Work work(state_);
    if (!work.begun()) return busy_error();
    options.add_special = false;
    QUOIN_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer->encode(text, options));
    if (tokens_.empty() && tokenizer->adds_bos() && tokenizer->bos_id() >= 0) {
        ids.insert(ids.begin(), tokenizer->bos_id());
    }
    return append(ids);
}

Result<std::unique_ptr<Sequence>> Sequence::fork() const {
    const WorkState::Reading reading(state_);
    if (!reading.begun()) return busy_error();
    QUOIN_ASSIGN_OR_RETURN(std::unique_ptr<Sequence> copy, create(context_));
    copy->tokens_.assign(tokens_.begin(), tokens_.end());
    const PageList shared = context_->share_pages(pages_, computed_);
    copy->pages_.assign(shared.begin(), shared.end());
    copy->computed_ = computed_;
    return copy;
}

Status Sequence::trim(size_t length) {
    const WorkState::Work work(state_);
    if (!work.begun()) return busy_error();
    if (length > tokens_.size()) {
        return error(StatusCode::InvalidArgument, "the sequence has ", tokens_.size(),
                     " tokens and cannot be trimmed to ", length);
    }
    tokens_.resize(length);
    computed_ = std::min(computed_, static_cast<int64_t>(length));
    context_->truncate_pages(pages_, computed_);
    return {};
}

// Logits of rows that were computed before cost their computation again: only keys and values are kept.
Status Sequence::compute(size_t rows, float* logits, const WorkState& work) {
    const auto length = static_cast<int64_t>(tokens_.size());
    const int64_t first = std::min(computed_, length - static_cast<int64_t>(rows));
    StepRequest request;
    request.tokens = std::span<const int32_t>(tokens_).subspan(static_cast<size_t>(first));
    request.first = first;
    request.rows = static_cast<int64_t>(rows);
    request.logits = logits;
    request.pages = &pages_;
    request.work = &work;
    if (request.tokens.empty()) return {};
    Status status = context_->submit(request);
    // What was computed before the end stays; the rest is taken up again by the next call.
    computed_ = std::max(computed_, first + request.done);
    if (!status.ok()) context_->truncate_pages(pages_, computed_);
    return status;
}

Result<size_t> Sequence::count_logits(size_t rows) const {
    if (rows <= tokens_.size()) return rows * static_cast<size_t>(context_->model().decoder->vocabulary_size);
    return error(StatusCode::InvalidArgument, rows, " rows were asked for, the sequence has ", tokens_.size(),
                 " tokens");
}

Result<size_t> Sequence::logits_count(size_t rows) const {
    const WorkState::Reading reading(state_);
    if (!reading.begun()) return busy_error();
    return count_logits(rows);
}

Status Sequence::evaluate(size_t rows, std::span<float> logits) {
    return evaluate(rows, logits, state_);
}

Status Sequence::evaluate(size_t rows, std::span<float> logits, const WorkState& greater) {
    WorkState::Work work(state_);
    if (!work.begun()) return busy_error();
    QUOIN_ASSIGN_OR_RETURN(const size_t count, count_logits(rows));
    if (logits.size() < count) {
        return error(StatusCode::BufferTooSmall, "the logits of ", rows, " rows need ", count, " floats");
    }
    QUOIN_RETURN_IF_ERROR(compute(rows, logits.data(), greater));
    return work.end() ? error(StatusCode::Cancelled, "the sequence was cancelled") : Status();
}

Status Sequence::generate(Sampler* sampler, const GenerateOptions& options, const PieceCallback& callback,
                          GenerateResult& result) {
    WorkState::Work work(state_);
    if (!work.begun()) return busy_error();
    if (tokens_.empty()) {
        return error(StatusCode::InvalidArgument, "the sequence is empty: append text or tokens before generating");
    }
    const Model& model = context_->model();
    QUOIN_ASSIGN_OR_RETURN(Sampler greedy, Sampler::make({.penalty_window = 0, .temperature = 0.0F}));
    if (sampler == nullptr) sampler = &greedy;
    sampler->set_history(tokens_);
    StreamDecoder decoder(model.tokenizer, {.keep_leading_space = true});
    logits_.resize(static_cast<size_t>(model.decoder->vocabulary_size));

    result = {};
    result.prompt_tokens = std::max<int64_t>(1, static_cast<int64_t>(tokens_.size()) - computed_);
    const Context::Announcement announcement(*context_);
    const auto start = Clock::now();
    auto first_token = start;
    const auto stopped = [] {
        return error(StatusCode::Cancelled, "generation was stopped by the callback or another thread");
    };
    Status status;
    while (true) {
        if (options.max_tokens > 0 && result.generated_tokens == options.max_tokens) {
            result.finish = Finish::Length;
            break;
        }
        // The next token would have no place.
        if (static_cast<int64_t>(tokens_.size()) == context_->kv_tokens()) {
            result.finish = Finish::Context;
            if (result.generated_tokens == 0) result.prompt_tokens = 0;
            break;
        }
        status = compute(1, logits_.data(), state_);
        if (status.code() == StatusCode::ContextFull && result.generated_tokens > 0) {
            status = {};
            result.finish = Finish::Context;
            break;
        }
        if (!status.ok()) break;
        Result<int32_t> token = sampler->sample(logits_);
        if (!token.ok()) {
            status = error(StatusCode::InvalidModel, token.status().message());
            break;
        }
        if (result.generated_tokens == 0) {
            first_token = Clock::now();
            result.prompt_seconds = seconds_since(start);
        }
        if (!options.ignore_end && model.tokenizer != nullptr && model.tokenizer->is_end(*token)) {
            result.finish = Finish::End;
            result.end_token = *token;
            break;
        }
        sampler->accept(*token);
        tokens_.push_back(*token);
        ++result.generated_tokens;
        result.generate_seconds = seconds_since(first_token);
        std::string_view text;
        if (model.tokenizer != nullptr) {
            Result<std::string_view> piece = decoder.push(*token);
            if (piece.ok()) text = *piece;
        }
        if (callback && !callback(text, *token)) cancel();
        if (state_.is_cancelled()) {
            status = stopped();
            break;
        }
    }
    if (status.ok() && model.tokenizer != nullptr && callback) {
        const std::string_view rest = decoder.finish();
        if (!rest.empty() && !callback(rest, -1)) cancel();
    }
    if (status.ok() && work.end()) status = stopped();
    if (status.code() == StatusCode::Cancelled) {
        result.finish = Finish::Cancelled;
        result.end_token = -1;
    }
    return status;
}

void Sequence::cancel() const {
    state_.cancel();
}

}  // namespace quoin
