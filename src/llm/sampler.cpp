#include "llm/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace quoin {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// exp(-distance / temperature) as an integer: floating-point exp, sums and fused multiplications differ between
// machines, integers do not. The highest logit weighs 2^40; 2^23 of them fit 64 bits.
constexpr int kWeightBits = 40;
constexpr double kLog2E = 1.44269504088896340736;

// 2^(-i/256) in units of 2^-32.
constexpr auto kRoots = [] {
    constexpr uint64_t kRoot = 18'396'865'112'328'554'661U;  // 2^(-1/256) in units of 2^-64
    constexpr auto kMultiplyHigh = [](uint64_t a, uint64_t b) {
        const uint64_t low = (a & 0xFFFFFFFFU) * (b & 0xFFFFFFFFU);
        const uint64_t middle = (a >> 32) * (b & 0xFFFFFFFFU) + (low >> 32);
        const uint64_t other = (a & 0xFFFFFFFFU) * (b >> 32) + (middle & 0xFFFFFFFFU);
        return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
    };
    std::array<uint64_t, 256> roots{};
    uint64_t power = uint64_t{1} << 63;
    for (uint64_t& root : roots) {
        root = (power + (uint64_t{1} << 30)) >> 31;
        power = kMultiplyHigh(power, kRoot);
    }
    return roots;
}();

// How many halvings below the highest probability, in units of 2^-32; `scale` is kLog2E / temperature.
uint64_t halvings(float highest, float logit, double scale) {
    constexpr double kMost = 64.0;  // more is nothing in any case
    constexpr double kUnit = 4294967296.0;
    const double count = (static_cast<double>(highest) - static_cast<double>(logit)) * scale;
    return static_cast<uint64_t>(std::min(count, kMost) * kUnit);
}

// 2^(kWeightBits - halvings), to 2^-30 of itself.
uint64_t weight_of(uint64_t halvings) {
    const uint64_t whole = halvings >> 32;
    if (whole > kWeightBits) return 0;
    constexpr uint64_t kLn2 = 2'977'044'471U;  // ln(2) in units of 2^-32
    constexpr uint64_t kOne = uint64_t{1} << 31;
    // exp(-x) of what the table leaves, x < ln(2)/256, by its series in units of 2^-31.
    const uint64_t x = ((halvings & 0xFFFFFFU) * kLn2) >> 33;
    const uint64_t square = (x * x) >> 32;
    const uint64_t cube = ((square * x) >> 31) / 3;
    const uint64_t rest = kOne - x + square - cube;
    return (kRoots[(halvings >> 24) & 0xFFU] * rest) >> (63 - kWeightBits + whole);
}

uint64_t split_mix(uint64_t& state) {
    state += 0x9E3779B97F4A7C15U;
    uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
    return mixed ^ (mixed >> 31);
}

struct Survey {
    float highest;
    size_t near;       // where to begin looking for it: all before are lower
    bool all_numbers;  // no NaN, no plus infinity
};

// In lanes, so that the comparisons do not wait for one another.
Survey survey(std::span<const float> logits) {
    constexpr size_t kLanes = 16;
    std::array<float, kLanes> highest{};
    highest.fill(-kInfinity);
    std::array<uint32_t, kLanes> bad{};
    const auto look = [&](size_t lane, float logit) {
        bad[lane] |= logit < kInfinity ? 0U : 1U;  // true for NaN too
        highest[lane] = logit > highest[lane] ? logit : highest[lane];
    };
    constexpr size_t kPart = 64 * kLanes;
    Survey found{-kInfinity, 0, true};
    for (size_t first = 0; first < logits.size(); first += kPart) {
        const size_t end = std::min(first + kPart, logits.size());
        size_t index = first;
        for (; index + kLanes <= end; index += kLanes) {
            for (size_t lane = 0; lane < kLanes; ++lane) look(lane, logits[index + lane]);
        }
        for (; index < end; ++index) look(0, logits[index]);
        const float highest_here = *std::ranges::max_element(highest);
        if (highest_here > found.highest) found = {highest_here, first, true};
    }
    found.all_numbers = std::ranges::count(bad, 0U) == kLanes;
    return found;
}

// More likely first, of equals the lower id.
constexpr auto kMoreLikely = [](const auto& left, const auto& right) {
    return left.logit != right.logit ? left.logit > right.logit : left.id < right.id;
};

}  // namespace

Result<Sampler> Sampler::make(const SamplerOptions& options) {
    for (const float field : {options.repetition_penalty, options.frequency_penalty, options.presence_penalty,
                              options.top_p, options.min_p, options.temperature}) {
        if (!std::isfinite(field)) return error(StatusCode::InvalidArgument, "a sampler option is no finite number");
    }
    if (options.repetition_penalty <= 0.0F) {
        return error(StatusCode::InvalidArgument, "repetition_penalty is ", options.repetition_penalty,
                     "; it must be above 0, 1 being neutral");
    }
    if (options.penalty_window < 0 || options.penalty_window > kLongestWindow) {
        return error(StatusCode::InvalidArgument, "penalty_window is ", options.penalty_window, "; it must be 0 to ",
                     kLongestWindow);
    }
    return Sampler(options);
}

Sampler::Sampler(const SamplerOptions& options)
    : options_(options),
      has_penalties_(options.penalty_window > 0 &&
                     (options.repetition_penalty != 1.0F || options.frequency_penalty != 0.0F ||
                      options.presence_penalty != 0.0F)) {
    if (has_penalties_) {
        window_.reserve(static_cast<size_t>(options.penalty_window));
        counts_.reserve(static_cast<size_t>(options.penalty_window) + 1);
    }
    reset();
}

void Sampler::reset() {
    uint64_t state = options_.seed;
    for (uint64_t& word : random_) word = split_mix(state);
    window_.clear();
    counts_.clear();
    next_ = 0;
}

void Sampler::set_history(std::span<const int32_t> tokens) {
    window_.clear();
    counts_.clear();
    next_ = 0;
    const size_t remembered = std::min(tokens.size(), static_cast<size_t>(options_.penalty_window));
    for (const int32_t token : tokens.last(remembered)) accept(token);
}

void Sampler::accept(int32_t token) {
    if (!has_penalties_) return;
    const auto position = [&](int32_t id) { return std::ranges::lower_bound(counts_, id, {}, &Count::id); };
    const auto added = position(token);
    if (added != counts_.end() && added->id == token) {
        ++added->count;
    } else {
        counts_.insert(added, {token, 1});
    }
    if (window_.size() < static_cast<size_t>(options_.penalty_window)) {
        window_.push_back(token);
        return;
    }
    const auto oldest = position(window_[next_]);
    if (--oldest->count == 0) counts_.erase(oldest);
    window_[next_] = token;
    next_ = (next_ + 1) % window_.size();
}

std::span<const float> Sampler::penalized(std::span<const float> logits) {
    if (counts_.empty()) return logits;
    adjusted_.assign(logits.begin(), logits.end());
    for (const auto [id, count] : counts_) {
        if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
        // In double, where products of floats are exact: fused multiplications give the same.
        double logit = logits[static_cast<size_t>(id)];
        const double factor = options_.repetition_penalty;
        logit = logit > 0.0 ? logit / factor : logit * factor;
        logit -= static_cast<double>(count) * static_cast<double>(options_.frequency_penalty);
        logit -= static_cast<double>(options_.presence_penalty);
        adjusted_[static_cast<size_t>(id)] = static_cast<float>(logit);
    }
    return adjusted_;
}

Result<int32_t> Sampler::sample(std::span<const float> logits) {
    if (logits.empty() || logits.size() > kMostLogits) {
        return error(StatusCode::InvalidArgument, "cannot sample from ", logits.size(), " logits (1 to ", kMostLogits,
                     " are possible)");
    }
    const std::span<const float> row = penalized(logits);
    const auto [highest, near, all_numbers] = survey(row);
    if (!all_numbers) {
        const auto bad = std::ranges::find_if(row, [](float logit) { return !(logit < kInfinity); });
        return error(StatusCode::InvalidArgument, "logit ", bad - row.begin(), " is ", *bad,
                     ": the model has computed no valid numbers");
    }
    if (highest == -kInfinity) return error(StatusCode::InvalidArgument, "all tokens are forbidden (-infinity)");
    if (options_.temperature <= 0.0F) {
        const auto chosen = std::find(row.begin() + static_cast<std::ptrdiff_t>(near), row.end(), highest);
        return static_cast<int32_t>(chosen - row.begin());
    }

    const bool sorted = options_.top_k > 0 && static_cast<size_t>(options_.top_k) < row.size();
    if (sorted) {
        keep_top_k(row);
    } else {
        keep_all(row);
    }
    if (options_.top_p < 1.0F) keep_top_p(highest, sorted);
    if (options_.min_p > 0.0F) keep_min_p(highest);
    return draw(highest);
}

// One pass with a buffer of the best so far: once it is full, the better half stays and sets the bar.
void Sampler::keep_top_k(std::span<const float> logits) {
    const auto count = static_cast<size_t>(options_.top_k);
    constexpr size_t kSmallestBuffer = 512;
    const size_t capacity = std::max(2 * count, kSmallestBuffer);
    candidates_.clear();
    candidates_.reserve(capacity);
    float bar = -kInfinity;
    const auto shorten = [&] {
        if (candidates_.size() <= count) return;
        const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
        std::nth_element(candidates_.begin(), end - 1, candidates_.end(), kMoreLikely);
        candidates_.erase(end, candidates_.end());
        bar = candidates_.back().logit;
    };
    for (size_t id = 0; id < logits.size(); ++id) {
        if (!(logits[id] > bar)) continue;
        if (candidates_.size() == capacity) {
            shorten();
            if (!(logits[id] > bar)) continue;
        }
        candidates_.push_back({static_cast<int32_t>(id), logits[id], 0});
    }
    shorten();
    std::sort(candidates_.begin(), candidates_.end(), kMoreLikely);
}

void Sampler::keep_all(std::span<const float> logits) {
    candidates_.clear();
    candidates_.reserve(logits.size());
    for (size_t id = 0; id < logits.size(); ++id) {
        if (logits[id] > -kInfinity) candidates_.push_back({static_cast<int32_t>(id), logits[id], 0});
    }
}

void Sampler::keep_top_p(float highest, bool sorted) {
    // Quarters of a halving: the candidates of a bucket differ by a factor of 1.2 at most, and only the bucket in which
    // the sum is reached has to be sorted.
    constexpr size_t kBuckets = 4 * (kWeightBits + 1);
    const auto bucket_of = [&](uint64_t distance) { return std::min<size_t>(distance >> 30, kBuckets); };
    const auto distance_of = [&](const Candidate& candidate) { return halvings(highest, candidate.logit, kLog2E); };
    std::array<uint64_t, kBuckets + 1> sums{};
    uint64_t total = 0;
    for (Candidate& candidate : candidates_) {
        const uint64_t distance = distance_of(candidate);
        candidate.weight = weight_of(distance);
        sums[bucket_of(distance)] += candidate.weight;
        total += candidate.weight;
    }
    const double share = std::max(static_cast<double>(options_.top_p), 0.0) * static_cast<double>(total);
    const auto wanted = static_cast<uint64_t>(std::ceil(share));

    uint64_t reached = 0;
    auto open = candidates_.begin();
    if (!sorted) {
        size_t last = 0;
        while (last < kBuckets && reached + sums[last] < wanted) reached += sums[last++];
        std::erase_if(candidates_,
                      [&](const Candidate& candidate) { return bucket_of(distance_of(candidate)) > last; });
        // Not std::partition: its order, by which draw() goes, differs between libraries.
        open = candidates_.begin();
        for (auto candidate = open; candidate != candidates_.end(); ++candidate) {
            if (bucket_of(distance_of(*candidate)) < last) std::swap(*candidate, *open++);
        }
        std::sort(open, candidates_.end(), kMoreLikely);
    }
    while (open != candidates_.end()) {
        reached += open->weight;
        ++open;
        if (reached >= wanted) break;
    }
    candidates_.erase(open, candidates_.end());
}

void Sampler::keep_min_p(float highest) {
    constexpr auto kHighestWeight = static_cast<double>(uint64_t{1} << kWeightBits);
    const double least = static_cast<double>(options_.min_p) * kHighestWeight;
    std::erase_if(candidates_, [&](const Candidate& candidate) {
        return candidate.logit < highest &&
               static_cast<double>(weight_of(halvings(highest, candidate.logit, kLog2E))) < least;
    });
}

int32_t Sampler::draw(float highest) {
    const double scale = kLog2E / static_cast<double>(options_.temperature);
    uint64_t total = 0;
    for (Candidate& candidate : candidates_) {
        candidate.weight = weight_of(halvings(highest, candidate.logit, scale));
        total += candidate.weight;
    }
    uint64_t rest = random_below(total);
    for (const Candidate& candidate : candidates_) {
        if (rest < candidate.weight) return candidate.id;
        rest -= candidate.weight;
    }
    return candidates_.back().id;  // not reached: the weights add up to the total
}

// xoshiro256** (Blackman & Vigna, public domain).
uint64_t Sampler::next_random() {
    const uint64_t result = std::rotl(random_[1] * 5, 7) * 9;
    const uint64_t shifted = random_[1] << 17;
    random_[2] ^= random_[0];
    random_[3] ^= random_[1];
    random_[1] ^= random_[2];
    random_[0] ^= random_[3];
    random_[2] ^= shifted;
    random_[3] = std::rotl(random_[3], 45);
    return result;
}

// Every value equally likely: numbers of as many bits as `bound` until one is below it, two tries on average at most.
uint64_t Sampler::random_below(uint64_t bound) {
    const int shift = std::countl_zero((bound - 1) | 1);
    for (;;) {
        const uint64_t number = next_random() >> shift;
        if (number < bound) return number;
    }
}

}  // namespace quoin
