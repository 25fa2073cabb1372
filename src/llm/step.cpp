#include "llm/step.h"

#include <algorithm>

namespace quoin {
namespace {

// Tokens that can be had without logits: wanted rows are the last of the request.
int64_t tokens_before_rows(const StepRequest& request) {
    return std::max<int64_t>(0, request.left() - request.rows);
}

}  // namespace

void choose_pieces(std::span<StepRequest* const> waiting, StepLimits limits, std::vector<StepPiece>& pieces) {
    pieces.clear();
    StepLimits kept{0, 0};  // from requests of one token, for the oldest request
    if (!waiting.empty() && waiting[0]->passed_over && waiting[0]->left() > 1) {
        kept = {1, tokens_before_rows(*waiting[0]) == 0 ? 1 : 0};
    }
    StepLimits room{limits.tokens - kept.tokens, limits.rows - kept.rows};
    for (const bool single : {true, false}) {
        for (StepRequest* const request : waiting) {
            if ((request->left() == 1) != single) continue;
            const int64_t plain = tokens_before_rows(*request);
            // A piece may have to end early for want of rows.
            const int64_t count = std::min({request->left(), room.tokens, plain + room.rows});
            request->passed_over = count == 0;
            if (count == 0) continue;
            const int64_t rows = std::clamp<int64_t>(count - plain, 0, request->rows);
            room.tokens -= count;
            room.rows -= rows;
            pieces.push_back({request, count, rows});
        }
        room.tokens += kept.tokens;
        room.rows += kept.rows;
    }
}

}  // namespace quoin
