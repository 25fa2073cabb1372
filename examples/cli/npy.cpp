#include "npy.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

NpyWriter::NpyWriter(std::string path, int64_t rows, int64_t columns)
    : path_(std::move(path)), file_(path_, std::ios::binary | std::ios::trunc) {
    if (!file_) fail();
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                         std::to_string(columns) + "), }";
    constexpr size_t kPrefix = 10;  // magic, version, length
    constexpr size_t kAlignment = 64;
    const size_t padded = (kPrefix + header.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
    header.resize(padded - kPrefix - 1, ' ');
    header += '\n';
    const auto length = static_cast<uint16_t>(header.size());
    file_.write("\x93NUMPY\x01\x00", 8);
    file_.put(static_cast<char>(length & 0xff));
    file_.put(static_cast<char>(length >> 8));
    file_ << header;
}

NpyWriter::~NpyWriter() {
    if (finished_) return;
    file_.close();
    std::error_code ignored;  // a device or pipe is left alone
    if (std::filesystem::is_regular_file(path_, ignored)) std::filesystem::remove(path_, ignored);
}

void NpyWriter::write(const float* values, size_t count) {
    file_.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(count * sizeof(float)));
    if (!file_) fail();
}

void NpyWriter::finish() {
    file_.close();
    if (!file_) fail();
    finished_ = true;
}

void NpyWriter::fail() const {
    throw std::runtime_error("cannot write '" + path_ + "': " + std::strerror(errno));
}
