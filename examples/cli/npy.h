// Writes NumPy's array file, format 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>

// A float32 matrix whose rows come in pieces. A file that was not finished is removed again.
class NpyWriter {
public:
    NpyWriter(std::string path, int64_t rows, int64_t columns);  // throws std::runtime_error
    NpyWriter(const NpyWriter&) = delete;
    NpyWriter& operator=(const NpyWriter&) = delete;
    ~NpyWriter();

    void write(const float* values, size_t count);
    void finish();

private:
    [[noreturn]] void fail() const;

    std::string path_;
    std::ofstream file_;
    bool finished_ = false;
};
