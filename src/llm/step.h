// What waiting sequences want of common steps, and what of it the next step computes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/status.h"
#include "llm/kv_cache.h"
#include "llm/work_state.h"

namespace quoin {

// What one sequence wants of the next steps: `tokens` computed at positions from `first` on, and the logits of the last
// `rows` of them written to `logits` ([rows, vocabulary]).
struct StepRequest {
    std::span<const int32_t> tokens;
    int64_t first = 0;
    int64_t rows = 0;
    float* logits = nullptr;
    PageList* pages = nullptr;
    const WorkState* work = nullptr;  // whose cancel() ends the request

    int64_t done = 0;          // tokens computed so far; also after a failure
    bool passed_over = false;  // the last step had no room for it
    bool finished = false;
    Status status;

    int64_t left() const { return static_cast<int64_t>(tokens.size()) - done; }
};

// One sequence's part of a step.
struct StepPiece {
    StepRequest* request;
    int64_t count;  // tokens
    int64_t rows;   // wanted logits among them
};

// What a step can compute at most, each at least 1.
struct StepLimits {
    int64_t tokens;
    int64_t rows;
};

// `waiting` in the order of arrival, none finished. Requests of one token come first, for a prompt of thousands of
// tokens must not keep those waiting who want one; but every second step at least does something for the oldest
// request, for those may come back for ever.
void choose_pieces(std::span<StepRequest* const> waiting, StepLimits limits, std::vector<StepPiece>& pieces);

}  // namespace quoin
