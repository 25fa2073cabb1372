// What a model file says about itself: keys and values, whatever the format they came from.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/status.h"

namespace quoin {

// Strings are views into the bytes that Metadata keeps alive: a vocabulary of 150,000 tokens is not copied.
using MetadataValue = std::variant<bool, int64_t, uint64_t, double, std::string_view, std::vector<bool>,
                                   std::vector<int64_t>, std::vector<double>, std::vector<std::string_view>>;

// Immutable after loading; copies share the bytes. Keys keep the file's order.
class Metadata {
public:
    // `source_name` stands in messages; `bytes` owns what the string views point to.
    Metadata(std::string source_name, std::shared_ptr<const void> bytes)
        : source_name_(std::move(source_name)), bytes_(std::move(bytes)) {}
    Metadata() = default;

    // False when the key is already there. Logarithmic, as is every search: a hostile file may hold many keys, and a
    // tree, unlike a hash table, has no bad case it could aim at.
    bool add(std::string_view key, MetadataValue value);

    struct Entry {
        std::string_view key;
        MetadataValue value;
    };
    const std::vector<Entry>& entries() const { return entries_; }
    std::optional<size_t> index_of(std::string_view key) const;  // in entries()
    const MetadataValue* find(std::string_view key) const;
    const std::string& source_name() const { return source_name_; }

    // Typed reading. Absent: the fallback, or for require_* NotFound-like InvalidModel that names file and key.
    // Present with another type (or an integer out of range): InvalidModel that names file, key and both types.
    // Integers of any width and sign are accepted where the value fits; floats accept f32 and f64.
    Result<int64_t> integer(std::string_view key, int64_t fallback) const;
    Result<int64_t> require_integer(std::string_view key) const;
    Result<double> number(std::string_view key, double fallback) const;
    Result<double> require_number(std::string_view key) const;
    Result<bool> boolean(std::string_view key, bool fallback) const;
    Result<std::string_view> string(std::string_view key, std::string_view fallback) const;
    Result<std::string_view> require_string(std::string_view key) const;
    // nullptr when absent.
    Result<const std::vector<std::string_view>*> strings(std::string_view key) const;
    Result<const std::vector<double>*> numbers(std::string_view key) const;
    Result<const std::vector<int64_t>*> integers(std::string_view key) const;

private:
    Status wrong_type(std::string_view key, std::string_view wanted) const;
    Status missing(std::string_view key) const;
    template <class Vector>
    Result<const Vector*> array(std::string_view key, std::string_view wanted) const;

    std::string source_name_;
    std::shared_ptr<const void> bytes_;
    std::vector<Entry> entries_;
    std::map<std::string_view, size_t> index_;  // key to place in entries_
};

// "u64", "string", "array of strings": for messages and listings.
std::string_view type_name(const MetadataValue& value);

}  // namespace quoin
