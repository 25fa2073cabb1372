// One text in a context: its tokens, how far they are computed, and the pages that hold them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "llm/context.h"
#include "llm/sampler.h"
#include "llm/work_state.h"

namespace quoin {

struct GenerateOptions {
    int64_t max_tokens = 0;   // 0: until the model ends the text or the context is full
    bool ignore_end = false;  // end tokens count as ordinary ones
};

enum class Finish : int32_t { End = 1, Length = 2, Context = 3, Cancelled = 4 };

struct GenerateResult {
    Finish finish = Finish::Length;
    int32_t end_token = -1;  // neither in the sequence nor given to the callback
    int64_t prompt_tokens = 0;
    int64_t generated_tokens = 0;
    double prompt_seconds = 0;
    double generate_seconds = 0;
};

// Text is whole UTF-8 characters, perhaps none; token is -1 for what is left over at the end. False stops.
using PieceCallback = std::function<bool(std::string_view text, int32_t token)>;

// For one thread at a time, except cancel(). Keeps its context alive.
class Sequence {
public:
    static Result<std::unique_ptr<Sequence>> create(std::shared_ptr<Context> context);
    Sequence(const Sequence&) = delete;
    Sequence& operator=(const Sequence&) = delete;
    ~Sequence();

    const Context& context() const { return *context_; }
    std::span<const int32_t> tokens() const { return tokens_; }

    // InvalidArgument: an id outside the vocabulary; ContextFull: more tokens than the context can ever hold.
    Status append_tokens(std::span<const int32_t> ids);
    // An empty sequence gets the begin token first if the model wants one, whatever options.add_special says.
    Status append_text(std::string_view text, EncodeOptions options = {});
    // Shares computed pages until one of the two goes another way.
    Result<std::unique_ptr<Sequence>> fork() const;
    Status trim(size_t length);

    // How many logits the last `rows` tokens have.
    Result<size_t> logits_count(size_t rows) const;
    // Computes what is not yet computed and writes the logits of the last `rows` tokens to `logits`, [rows,
    // vocabulary]. BufferTooSmall: it has less room.
    Status evaluate(size_t rows, std::span<float> logits);
    // The same as a part of greater work, whose cancel() ends it in place of the sequence's own.
    Status evaluate(size_t rows, std::span<float> logits, const WorkState& greater);
    // Status Cancelled: `result` is filled all the same. Greedy when `sampler` is null.
    Status generate(Sampler* sampler, const GenerateOptions& options, const PieceCallback& callback,
                    GenerateResult& result);
    // From any thread: the evaluate or generate at work ends within one step, with Cancelled even when that step was
    // its last; nothing happens when none is.
    void cancel() const;

private:
    explicit Sequence(std::shared_ptr<Context> context);
    Status append(std::span<const int32_t> ids);
    Result<size_t> count_logits(size_t rows) const;
    Status compute(size_t rows, float* logits, const WorkState& work);

    std::shared_ptr<Context> context_;
    std::vector<int32_t> tokens_;
    int64_t computed_ = 0;  // tokens whose keys and values are in the pages
    PageList pages_;
    std::vector<float> logits_;  // of the last token, kept from token to token
    mutable WorkState state_;    // a second thread gets InvalidState instead of a data race
};

}  // namespace quoin
