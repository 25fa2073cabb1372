#include "core/metadata.h"

#include <array>
#include <limits>

namespace quoin {

std::string_view type_name(const MetadataValue& value) {
    static constexpr std::array<std::string_view, std::variant_size_v<MetadataValue>> kNames = {
        "bool",           "integer",           "unsigned integer", "float",           "string",
        "array of bools", "array of integers", "array of floats",  "array of strings"};
    return kNames[value.index()];
}

bool Metadata::add(std::string_view key, MetadataValue value) {
    if (!index_.try_emplace(key, entries_.size()).second) return false;
    entries_.push_back({key, std::move(value)});
    return true;
}

std::optional<size_t> Metadata::index_of(std::string_view key) const {
    const auto found = index_.find(key);
    return found == index_.end() ? std::nullopt : std::optional(found->second);
}

const MetadataValue* Metadata::find(std::string_view key) const {
    const std::optional<size_t> index = index_of(key);
    return index ? &entries_[*index].value : nullptr;
}

Status Metadata::wrong_type(std::string_view key, std::string_view wanted) const {
    return error(StatusCode::InvalidModel, source_name_, ": key '", key, "' holds ", type_name(*find(key)), " where ",
                 wanted, " is expected");
}

Status Metadata::missing(std::string_view key) const {
    return error(StatusCode::InvalidModel, source_name_, ": key '", key, "' is missing");
}

Result<int64_t> Metadata::integer(std::string_view key, int64_t fallback) const {
    return find(key) == nullptr ? Result<int64_t>(fallback) : require_integer(key);
}

Result<int64_t> Metadata::require_integer(std::string_view key) const {
    const MetadataValue* const value = find(key);
    if (value == nullptr) return missing(key);
    if (const auto* const number = std::get_if<int64_t>(value)) return *number;
    if (const auto* const number = std::get_if<uint64_t>(value)) {
        if (*number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return static_cast<int64_t>(*number);
    }
    return wrong_type(key, "an integer");
}

Result<double> Metadata::number(std::string_view key, double fallback) const {
    return find(key) == nullptr ? Result<double>(fallback) : require_number(key);
}

Result<double> Metadata::require_number(std::string_view key) const {
    const MetadataValue* const value = find(key);
    if (value == nullptr) return missing(key);
    if (const auto* const number = std::get_if<double>(value)) return *number;
    return wrong_type(key, "a float");
}

Result<bool> Metadata::boolean(std::string_view key, bool fallback) const {
    const MetadataValue* const value = find(key);
    if (value == nullptr) return fallback;
    if (const auto* const flag = std::get_if<bool>(value)) return *flag;
    return wrong_type(key, "a bool");
}

Result<std::string_view> Metadata::string(std::string_view key, std::string_view fallback) const {
    return find(key) == nullptr ? Result<std::string_view>(fallback) : require_string(key);
}

Result<std::string_view> Metadata::require_string(std::string_view key) const {
    const MetadataValue* const value = find(key);
    if (value == nullptr) return missing(key);
    if (const auto* const text = std::get_if<std::string_view>(value)) return *text;
    return wrong_type(key, "a string");
}

template <class Vector>
Result<const Vector*> Metadata::array(std::string_view key, std::string_view wanted) const {
    const MetadataValue* const value = find(key);
    if (value == nullptr) return static_cast<const Vector*>(nullptr);
    if (const auto* const items = std::get_if<Vector>(value)) return items;
    return wrong_type(key, wanted);
}

Result<const std::vector<std::string_view>*> Metadata::strings(std::string_view key) const {
    return array<std::vector<std::string_view>>(key, "an array of strings");
}

Result<const std::vector<double>*> Metadata::numbers(std::string_view key) const {
    return array<std::vector<double>>(key, "an array of floats");
}

Result<const std::vector<int64_t>*> Metadata::integers(std::string_view key) const {
    return array<std::vector<int64_t>>(key, "an array of integers");
}

}  // namespace quoin
