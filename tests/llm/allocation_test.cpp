// A decode step after the first asks nobody for memory.
#include "llm/sequence.h"
#include "support/allocation_count.h"
#include "support/catch.h"
#include "support/language_model.h"

using namespace quoin;
using namespace quoin::test;

TEST_CASE("decode steps after the first allocate nothing") {
    const auto context = make_context(tiny_model(make_runtime(2)), {.kv_tokens = 512});
    const auto sequence = make_sequence(context, std::to_array<int32_t>({1, 529, 528, 261, 427}));
    std::vector<int64_t> after_token;
    after_token.reserve(256);
    const PieceCallback callback = [&](std::string_view, int32_t) {
        after_token.push_back(allocation_count());
        return true;
    };
    auto sampler = Sampler::make({.repetition_penalty = 1.1F, .top_k = 40, .top_p = 0.9F, .temperature = 0.7F});
    REQUIRE(sampler.ok());
    GenerateResult result;
    REQUIRE(sequence->generate(&*sampler, {.max_tokens = 200, .ignore_end = true}, callback, result).ok());
    REQUIRE(after_token.size() == 200);
    // Token 0 comes from the prompt's step, token 1 from the first decode step, which is planned then.
    CHECK(after_token.back() - after_token[2] == 0);
}
