// The table of language-model architectures: what sets each apart from the plain decoder in decoder.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quoin {

// Which two elements of a head rotate together.
enum class RotaryPairs : uint8_t {
    Interleaved,  // 0 with 1, 2 with 3, ...: files whose converter permuted the query and key rows
    Halves,       // i with i + size / 2, as the models were trained
};

// The plain decoder: RMS norm before attention and before the feed-forward part, a gate with SiLU, no bias but where
// the file has one. A new architecture is a new row; a new kind of difference is a new fact and its use in decoder.cpp.
struct Architecture {
    std::string_view name;  // value of general.architecture and prefix of the file's keys
    RotaryPairs rotary_pairs;
    bool needs_qkv_biases;  // query, key and value biases belong to it: a file without them is not complete
    bool query_key_norms;   // each head of query and key is normalised before the rotation
};

// Null when no row has this name.
const Architecture* find_architecture(std::string_view name);
// "llama, qwen2, qwen3"
std::string known_architectures();

}  // namespace quoin
