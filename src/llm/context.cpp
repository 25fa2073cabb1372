#include "llm/context.h"

#include <algorithm>
#include <cstring>

#include "core/log.h"

namespace quoin {
namespace {

constexpr int64_t kDefaultKvTokens = 4096;
constexpr int64_t kMaxKvTokens = int64_t{1} << 30;  // positions are int32
constexpr int32_t kDefaultSequences = 64;
constexpr int32_t kDefaultStepTokens = 512;
// Logits of a step: 64 MiB at most, or one row of a vocabulary that is larger still.
constexpr int64_t kStepLogits = int64_t{16} << 20;

// Order of the decoder's inputs, see load/decoder.h.
enum Input : size_t { kTokenIds, kPositions, kTokenSequences, kPageTable, kOutputRows, kFirstCache };

TensorView view_of(std::vector<int32_t>& values, Shape shape) {
    return {reinterpret_cast<std::byte*>(values.data()), DType::I32, shape};
}

}  // namespace

DType default_kv_dtype(const Model& model) {
    for (const Value& value : model.prepared->graph.values()) {
        const bool matrix = value.constant && value.constant->layout() == Layout::Panels;
        if (matrix && is_block_format(value.dtype)) return DType::F16;
    }
    return DType::F32;
}

namespace {

Status check_range(std::string_view name, int64_t value, int64_t limit) {
    if (value >= 0 && value <= limit) return {};
    return error(StatusCode::InvalidArgument, name, " = ", value, " is not between 0 and ", limit);
}

}  // namespace

Result<std::shared_ptr<Context>> Context::create(ModelPtr model, const ContextOptions& options) {
    if (!model->decoder) {
        return error(StatusCode::Unsupported, "this model generates no text, so it can have no context");
    }
    QUOIN_RETURN_IF_ERROR(check_range("kv_tokens", options.kv_tokens, kMaxKvTokens));
    QUOIN_RETURN_IF_ERROR(check_range("max_sequences", options.max_sequences, 1 << 16));
    QUOIN_RETURN_IF_ERROR(check_range("max_step_tokens", options.max_step_tokens, 1 << 16));
    ContextOptions chosen = options;
    if (chosen.kv_tokens == 0)
        chosen.kv_tokens = std::clamp<int64_t>(model->decoder->context_length, 1, kDefaultKvTokens);
    if (chosen.kv_dtype == DType::Undefined) chosen.kv_dtype = default_kv_dtype(*model);
    if (chosen.max_sequences == 0) chosen.max_sequences = kDefaultSequences;
    if (chosen.max_step_tokens == 0) chosen.max_step_tokens = kDefaultStepTokens;
    if (chosen.kv_tokens > model->decoder->context_length) {
        log(LogLevel::Warning, "the context holds ", chosen.kv_tokens, " tokens, the model was trained for ",
            model->decoder->context_length, ": longer texts may lose their thread");
    }
    QUOIN_ASSIGN_OR_RETURN(KvCache cache,
                           KvCache::create(model->runtime->memory, *model->decoder, chosen.kv_tokens, chosen.kv_dtype));
    return std::shared_ptr<Context>(new Context(std::move(model), std::move(cache), chosen));
}

Context::Context(ModelPtr model, KvCache cache, const ContextOptions& options)
    : model_(std::move(model)),
      max_sequences_(options.max_sequences),
      max_step_tokens_(options.max_step_tokens),
      max_step_rows_(std::clamp<int64_t>(kStepLogits / model_->decoder->vocabulary_size, 1, options.max_step_tokens)),
      cache_(std::move(cache)),
      session_(model_->prepared) {
    const auto sequences = static_cast<size_t>(max_sequences_);
    const auto tokens = static_cast<size_t>(max_step_tokens_);
    waiting_.reserve(sequences);
    pieces_.reserve(sequences);
    token_ids_.reserve(tokens);
    positions_.reserve(tokens);
    token_sequences_.reserve(tokens);
    output_rows_.reserve(tokens);
    // Always of the same shape, so that a sequence that grows needs no new plan.
    page_table_.resize(sequences * static_cast<size_t>(cache_.total_pages()));
    session_.set_input(kPageTable, view_of(page_table_, Shape{max_sequences_, cache_.total_pages()}));
    const std::span<const TensorView> caches = cache_.tensors();
    for (size_t index = 0; index < caches.size(); ++index) session_.set_input(kFirstCache + index, caches[index]);
}

ContextMetrics Context::metrics() const {
    const std::scoped_lock lock(mutex_);
    ContextMetrics metrics = metrics_;
    metrics.pages_total = cache_.total_pages();
    metrics.pages_used = cache_.used_pages();
    metrics.kv_bytes_per_token = cache_.bytes_per_token();
    metrics.memory_bytes += cache_.memory_bytes();
    return metrics;
}

Status Context::enter_sequence() {
    const std::scoped_lock lock(mutex_);
    if (metrics_.sequences == max_sequences_) {
        return error(StatusCode::ContextFull, "the context has its ", max_sequences_,
                     " sequences already; destroy one, or create the context with more max_sequences");
    }
    ++metrics_.sequences;
    return {};
}

void Context::leave_sequence(PageList& pages) {
    const std::scoped_lock lock(mutex_);
    cache_.truncate(pages, 0);
    --metrics_.sequences;
}

PageList Context::share_pages(const PageList& pages, int64_t tokens) {
    const std::scoped_lock lock(mutex_);
    return cache_.share(pages, tokens);
}

void Context::truncate_pages(PageList& pages, int64_t tokens) {
    const std::scoped_lock lock(mutex_);
    cache_.truncate(pages, tokens);
}

Status Context::submit(StepRequest& request) {
    std::unique_lock lock(mutex_);
    waiting_.push_back(&request);
    arrived_.notify_one();
    while (!request.finished) {
        if (leading_) {
            finished_.wait(lock);
            continue;
        }
        leading_ = true;
        try {
            while (!request.finished) lead(lock);
        } catch (...) {  // out of memory: the others must not wait for a leader who is gone
            if (!lock.owns_lock()) lock.lock();
            std::erase(waiting_, &request);
            leading_ = false;
            finished_.notify_all();
            throw;
        }
        leading_ = false;
        finished_.notify_all();
    }
    return std::move(request.status);
}

// Threads that generate come back within microseconds of the last step. Waiting for them a fraction of a step costs
// less than computing them in a step of their own.
void Context::gather(std::unique_lock<std::mutex>& lock) {
    using namespace std::chrono;
    const auto patience =
        std::clamp(duration_cast<microseconds>(last_step_ / 4), microseconds(100), microseconds(2000));
    arrived_.wait_for(lock, patience, [&] { return static_cast<int32_t>(waiting_.size()) >= announced_.load(); });
}

// One step for those who wait. Called with the lock held and `leading_` set; computes without the lock.
void Context::lead(std::unique_lock<std::mutex>& lock) {
    gather(lock);
    prepare_step();
    if (!pieces_.empty()) {
        fill_inputs();
        const auto start = std::chrono::steady_clock::now();
        lock.unlock();
        const Status status = compute();
        lock.lock();
        last_step_ = std::chrono::steady_clock::now() - start;
        metrics_.memory_bytes = static_cast<int64_t>(session_.memory_bytes());
        ++metrics_.steps;
        metrics_.shared_steps += pieces_.size() > 1 ? 1 : 0;
        metrics_.step_seconds += last_step_.count();
        for (const StepPiece& piece : pieces_) {
            StepRequest& request = *piece.request;
            if (!status.ok()) {
                finish(request, status);
                continue;
            }
            request.done += piece.count;
            metrics_.tokens += piece.count;
            if (request.left() == 0) finish(request, {});
        }
    }
    finished_.notify_all();
}

void Context::finish(StepRequest& request, Status status) {
    request.status = std::move(status);
    request.finished = true;
    std::erase(waiting_, &request);
}

// A request for which there are no pages fails alone; its room in this step stays empty.
void Context::prepare_step() {
    for (size_t index = waiting_.size(); index-- > 0;) {
        StepRequest& request = *waiting_[index];
        if (request.work->is_cancelled()) {
            finish(request, error(StatusCode::Cancelled, "the sequence was cancelled"));
        }
    }
    choose_pieces(waiting_, {max_step_tokens_, max_step_rows_}, pieces_);
    std::erase_if(pieces_, [&](const StepPiece& piece) {
        StepRequest& request = *piece.request;
        Status status = cache_.reserve(*request.pages, request.first + request.done, piece.count);
        const bool failed = !status.ok();
        if (failed) finish(request, std::move(status));
        return failed;
    });
}

void Context::fill_inputs() {
    token_ids_.clear();
    positions_.clear();
    token_sequences_.clear();
    output_rows_.clear();
    for (size_t index = 0; index < pieces_.size(); ++index) {
        const StepRequest& request = *pieces_[index].request;
        for (int64_t offset = request.done; offset < request.done + pieces_[index].count; ++offset) {
            token_ids_.push_back(request.tokens[static_cast<size_t>(offset)]);
            positions_.push_back(static_cast<int32_t>(request.first + offset));
            token_sequences_.push_back(static_cast<int32_t>(index));
        }
        const auto end = static_cast<int32_t>(token_ids_.size());
        for (auto row = end - static_cast<int32_t>(pieces_[index].rows); row < end; ++row) output_rows_.push_back(row);
        std::ranges::copy(*request.pages, page_table_.data() + index * static_cast<size_t>(cache_.total_pages()));
    }
    const auto tokens = static_cast<int64_t>(token_ids_.size());
    session_.set_input(kTokenIds, view_of(token_ids_, Shape{1, tokens}));
    session_.set_input(kPositions, view_of(positions_, Shape{1, tokens}));
    session_.set_input(kTokenSequences, view_of(token_sequences_, Shape{tokens}));
    session_.set_input(kOutputRows, view_of(output_rows_, Shape{static_cast<int64_t>(output_rows_.size())}));
}

Status Context::compute() {
    const int64_t vocabulary = model_->decoder->vocabulary_size;
    const auto logits_of = [&](const StepPiece& piece) {
        const StepRequest& request = *piece.request;
        const int64_t plain = static_cast<int64_t>(request.tokens.size()) - request.rows;
        const int64_t first_row = std::max<int64_t>(0, request.done + piece.count - piece.rows - plain);
        return request.logits + first_row * vocabulary;
    };
    // Who is alone gets the logits where they are wanted.
    const bool alone = pieces_.size() == 1 && pieces_[0].rows > 0;
    TensorView place;
    if (alone) {
        place = {reinterpret_cast<std::byte*>(logits_of(pieces_[0])), DType::F32,
                 Shape{1, pieces_[0].rows, vocabulary}};
    }
    session_.bind_output(0, place);
    QUOIN_RETURN_IF_ERROR(session_.run());
    if (alone) return {};
    const float* row = session_.output(0).as<float>();
    for (const StepPiece& piece : pieces_) {
        if (piece.rows == 0) continue;
        const int64_t count = piece.rows * vocabulary;
        std::memcpy(logits_of(piece), row, static_cast<size_t>(count) * sizeof(float));
        row += count;
    }
    return {};
}

}  // namespace quoin
