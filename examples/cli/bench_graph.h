// quoin bench for models that take tensors and give tensors.
#pragma once

#include <chrono>
#include <cstdint>
#include <quoin/quoin.hpp>
#include <string>
#include <vector>

#include "setup.h"

class Clock {
public:
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

double median(std::vector<double> values);  // of at least one

struct GraphBench {
    std::vector<std::string> inputs;  // NAME=VALUE
    int64_t runs = 0;                 // 0: about two seconds, at least ten
    double load_s = 0;
    bool json = false;

    // Runs and prints.
    void measure(const quoin::Model& model, const quoin::Runtime& runtime, const Setup& setup) const;
};
