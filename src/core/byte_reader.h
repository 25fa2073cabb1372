// Reads little-endian values from a span and cannot leave it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace quoin {

// Every call either succeeds or gives nullopt and moves nothing; the caller says what was missing.
class ByteReader {
public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    size_t position() const { return position_; }
    size_t remaining() const { return bytes_.size() - position_; }

    template <class T>
    requires std::is_arithmetic_v<T> std::optional<T> read() {
        if (remaining() < sizeof(T)) return std::nullopt;
        T value;
        std::memcpy(&value, bytes_.data() + position_, sizeof(T));
        position_ += sizeof(T);
        return value;
    }

    std::optional<std::string_view> read_string(uint64_t length) {
        if (length > remaining()) return std::nullopt;
        const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + position_), length);
        position_ += length;
        return text;
    }

private:
    std::span<const std::byte> bytes_;
    size_t position_ = 0;
};

}  // namespace quoin
