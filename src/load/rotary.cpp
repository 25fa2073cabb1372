#include "load/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

#include "load/quoted.h"

namespace quoin {
namespace {

// The pair (fractional) that turns `rotations` times within `length` positions.
double pair_of_rotations(double rotations, double length, double base, double rotary_size) {
    return rotary_size * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(base));
}

// YaRN (arXiv 2309.00071, section 3.2) by pair: 1 where the pair turns often enough within the trained length to stay
// as it is, 0 where it must be interpolated, a ramp between.
class YarnRamp {
public:
    YarnRamp(double fast, double slow, double length, double base, double rotary_size)
        : low_(std::max(0.0, std::floor(pair_of_rotations(fast, length, base, rotary_size)))),
          high_(std::min(rotary_size - 1, std::ceil(pair_of_rotations(slow, length, base, rotary_size)))) {}

    double kept(double pair) const {
        // The least width is llama.cpp's and keeps a ramp of no width from dividing by zero.
        return 1 - std::clamp((pair - low_) / std::max(0.001, high_ - low_), 0.0, 1.0);
    }

private:
    double low_;
    double high_;
};

// A number in (least, 1e12], else InvalidModel naming the key. The upper limit is far above any real value.
Result<double> positive(const Metadata& metadata, const std::string& key, double fallback, double least = 0) {
    constexpr double kMost = 1e12;
    QUOIN_ASSIGN_OR_RETURN(const double found, metadata.number(key, fallback));
    if (found > least && found <= kMost) return found;
    return error(StatusCode::InvalidModel, metadata.source_name(), ": key '", key, "' holds ", found,
                 ", which must be above ", least, " and at most ", kMost);
}

enum class Scaling { None, Linear, Yarn };

Result<Scaling> read_scaling(const Metadata& metadata, const std::string& key) {
    // llama.cpp reads a factor without a type as linear, and so do the files of that time.
    QUOIN_ASSIGN_OR_RETURN(const std::string_view type, metadata.string(key, "linear"));
    if (type == "none") return Scaling::None;
    if (type == "linear") return Scaling::Linear;
    if (type == "yarn") return Scaling::Yarn;
    return error(StatusCode::Unsupported, metadata.source_name(), ": key '", key, "' holds ", quoted(type),
                 "; known are none, linear and yarn");
}

// 1 when the file has no factor; the converters write 0 for the same.
Result<double> read_factor(const Metadata& metadata, const std::string& prefix) {
    std::string key = prefix + ".rope.scaling.factor";
    if (metadata.find(key) == nullptr) key = prefix + ".rope.scale_linear";
    QUOIN_ASSIGN_OR_RETURN(const double found, metadata.number(key, 1));
    return found == 0 ? Result<double>(1.0) : positive(metadata, key, 1);
}

}  // namespace

Result<Rotary> read_rotary(const Metadata& metadata, const std::string& prefix, int64_t rotary_size,
                           int64_t context_length, std::span<const float> factors) {
    const std::string scaling_prefix = prefix + ".rope.scaling.";
    QUOIN_ASSIGN_OR_RETURN(const double base, positive(metadata, prefix + ".rope.freq_base", 10000, 1));
    QUOIN_ASSIGN_OR_RETURN(const Scaling scaling, read_scaling(metadata, scaling_prefix + "type"));
    QUOIN_ASSIGN_OR_RETURN(double factor, read_factor(metadata, prefix));
    if (scaling == Scaling::None) factor = 1;

    QUOIN_ASSIGN_OR_RETURN(const double fast, positive(metadata, scaling_prefix + "yarn_beta_fast", 32));
    QUOIN_ASSIGN_OR_RETURN(const double slow, positive(metadata, scaling_prefix + "yarn_beta_slow", 1));
    QUOIN_ASSIGN_OR_RETURN(const int64_t length,
                           metadata.integer(scaling_prefix + "original_context_length", context_length));
    if (length <= 0) {
        return error(StatusCode::InvalidModel, metadata.source_name(), ": key '", scaling_prefix,
                     "original_context_length' holds ", length);
    }
    const auto size = static_cast<double>(rotary_size);
    const YarnRamp ramp(fast, slow, static_cast<double>(length), base, size);

    Rotary rotary;
    for (int64_t pair = 0; pair < rotary_size / 2; ++pair) {
        double frequency = std::pow(base, -2 * static_cast<double>(pair) / size);
        if (!factors.empty()) frequency /= static_cast<double>(factors[static_cast<size_t>(pair)]);
        const double kept = scaling == Scaling::Yarn ? ramp.kept(static_cast<double>(pair)) : 0;
        rotary.inverse_frequencies.push_back(static_cast<float>(frequency * (kept + (1 - kept) / factor)));
    }
    // The paper's temperature, 0.1 ln(factor) + 1 on query and key alike; attn_factor stands beside it in any type.
    QUOIN_ASSIGN_OR_RETURN(rotary.magnitude, positive(metadata, scaling_prefix + "attn_factor", 1));
    if (scaling == Scaling::Yarn && factor > 1) rotary.magnitude *= 1 + 0.1 * std::log(factor);
    return rotary;
}

}  // namespace quoin
