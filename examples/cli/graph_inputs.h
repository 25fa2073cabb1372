// The inputs of a model as the command line gives them: --input NAME=VALUE.
#pragma once

#include <cstdint>
#include <quoin/quoin.hpp>
#include <string>
#include <vector>

#include "options.h"

inline constexpr const char* kInputHelp = "a .npy file, or dims as 1x3x224x224[:VALUE]; may be repeated";

class GraphInputs {
public:
    // Each spec is NAME=VALUE. VALUE is a .npy file, the dims of a tensor that is filled with VALUE or, without it,
    // with zeros for whole numbers and random numbers in [0, 1) for others, or, for an input of rank 0, the number
    // itself. Several of one name are the elements of a sequence, in their order. What is not given is filled likewise
    // where all its dims are known. Throws UsageError that names the input.
    GraphInputs(const quoin::Model& model, const std::vector<std::string>& specs, uint64_t seed);

    void set_on(quoin::Session& session) const;
    // "NAME f32[1, 3, 224, 224]" of each that is set.
    const std::vector<std::string>& descriptions() const { return descriptions_; }

private:
    void add(const quoin::Model& model, size_t index, quoin::Tensor tensor);
    void gather_sequences(const quoin::Model& model);

    std::vector<std::pair<size_t, quoin::Tensor>> tensors_;
    std::vector<std::pair<size_t, quoin::Value>> sequences_;
    std::vector<std::string> descriptions_;
};

// "f32[1, 3, rows, ?]"
std::string describe_value(const quoin_value_info& info);
std::string describe_tensor(int32_t dtype, const std::vector<int64_t>& dims);
