#include "options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>

namespace {

std::string quoted(std::string_view text) {
    return "'" + std::string(text) + "'";
}

template <class Value>
std::string in_words(Value lowest, Value highest) {
    std::ostringstream words;
    if (highest == std::numeric_limits<Value>::max()) {
        words << "of at least " << lowest;
    } else {
        words << "from " << lowest << " to " << highest;
    }
    return words.str();
}

float parse_number(const std::string& text, float lowest, float highest, std::string_view what) {
    // A stream with the classic locale reads a point as a point everywhere; from_chars for floats is missing in the
    // standard libraries that some supported compilers bring.
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    float value = 0;
    const bool plain = text.find_first_not_of("0123456789+-.eE") == std::string::npos;
    if (!plain || !(stream >> value) || stream.peek() != std::istringstream::traits_type::eof() || value < lowest ||
        value > highest) {
        throw UsageError(std::string(what) + " needs a number " + in_words(lowest, highest) + ", not " + quoted(text));
    }
    return value;
}

}  // namespace

int64_t parse_integer(std::string_view text, int64_t lowest, int64_t highest, std::string_view what) {
    int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stop != end || value < lowest || value > highest) {
        throw UsageError(std::string(what) + " needs a whole number " + in_words(lowest, highest) + ", not " +
                         quoted(text));
    }
    return value;
}

void Options::flag(std::string_view name, bool& value, std::string_view help) {
    options_.push_back({std::string(name), "", std::string(help), [&value](const std::string&) { value = true; }});
}

void Options::text(std::string_view name, std::string_view placeholder, std::string& value, std::string_view help) {
    options_.push_back({std::string(name), std::string(placeholder), std::string(help),
                        [&value](const std::string& text) { value = text; }});
}

void Options::list(std::string_view name, std::string_view placeholder, std::vector<std::string>& values,
                   std::string_view help) {
    options_.push_back({std::string(name), std::string(placeholder), std::string(help),
                        [&values](const std::string& text) { values.push_back(text); }});
}

void Options::integer(std::string_view name, std::string_view placeholder, int64_t& value, int64_t lowest,
                      int64_t highest, std::string_view help) {
    options_.push_back({std::string(name), std::string(placeholder), std::string(help),
                        [&value, lowest, highest, name = std::string(name)](const std::string& text) {
                            value = parse_integer(text, lowest, highest, name);
                        }});
}

void Options::number(std::string_view name, std::string_view placeholder, float& value, float lowest, float highest,
                     std::string_view help) {
    options_.push_back({std::string(name), std::string(placeholder), std::string(help),
                        [&value, lowest, highest, name = std::string(name)](const std::string& text) {
                            value = parse_number(text, lowest, highest, name);
                        }});
}

void Options::heading(std::string_view title) {
    options_.push_back({"", "", std::string(title), {}});
}

Options::Option* Options::find(std::string_view name) {
    const auto found =
        std::find_if(options_.begin(), options_.end(), [name](const Option& option) { return option.name == name; });
    return found == options_.end() || name.empty() ? nullptr : &*found;
}

bool Options::given(std::string_view name) const {
    return std::any_of(options_.begin(), options_.end(),
                       [name](const Option& option) { return option.name == name && option.given; });
}

bool Options::parse(const std::vector<std::string>& arguments) {
    for (size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        if (argument == "--help" || argument == "-h") return false;
        if (argument.rfind("--", 0) != 0) {
            throw UsageError("unexpected argument " + quoted(argument) + "; every option begins with --");
        }
        const size_t equals = argument.find('=');
        const std::string name = argument.substr(0, equals);
        Option* const option = find(name);
        if (option == nullptr) throw UsageError("unknown option " + quoted(name));
        std::string value;
        if (option->placeholder.empty()) {
            if (equals != std::string::npos) throw UsageError(name + " takes no value");
        } else if (equals != std::string::npos) {
            value = argument.substr(equals + 1);
        } else if (i + 1 == arguments.size() || find(arguments[i + 1]) != nullptr) {
            // A value that is itself the name of an option is more likely forgotten than meant; --prompt=--json is
            // how to mean it.
            throw UsageError(name + " needs a value: " + name + " " + option->placeholder);
        } else {
            value = arguments[++i];
        }
        option->set(value);
        option->given = true;
    }
    return true;
}

std::string Options::help() const {
    size_t width = 0;
    for (const Option& option : options_) {
        if (!option.name.empty()) width = std::max(width, option.name.size() + 1 + option.placeholder.size());
    }
    std::string text;
    for (const Option& option : options_) {
        if (option.name.empty()) {
            text += "\n" + option.help + ":\n";
            continue;
        }
        std::string left = option.name;
        if (!option.placeholder.empty()) left += " " + option.placeholder;
        left.resize(width + 2, ' ');
        text += "  " + left + option.help + "\n";
    }
    return text;
}
