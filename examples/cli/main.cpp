// quoin: the command-line tool. Uses nothing but the public header.
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <quoin/quoin.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "options.h"
#include "terminal.h"

namespace {

enum ExitCode { kSuccess = 0, kFailure = 1, kUsage = 2, kInterrupted = 130 };

struct Command {
    std::string_view name;
    std::string_view summary;
    int (*run)(const std::vector<std::string>& arguments);
};

constexpr std::array<Command, 8> kCommands = {{
    {"generate", "continue a text", run_generate},
    {"tokenize", "texts to token ids", run_tokenize},
    {"logits", "token ids to the raw output of the model", run_logits},
    {"run", "tensors through a model, from files into files", run_run},
    {"compare", "what other arithmetic or another provider changes", run_compare},
    {"info", "what a model file holds and how it will run", run_info},
    {"quantize", "a model file to a smaller one", run_quantize},
    {"bench", "speed, as a fraction of what the machine allows", run_bench},
}};

std::string help() {
    std::string text = "quoin " + std::string(quoin_version_string()) +
                       ": neural networks on the CPU\n\nUsage: quoin COMMAND [OPTIONS]\n\nCommands:\n";
    for (const Command& command : kCommands) {
        std::string name(command.name);
        name.resize(10, ' ');
        text += "  " + name + std::string(command.summary) + "\n";
    }
    return text +
           "\nquoin COMMAND --help lists the options of a command; quoin --version tells the version and build.\n";
}

int complain(std::string_view who, std::string_view what, ExitCode code) {
    std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(who.size()), who.data(), static_cast<int>(what.size()),
                 what.data());
    return code;
}

int print(const std::string& text) {
    write_output(text);
    flush_output();
    return kSuccess;
}

int dispatch(const std::vector<std::string>& arguments) {
    if (arguments.empty()) return complain("quoin", "a command is missing; quoin --help lists them", kUsage);
    const std::string& name = arguments.front();
    if (name == "--help" || name == "-h" || name == "help") return print(help());
    if (name == "--version")
        return print("quoin " + std::string(quoin_version_string()) + "\n" + quoin_build_info() + "\n");
    const auto* const command =
        std::find_if(kCommands.begin(), kCommands.end(), [&name](const Command& entry) { return entry.name == name; });
    if (command == kCommands.end()) {
        return complain("quoin", "unknown command '" + name + "'; quoin --help lists the commands", kUsage);
    }
    const std::string who = "quoin " + name;
    try {
        return command->run({arguments.begin() + 1, arguments.end()});
    } catch (const UsageError& error) {
        return complain(who, error.what() + ("; see " + who + " --help"), kUsage);
    } catch (const quoin::Error& error) {
        if (error.status() == QUOIN_CANCELLED && interrupted()) return kInterrupted;
        return complain(who, error.what(), kFailure);
    } catch (const std::bad_alloc&) {
        return complain(who, "out of memory", kFailure);
    }
}

}  // namespace

int main(int argc, char** argv) {
    prepare_standard_streams();
    try {
        return dispatch({argv + std::min(argc, 1), argv + argc});
    } catch (const OutputClosed&) {
        return kSuccess;
    } catch (const std::exception& error) {
        return complain("quoin", error.what(), kFailure);
    }
}
