// Command-line options: a table that the parser and --help both read.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// The user wrote something that can never work: one sentence on standard error, exit code 2.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class Options {
public:
    // `help` is one line. The value keeps its default when the option is absent.
    void flag(std::string_view name, bool& value, std::string_view help);
    void text(std::string_view name, std::string_view placeholder, std::string& value, std::string_view help);
    // May be given several times.
    void list(std::string_view name, std::string_view placeholder, std::vector<std::string>& values,
              std::string_view help);
    void integer(std::string_view name, std::string_view placeholder, int64_t& value, int64_t lowest, int64_t highest,
                 std::string_view help);
    void number(std::string_view name, std::string_view placeholder, float& value, float lowest, float highest,
                std::string_view help);
    // Starts a group in the help.
    void heading(std::string_view title);

    // `--name value` or `--name=value`. Throws UsageError. False when --help was asked for.
    bool parse(const std::vector<std::string>& arguments);
    bool given(std::string_view name) const;
    // One line per option, for --help.
    std::string help() const;

private:
    struct Option {
        std::string name;         // "--threads"; empty for a heading
        std::string placeholder;  // empty for a flag
        std::string help;
        std::function<void(const std::string&)> set;
        bool given = false;
    };
    Option* find(std::string_view name);

    std::vector<Option> options_;
};

// The whole text as a number in the range; throws UsageError with `what` in the sentence.
int64_t parse_integer(std::string_view text, int64_t lowest, int64_t highest, std::string_view what);
