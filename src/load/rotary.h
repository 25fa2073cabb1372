// Rotary position embedding: from a file's keys to frequencies.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/metadata.h"
#include "core/status.h"

namespace quoin {

struct Rotary {
    std::vector<float> inverse_frequencies;  // radians per position of each pair, [rotary_size / 2]
    double magnitude = 1;                    // cosines and sines are multiplied by it
};

// Reads PREFIX.rope.freq_base and PREFIX.rope.scaling.* (types none, linear and yarn; or the old rope.scale_linear).
// `rotary_size` is even and positive; `factors` divide the frequencies (rope_freqs.weight), empty or one per pair.
// A key that is no possible value: InvalidModel. Another type of scaling: Unsupported.
Result<Rotary> read_rotary(const Metadata& metadata, const std::string& prefix, int64_t rotary_size,
                           int64_t context_length, std::span<const float> factors);

}  // namespace quoin
