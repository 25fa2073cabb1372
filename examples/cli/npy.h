// NumPy's array file, format 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <quoin/quoin.hpp>
#include <string>
#include <string_view>
#include <vector>

// An array that is written in pieces. A file that was not finished is removed again.
class NpyWriter {
public:
    // `type` as NumPy spells it, "<f4". Throws std::runtime_error.
    NpyWriter(std::string path, std::string_view type, const std::vector<int64_t>& dims);
    NpyWriter(const NpyWriter&) = delete;
    NpyWriter& operator=(const NpyWriter&) = delete;
    ~NpyWriter();

    void write(const void* bytes, size_t count);
    void write(const float* values, size_t count) { write(static_cast<const void*>(values), count * sizeof(float)); }
    void finish();

private:
    [[noreturn]] void fail() const;

    std::string path_;
    std::ofstream file_;
    bool finished_ = false;
};

// Any tensor. bf16 is written as f32, which holds it exactly, floats of 8 bits and less as the bytes they are, integers
// of less than 8 bits as bytes. Throws std::runtime_error for block formats.
void write_npy(const std::string& path, const quoin::TensorView& tensor);
// The tensor in a file. Where a tensor of `dtype` is wanted that NumPy has no type for, elements of as many bytes are
// taken for such: arrays of ml_dtypes and those that write_npy() writes. Throws std::runtime_error that says what the
// file has and what is wanted: rows last, little endian, numbers, bool or text.
quoin::Tensor read_npy(const std::string& path, int32_t dtype = QUOIN_DTYPE_UNDEFINED);
