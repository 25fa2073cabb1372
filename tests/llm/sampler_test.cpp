#include "llm/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"

using namespace quoin;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampler make(const SamplerOptions& options) {
    Result<Sampler> sampler = Sampler::make(options);
    REQUIRE(sampler.ok());
    return std::move(sampler).value();
}

int32_t sample(Sampler& sampler, const std::vector<float>& logits) {
    const Result<int32_t> token = sampler.sample(logits);
    INFO(token.status().message());
    REQUIRE(token.ok());
    return *token;
}

// Draws often and compares with the expected shares; four standard deviations for all tokens together.
void check_shares(const SamplerOptions& options, const std::vector<float>& logits, const std::vector<double>& expected,
                  const std::vector<int32_t>& accepted = {}) {
    constexpr int kDraws = 40'000;
    Sampler sampler = make(options);
    for (const int32_t token : accepted) sampler.accept(token);
    std::vector<int> counts(logits.size(), 0);
    for (int draw = 0; draw < kDraws; ++draw) ++counts[static_cast<size_t>(sample(sampler, logits))];
    for (size_t id = 0; id < logits.size(); ++id) {
        INFO("token " << id);
        if (expected[id] == 0.0) {
            CHECK(counts[id] == 0);
            continue;
        }
        const double deviation = std::sqrt(expected[id] * (1.0 - expected[id]) / kDraws);
        CHECK(std::abs(counts[id] / static_cast<double>(kDraws) - expected[id]) <= 4.0 * deviation);
    }
}

// Natural logarithms of 8, 4, 2, 1, 1: probabilities 1/2, 1/4, 1/8, 1/16, 1/16.
const std::vector<float> kHalves = {2.0794415F, 1.3862944F, 0.6931472F, 0.0F, 0.0F};

}  // namespace

TEST_CASE("Greedy takes the highest logit, of equals the lowest id", "[llm]") {
    Sampler sampler = make({.temperature = 0.0F});
    CHECK(sample(sampler, {1.0F, 3.0F, 2.0F}) == 1);
    CHECK(sample(sampler, {1.0F, 3.0F, 3.0F, 3.0F}) == 1);
    CHECK(sample(sampler, {-kInfinity, -5.0F, -kInfinity}) == 1);
    CHECK(sample(sampler, {-0.0F, 0.0F}) == 0);
    Sampler negative = make({.top_k = 2, .top_p = 0.5F, .min_p = 0.5F, .temperature = -1.0F});
    CHECK(sample(negative, {1.0F, 3.0F, 2.0F}) == 1);
}

TEST_CASE("Without filters tokens are drawn by their probabilities", "[llm]") {
    check_shares({.seed = 1}, kHalves, {0.5, 0.25, 0.125, 0.0625, 0.0625});
    check_shares({.seed = 2}, {0.0F}, {1.0});
    check_shares({.seed = 3}, {-kInfinity, 0.0F, 0.0F}, {0.0, 0.5, 0.5});
    // exp(1)/(1 + exp(1)) = 0.7310586.
    check_shares({.seed = 4}, {0.0F, 1.0F}, {0.2689414, 0.7310586});
    check_shares({.seed = 5}, {1000.0F, 1001.0F}, {0.2689414, 0.7310586});
}

TEST_CASE("Temperature divides the logits", "[llm]") {
    // 8, 4, 2, 1, 1 to the power of 2: 64, 16, 4, 1, 1 of 86.
    check_shares({.temperature = 0.5F, .seed = 1}, kHalves, {0.744186, 0.186047, 0.046512, 0.011628, 0.011628});
    // Square roots: 2.828427, 2, 1.414214, 1, 1 of 8.242641.
    check_shares({.temperature = 2.0F, .seed = 2}, kHalves, {0.343145, 0.242641, 0.171573, 0.121320, 0.121320});
    check_shares({.temperature = 1e-6F, .seed = 3}, kHalves, {1.0, 0.0, 0.0, 0.0, 0.0});
    check_shares({.temperature = 1e30F, .seed = 4}, kHalves, {0.2, 0.2, 0.2, 0.2, 0.2});
}

TEST_CASE("top_k keeps the k most likely", "[llm]") {
    check_shares({.top_k = 2, .seed = 1}, kHalves, {2.0 / 3, 1.0 / 3, 0.0, 0.0, 0.0});
    // Of the two equal ones the lower id stays.
    check_shares({.top_k = 4, .seed = 2}, kHalves, {8.0 / 15, 4.0 / 15, 2.0 / 15, 1.0 / 15, 0.0});
    check_shares({.top_k = 1, .seed = 3}, {1.0F, 3.0F, 2.0F}, {0.0, 1.0, 0.0});
    check_shares({.top_k = 99, .seed = 4}, kHalves, {0.5, 0.25, 0.125, 0.0625, 0.0625});
    check_shares({.top_k = 3, .seed = 5}, {-kInfinity, 0.0F, -kInfinity, 0.0F}, {0.0, 0.5, 0.0, 0.5});
}

TEST_CASE("top_p keeps the fewest that reach p", "[llm]") {
    check_shares({.top_p = 0.49F, .seed = 1}, kHalves, {1.0, 0.0, 0.0, 0.0, 0.0});
    check_shares({.top_p = 0.51F, .seed = 2}, kHalves, {2.0 / 3, 1.0 / 3, 0.0, 0.0, 0.0});
    check_shares({.top_p = 0.8F, .seed = 3}, kHalves, {4.0 / 7, 2.0 / 7, 1.0 / 7, 0.0, 0.0});
    check_shares({.top_p = 0.9F, .seed = 4}, kHalves, {8.0 / 15, 4.0 / 15, 2.0 / 15, 1.0 / 15, 0.0});
    check_shares({.top_p = 0.99F, .seed = 5}, kHalves, {0.5, 0.25, 0.125, 0.0625, 0.0625});
    check_shares({.top_p = 0.0F, .seed = 6}, {1.0F, 2.0F}, {0.0, 1.0});
    // Among equals the lowest ids: 3 of 4 reach 0.7.
    check_shares({.top_p = 0.7F, .seed = 7}, {0.0F, 0.0F, 0.0F, 0.0F}, {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.0});
    // After top_k the probabilities are those among the k: 8/14 alone reaches 0.55.
    check_shares({.top_k = 3, .top_p = 0.55F, .seed = 8}, kHalves, {1.0, 0.0, 0.0, 0.0, 0.0});
}

TEST_CASE("min_p keeps what has a share of the highest probability", "[llm]") {
    check_shares({.min_p = 0.2F, .seed = 1}, kHalves, {4.0 / 7, 2.0 / 7, 1.0 / 7, 0.0, 0.0});
    check_shares({.min_p = 0.3F, .seed = 2}, kHalves, {2.0 / 3, 1.0 / 3, 0.0, 0.0, 0.0});
    check_shares({.min_p = 0.1F, .seed = 3}, kHalves, {0.5, 0.25, 0.125, 0.0625, 0.0625});
    check_shares({.min_p = 5.0F, .seed = 4}, kHalves, {1.0, 0.0, 0.0, 0.0, 0.0});
    // The temperature comes after the filter: 64, 16, 4 of 84.
    check_shares({.min_p = 0.2F, .temperature = 0.5F, .seed = 5}, kHalves, {0.761905, 0.190476, 0.047619, 0.0, 0.0});
}

TEST_CASE("Filters of a large vocabulary equal a full sort", "[llm]") {
    std::mt19937 random(11);
    for (const float spread : {0.01F, 1.0F, 5.0F, 30.0F}) {
        std::vector<float> logits(5000);
        for (float& logit : logits) logit = spread * static_cast<float>(random() % 100'000) / 100'000.0F;
        std::vector<size_t> order(logits.size());
        for (size_t id = 0; id < order.size(); ++id) order[id] = id;
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
        double total = 0.0;
        for (const float logit : logits) total += std::exp(static_cast<double>(logit));
        const auto check_within = [&](const SamplerOptions& options, size_t kept) {
            std::vector<size_t> rank(logits.size());
            for (size_t place = 0; place < order.size(); ++place) rank[order[place]] = place;
            Sampler sampler = make(options);
            size_t highest = 0;
            for (int draw = 0; draw < 3000; ++draw) {
                highest = std::max(highest, rank[static_cast<size_t>(sample(sampler, logits))]);
            }
            INFO("spread " << spread << " kept " << kept);
            CHECK(highest < kept);
            // Hot draws come near the limit: the last tenth is missed with probability 0.9^3000.
            CHECK(highest >= kept - 1 - kept / 10);
        };
        check_within({.top_k = 300, .temperature = 1e9F, .seed = 5}, 300);
        for (const double p : {0.1, 0.5, 0.9}) {
            double sum = 0.0;
            size_t kept = 0;
            while (sum < p * total) sum += std::exp(static_cast<double>(logits[order[kept++]]));
            check_within({.top_p = static_cast<float>(p), .temperature = 1e9F, .seed = 6}, kept);
        }
    }
}

TEST_CASE("Penalties follow their formulae", "[llm]") {
    // Differences of 100: what the penalties leave decides alone.
    const auto greedy = [](SamplerOptions options, const std::vector<int32_t>& accepted,
                           const std::vector<float>& logits) {
        options.temperature = 0.0F;
        Sampler sampler = make(options);
        for (const int32_t token : accepted) sampler.accept(token);
        return sample(sampler, logits);
    };
    // 4 / 2 = 2 is below 3 and above 1.9.
    CHECK(greedy({.repetition_penalty = 2.0F}, {0}, {4.0F, 3.0F}) == 1);
    CHECK(greedy({.repetition_penalty = 2.0F}, {0}, {4.0F, 1.9F}) == 0);
    // -1 * 2 = -2; the penalty counts once however often the token stands there.
    CHECK(greedy({.repetition_penalty = 2.0F}, {0, 0, 0}, {-1.0F, -1.9F}) == 1);
    CHECK(greedy({.repetition_penalty = 2.0F}, {0, 0, 0}, {-1.0F, -2.1F}) == 0);
    // 4 - 3 * 0.5 = 2.5.
    CHECK(greedy({.frequency_penalty = 0.5F}, {0, 0, 0}, {4.0F, 2.6F}) == 1);
    CHECK(greedy({.frequency_penalty = 0.5F}, {0, 0, 0}, {4.0F, 2.4F}) == 0);
    // 4 - 0.5 = 3.5, however often.
    CHECK(greedy({.presence_penalty = 0.5F}, {0, 0, 0}, {4.0F, 3.6F}) == 1);
    CHECK(greedy({.presence_penalty = 0.5F}, {0, 0, 0}, {4.0F, 3.4F}) == 0);
    // 4 / 2 - 2 * 0.25 - 0.5 = 1.
    const SamplerOptions all = {.repetition_penalty = 2.0F, .frequency_penalty = 0.25F, .presence_penalty = 0.5F};
    CHECK(greedy(all, {0, 0}, {4.0F, 1.01F}) == 1);
    CHECK(greedy(all, {0, 0}, {4.0F, 0.99F}) == 0);
    // Negative penalties encourage; ids that do not exist are ignored.
    CHECK(greedy({.presence_penalty = -1.0F}, {1, -7, 99}, {4.0F, 3.5F}) == 1);
    // Drawn as well: logits 0 and ln 2 - ln 2.
    check_shares({.presence_penalty = 0.6931472F, .seed = 1}, {0.0F, 0.6931472F}, {0.5, 0.5}, {1});
    // Before top_k: the penalised first is no longer among the best.
    check_shares({.presence_penalty = 10.0F, .top_k = 1, .seed = 2}, {3.0F, 2.0F}, {0.0, 1.0}, {0});
}

TEST_CASE("The penalty window forgets the oldest", "[llm]") {
    Sampler sampler = make({.penalty_window = 2, .presence_penalty = 10.0F, .temperature = 0.0F});
    const std::vector<float> logits = {3.0F, 2.0F, 1.0F};
    CHECK(sample(sampler, logits) == 0);
    sampler.accept(0);
    CHECK(sample(sampler, logits) == 1);
    sampler.accept(1);
    CHECK(sample(sampler, logits) == 2);
    sampler.accept(2);
    CHECK(sample(sampler, logits) == 0);
    sampler.accept(2);
    CHECK(sample(sampler, logits) == 0);
    sampler.accept(0);
    sampler.accept(1);
    CHECK(sample(sampler, logits) == 2);
    sampler.reset();
    CHECK(sample(sampler, logits) == 0);

    Sampler off = make({.penalty_window = 0, .presence_penalty = 10.0F, .temperature = 0.0F});
    off.accept(0);
    CHECK(sample(off, logits) == 0);
}

TEST_CASE("A seed gives the same tokens everywhere", "[llm]") {
    std::vector<float> logits(64);
    for (size_t id = 0; id < logits.size(); ++id) logits[id] = static_cast<float>(id % 7) * 0.5F;
    const auto draw = [&](uint64_t seed, const SamplerOptions& base) {
        SamplerOptions options = base;
        options.seed = seed;
        Sampler sampler = make(options);
        std::vector<int32_t> tokens;
        for (int count = 0; count < 12; ++count) tokens.push_back(sample(sampler, logits));
        sampler.reset();
        for (const int32_t token : tokens) CHECK(sample(sampler, logits) == token);
        return tokens;
    };
    CHECK(draw(42, {}) == draw(42, {}));
    CHECK(draw(42, {}) != draw(43, {}));
    // Written down once: a change here changes users' texts.
    using Tokens = std::vector<int32_t>;
    CHECK(draw(42, {}) == Tokens{9, 34, 62, 54, 62, 27, 31, 56, 11, 18, 41, 55});
    CHECK(draw(42, {.top_p = 0.9F, .min_p = 0.05F, .temperature = 0.8F}) ==
          Tokens{12, 46, 34, 39, 13, 20, 52, 39, 55, 47, 27, 48});
    CHECK(draw(42, {.top_k = 20, .temperature = 1.5F}) == Tokens{20, 33, 5, 12, 20, 41, 47, 12, 4, 40, 55, 40});
}

TEST_CASE("Rows that cannot be sampled from are refused", "[llm]") {
    for (const float temperature : {0.0F, 1.0F}) {
        Sampler sampler = make({.temperature = temperature, .seed = 9});
        const auto fails = [&](const std::vector<float>& logits, const std::string& part) {
            const auto token = sampler.sample(logits);
            REQUIRE_FALSE(token.ok());
            CHECK(token.status().code() == StatusCode::InvalidArgument);
            CHECK_THAT(token.status().message(), test::contains(part));
        };
        fails({}, "0 logits");
        fails({1.0F, kNan, 2.0F}, "logit 1");
        fails({kNan}, "logit 0");
        fails({1.0F, 2.0F, kInfinity}, "logit 2");
        fails({-kInfinity, -kInfinity}, "forbidden");
        CHECK(sample(sampler, {1.0F, -kInfinity}) == 0);
    }
}

TEST_CASE("Options that make no sense are refused", "[llm]") {
    const auto fails = [](const SamplerOptions& options) {
        CHECK(Sampler::make(options).status().code() == StatusCode::InvalidArgument);
    };
    fails({.repetition_penalty = 0.0F});
    fails({.repetition_penalty = -1.0F});
    fails({.repetition_penalty = kNan});
    fails({.frequency_penalty = kInfinity});
    fails({.presence_penalty = kNan});
    fails({.top_p = kNan});
    fails({.min_p = kNan});
    fails({.temperature = kNan});
    fails({.penalty_window = -1});
    fails({.penalty_window = Sampler::kLongestWindow + 1});
}
