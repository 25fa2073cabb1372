// Protocol-buffer messages, field by field, over protozero. Its exceptions are what malformed bytes give; the functions
// that the room shows to others catch them (caught()). A field of the wrong wire type is malformed, too: protozero
// alone would only assert.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include <protozero/pbf_reader.hpp>

#include "core/status.h"

namespace quoin::wire {

class FieldReader {
public:
    explicit FieldReader(std::string_view message) : reader_(message.data(), message.size()) {}

    // To the next field; one that was not read is skipped.
    bool next() {
        if (pending_) reader_.skip();
        pending_ = reader_.next();
        return pending_;
    }
    uint32_t number() const { return reader_.tag(); }

    int64_t integer() {
        take(protozero::pbf_wire_type::varint);
        return reader_.get_int64();
    }
    float single() {
        take(protozero::pbf_wire_type::fixed32);
        return reader_.get_float();
    }
    // Strings and messages.
    std::string_view bytes() {
        take(protozero::pbf_wire_type::length_delimited);
        const protozero::data_view view = reader_.get_view();
        return {view.data(), view.size()};
    }

    // Repeated numbers: all that this field holds, packed or one alone.
    template <class T>
    void append_integers(std::vector<T>& to) {
        if (reader_.wire_type() == protozero::pbf_wire_type::varint) {
            to.push_back(static_cast<T>(integer()));
            return;
        }
        const std::string_view packed = bytes();
        const char* at = packed.data();
        const char* const end = at + packed.size();
        while (at != end) to.push_back(static_cast<T>(protozero::decode_varint(&at, end)));
    }
    template <class To>
    void append_singles(std::vector<To>& to) {
        append_fixed<float, uint32_t>(to, protozero::pbf_wire_type::fixed32);
    }
    template <class To>
    void append_doubles(std::vector<To>& to) {
        append_fixed<double, uint64_t>(to, protozero::pbf_wire_type::fixed64);
    }

private:
    void take(protozero::pbf_wire_type type) {
        if (reader_.wire_type() != type) throw protozero::unknown_pbf_wire_type_exception();
        pending_ = false;
    }

    template <class From, class Bits, class To>
    void append_fixed(std::vector<To>& to, protozero::pbf_wire_type type) {
        if (reader_.wire_type() == type) {
            take(type);
            if constexpr (sizeof(From) == 4) {
                to.push_back(static_cast<To>(reader_.get_float()));
            } else {
                to.push_back(static_cast<To>(reader_.get_double()));
            }
            return;
        }
        const std::string_view packed = bytes();
        if (packed.size() % sizeof(From) != 0) throw protozero::invalid_length_exception();
        to.reserve(to.size() + packed.size() / sizeof(From));
        for (size_t offset = 0; offset < packed.size(); offset += sizeof(From)) {
            From value;
            std::memcpy(&value, packed.data() + offset, sizeof(From));
            to.push_back(static_cast<To>(value));
        }
    }

    protozero::pbf_reader reader_;
    bool pending_ = false;
};

// What `function` returns, or InvalidModel where it met malformed bytes.
template <class Function>
auto caught(Function&& function) -> decltype(function()) {
    try {
        return function();
    } catch (const protozero::exception& malformed) {
        return error(StatusCode::InvalidModel, "malformed protocol buffer (", malformed.what(), ")");
    }
}

}  // namespace quoin::wire
