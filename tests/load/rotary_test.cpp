// Frequencies against numbers computed in double precision by the formulas of the YaRN paper and of Transformers'
// modeling_rope_utils.py (Python, outside this repository).
#include "load/rotary.h"

#include <cmath>
#include <limits>

#include "support/catch.h"

namespace quoin::test {
namespace {

Result<Rotary> rotary(const std::vector<std::pair<std::string_view, MetadataValue>>& keys, int64_t size,
                      const std::vector<float>& factors = {}) {
    Metadata metadata("file.gguf", nullptr);
    for (const auto& [key, value] : keys) metadata.add(key, value);
    return read_rotary(metadata, "llama", size, 32768, factors);
}

bool near(double found, double wanted) {
    UNSCOPED_INFO(found << " where " << wanted << " is wanted");
    return std::abs(found - wanted) <= 1e-7 * std::abs(wanted);
}

TEST_CASE("without keys the frequencies fall from 1 by powers of 10000") {
    const Result<Rotary> found = rotary({}, 8);
    REQUIRE(found.ok());
    REQUIRE(found->inverse_frequencies.size() == 4);
    CHECK(near(found->inverse_frequencies[0], 1));
    CHECK(near(found->inverse_frequencies[1], 0.1));
    CHECK(near(found->inverse_frequencies[3], 0.001));
    CHECK(found->magnitude == 1);
}

TEST_CASE("linear scaling divides every frequency") {
    const std::vector<std::pair<std::string_view, MetadataValue>> spellings[] = {
        {{"llama.rope.scaling.type", std::string_view("linear")}, {"llama.rope.scaling.factor", 4.0}},
        {{"llama.rope.scaling.factor", 4.0}},
        {{"llama.rope.scale_linear", 4.0}},
    };
    for (const auto& keys : spellings) {
        const Result<Rotary> found = rotary(keys, 8);
        REQUIRE(found.ok());
        CHECK(near(found->inverse_frequencies[0], 0.25));
        CHECK(near(found->inverse_frequencies[3], 0.00025));
        CHECK(found->magnitude == 1);
    }
}

TEST_CASE("a factor of 0 and the type none scale nothing") {
    const std::vector<std::pair<std::string_view, MetadataValue>> spellings[] = {
        {{"llama.rope.scaling.factor", 0.0}},
        {{"llama.rope.scaling.type", std::string_view("none")}, {"llama.rope.scaling.factor", 4.0}},
    };
    for (const auto& keys : spellings) {
        const Result<Rotary> found = rotary(keys, 8);
        REQUIRE(found.ok());
        CHECK(near(found->inverse_frequencies[1], 0.1));
    }
}

TEST_CASE("yarn keeps fast pairs, interpolates slow ones and mixes between") {
    // Qwen 2.5 with its documented factor 4: pairs up to 23 stay, from 40 on a quarter.
    const Result<Rotary> found = rotary({{"llama.rope.freq_base", 1e6},
                                         {"llama.rope.scaling.type", std::string_view("yarn")},
                                         {"llama.rope.scaling.factor", 4.0},
                                         {"llama.rope.scaling.original_context_length", uint64_t{32768}}},
                                        128);
    REQUIRE(found.ok());
    const std::vector<float>& frequencies = found->inverse_frequencies;
    CHECK(near(frequencies[0], 1));
    CHECK(near(frequencies[1], 0.805842188));
    CHECK(near(frequencies[23], 0.00697830585));
    CHECK(near(frequencies[24], 0.00537532149));
    CHECK(near(frequencies[30], 0.00106436098));
    CHECK(near(frequencies[39], 6.49039432e-05));
    CHECK(near(frequencies[40], 4.44569853e-05));
    CHECK(near(frequencies[63], 3.1023444e-07));
    CHECK(near(found->magnitude, 1.138629436111989));
}

TEST_CASE("yarn reads its two betas and the attention factor") {
    const Result<Rotary> found = rotary({{"llama.rope.scaling.type", std::string_view("yarn")},
                                         {"llama.rope.scaling.factor", 2.5},
                                         {"llama.rope.scaling.original_context_length", uint64_t{64}},
                                         {"llama.rope.scaling.yarn_beta_fast", 16.0},
                                         {"llama.rope.scaling.yarn_beta_slow", 2.0},
                                         {"llama.rope.scaling.attn_factor", 0.5}},
                                        8);
    REQUIRE(found.ok());
    CHECK(near(found->inverse_frequencies[0], 1));
    CHECK(near(found->inverse_frequencies[1], 0.04));
    CHECK(near(found->inverse_frequencies[3], 0.0004));
    CHECK(near(found->magnitude, 0.5 * 1.0916290731874154));
}

TEST_CASE("frequency factors divide their pair") {
    const Result<Rotary> found = rotary({}, 8, {1, 2, 4, 8});
    REQUIRE(found.ok());
    CHECK(near(found->inverse_frequencies[0], 1));
    CHECK(near(found->inverse_frequencies[1], 0.05));
    CHECK(near(found->inverse_frequencies[3], 0.000125));
}

TEST_CASE("an unknown type of scaling is refused by name") {
    const Result<Rotary> found = rotary({{"llama.rope.scaling.type", std::string_view("longrope")}}, 8);
    CHECK(found.status().code() == StatusCode::Unsupported);
    CHECK(found.status().message().find("'longrope'") != std::string::npos);
}

TEST_CASE("impossible numbers are refused by key") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    const std::pair<std::string_view, std::vector<double>> cases[] = {
        {"llama.rope.freq_base", {0, 1, -10000, nan, infinity}},
        {"llama.rope.scaling.factor", {-1, nan, infinity}},
        {"llama.rope.scale_linear", {-1, nan}},
        {"llama.rope.scaling.attn_factor", {0, -1, nan, infinity}},
        {"llama.rope.scaling.yarn_beta_fast", {0, nan}},
        {"llama.rope.scaling.yarn_beta_slow", {-1, infinity}},
    };
    for (const auto& [key, values] : cases) {
        for (const double value : values) {
            const Result<Rotary> found = rotary({{key, value}}, 8);
            INFO(key << " = " << value);
            CHECK(found.status().code() == StatusCode::InvalidModel);
            CHECK(found.status().message().find(key) != std::string::npos);
        }
    }
    const Result<Rotary> found = rotary({{"llama.rope.scaling.original_context_length", int64_t{0}}}, 8);
    CHECK(found.status().code() == StatusCode::InvalidModel);
}

}  // namespace
}  // namespace quoin::test
