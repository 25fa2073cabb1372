// Which tokens of which sequences a step computes.
#include "llm/step.h"

#include <memory>

#include "support/catch.h"

using namespace quoin;

namespace {

const std::vector<int32_t> kTokens(1000);

StepRequest request_of(size_t tokens, int64_t rows) {
    StepRequest request;
    request.tokens = std::span(kTokens).first(tokens);
    request.rows = rows;
    return request;
}

// Tokens of each request in the next step, 0 for those that are passed over.
std::vector<int64_t> counts(std::vector<StepRequest>& requests, StepLimits limits) {
    std::vector<StepRequest*> waiting;
    for (StepRequest& request : requests) waiting.push_back(&request);
    std::vector<StepPiece> pieces;
    choose_pieces(waiting, limits, pieces);
    std::vector<int64_t> found(requests.size());
    for (const StepPiece& piece : pieces) found[static_cast<size_t>(piece.request - requests.data())] += piece.count;
    return found;
}

// Steps until a prompt of ten tokens is computed, which arrives after `singles` that want one more token each time.
int64_t steps_of_prompt(int singles, int64_t rows, StepLimits limits) {
    std::vector<std::unique_ptr<StepRequest>> requests;
    std::vector<StepRequest*> waiting;
    const auto arrive = [&](size_t tokens, int64_t wanted_rows) {
        requests.push_back(std::make_unique<StepRequest>(request_of(tokens, wanted_rows)));
        waiting.push_back(requests.back().get());
    };
    for (int index = 0; index < singles; ++index) arrive(1, 1);
    arrive(10, rows);
    const StepRequest& prompt = *waiting.back();
    std::vector<StepPiece> pieces;
    for (int64_t step = 1; step < 1000; ++step) {
        choose_pieces(waiting, limits, pieces);
        int64_t tokens = 0;
        int64_t logits = 0;
        for (const StepPiece& piece : pieces) {
            piece.request->done += piece.count;
            tokens += piece.count;
            logits += piece.rows;
        }
        CHECK(tokens >= 1);
        CHECK(tokens <= limits.tokens);
        CHECK(logits <= limits.rows);
        if (prompt.left() == 0) return step;
        const size_t before = waiting.size();
        std::erase_if(waiting, [](const StepRequest* request) { return request->left() == 0; });
        while (waiting.size() < before) arrive(1, 1);
    }
    return -1;
}

}  // namespace

TEST_CASE("requests of one token come before a prompt, which gets what is left") {
    std::vector<StepRequest> requests = {request_of(100, 1), request_of(1, 1), request_of(50, 1), request_of(1, 1)};
    CHECK(counts(requests, {64, 64}) == std::vector<int64_t>{62, 1, 0, 1});
    CHECK(counts(requests, {200, 200}) == std::vector<int64_t>{100, 1, 50, 1});
}

TEST_CASE("a piece ends early where logits would be too many") {
    std::vector<StepRequest> requests = {request_of(10, 10), request_of(1, 1), request_of(10, 4)};
    CHECK(counts(requests, {64, 3}) == std::vector<int64_t>{2, 1, 6});
    requests[2].done = 8;
    CHECK(counts(requests, {64, 16}) == std::vector<int64_t>{10, 1, 2});
}

TEST_CASE("a prompt goes on beside as many sequences as a step has tokens, or more") {
    // A token every second step; the last one counts among the requests of one token.
    CHECK(steps_of_prompt(4, 1, {4, 4}) == 19);
    CHECK(steps_of_prompt(1, 1, {1, 1}) == 19);
    CHECK(steps_of_prompt(3, 1, {4, 4}) == 10);
    CHECK(steps_of_prompt(20, 1, {4, 4}) > 0);
    // Ten rows of logits beside sequences that take them all.
    CHECK(steps_of_prompt(4, 10, {16, 4}) > 0);
}

TEST_CASE("sequences go on beside a prompt when a step has one token") {
    std::vector<StepRequest> requests = {request_of(100, 1), request_of(1, 1)};
    CHECK(counts(requests, {1, 1}) == std::vector<int64_t>{0, 1});
    CHECK(counts(requests, {1, 1}) == std::vector<int64_t>{1, 0});
    CHECK(counts(requests, {1, 1}) == std::vector<int64_t>{0, 1});
}
