// Just enough JSON to write reports with.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

// An object whose members keep their order.
class JsonObject {
public:
    struct Member {
        std::string key;
        std::string json;   // the value as JSON
        std::string plain;  // the value for people: strings without quotes
    };

    JsonObject& add(std::string_view key, std::string_view value);
    JsonObject& add(std::string_view key, const char* value) { return add(key, std::string_view(value)); }
    JsonObject& add(std::string_view key, double value);  // null for what JSON has no number for
    JsonObject& add(std::string_view key, const JsonObject& value);
    template <class Integer, std::enable_if_t<std::is_integral_v<Integer>, int> = 0>
    JsonObject& add(std::string_view key, Integer value) {
        return add_plain(key, std::to_string(value));
    }

    const std::vector<Member>& members() const& { return members_; }
    const std::vector<Member>& members() const&& = delete;  // would outlive the object in a range-for
    // On one line; or, with `indent` > 0, one line per member, indented by so many spaces.
    std::string text(int indent = 0) const;

private:
    JsonObject& add_plain(std::string_view key, const std::string& value);

    std::vector<Member> members_;
};

// With quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);
