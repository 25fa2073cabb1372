// Chooses the next token from a row of logits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/status.h"

namespace quoin {

// The filters work in the order of the fields below, each on what the one before has left:
// penalties, top_k, top_p, min_p, temperature (the order of llama.cpp's default chain). The defaults filter nothing.
struct SamplerOptions {
    // Over the last penalty_window accepted tokens; a token that stands n times among them gets
    //   logit > 0 ? logit / repetition_penalty : logit * repetition_penalty   (Keskar et al. 2019; 1 is neutral)
    //   then logit - n * frequency_penalty - presence_penalty                 (as in OpenAI's API; 0 is neutral)
    // penalty_window 0 switches all three off.
    int32_t penalty_window = 64;
    float repetition_penalty = 1.0F;
    float frequency_penalty = 0.0F;
    float presence_penalty = 0.0F;
    int32_t top_k = 0;         // keep the k most likely; 0 or less: all
    float top_p = 1.0F;        // keep the fewest most likely whose probabilities reach p, at least one; 1 or more: all
    float min_p = 0.0F;        // keep those with at least min_p times the highest probability; 0 or less: all
    float temperature = 1.0F;  // divides the logits; 0 or less: the most likely token, of equals the lowest id
    uint64_t seed = 0;
};

// One sampler belongs to one sequence: one thread at a time.
// Probabilities are summed and drawn as integers, from a generator of our own: the same logits, options and calls give
// the same tokens on every machine and with every compiler.
// A probability below 2^-40 of the highest counts as none.
class Sampler {
public:
    static constexpr size_t kMostLogits = size_t{1} << 23;
    static constexpr int32_t kLongestWindow = 1 << 20;

    // InvalidArgument: a field that is no number, a repetition penalty not above 0, a window outside 0..kLongestWindow.
    static Result<Sampler> make(const SamplerOptions& options);

    // Id of the chosen token: an index into `logits`, whose size must be the same in all calls for this to make sense.
    // Minus infinity forbids a token. Does not accept() the token. Allocates in the first call only.
    // InvalidArgument: no logits, more than kMostLogits, one that is NaN or plus infinity (after penalties), or none
    // that is allowed; the state has not changed then.
    Result<int32_t> sample(std::span<const float> logits);
    // Tells the penalties which token the text goes on with: sampled, forced, or of the prompt.
    void accept(int32_t token);
    // Forgets what was accepted and accepts these instead, of which only the last penalty_window matter.
    void set_history(std::span<const int32_t> tokens);
    // Back to the state after make(): the seed starts again, no tokens are remembered.
    void reset();

private:
    struct Candidate {
        int32_t id;
        float logit;
        uint64_t weight;
    };
    struct Count {
        int32_t id;
        int32_t count;
    };

    explicit Sampler(const SamplerOptions& options);
    std::span<const float> penalized(std::span<const float> logits);
    void keep_top_k(std::span<const float> logits);
    void keep_all(std::span<const float> logits);
    void keep_top_p(float highest, bool sorted);
    void keep_min_p(float highest);
    int32_t draw(float highest);
    uint64_t next_random();
    uint64_t random_below(uint64_t bound);

    SamplerOptions options_;
    bool has_penalties_;
    std::array<uint64_t, 4> random_{};
    std::vector<int32_t> window_;  // a ring, the oldest at next_ once it is full
    size_t next_ = 0;
    std::vector<Count> counts_;  // of the tokens in the window, by id
    std::vector<float> adjusted_;
    std::vector<Candidate> candidates_;
};

}  // namespace quoin
