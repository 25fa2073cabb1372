// quoin-onnx-conformance FOLDER: runs every ONNX test at or below the folder and says which fail and why.
#include <charconv>
#include <cstdio>
#include <iostream>
#include <string_view>
#include <thread>

#include "expected.h"
#include "isolated.h"
#include "test_case.h"

namespace {

using namespace quoin;
using namespace quoin::conformance;

constexpr const char* kUsage =
    "usage: quoin-onnx-conformance FOLDER [OPTIONS]\n"
    "Runs the ONNX tests at or below FOLDER: folders with model.onnx and test_data_set_*/input_N.pb, output_N.pb.\n"
    "  --filter SUBSTRING   only tests whose name contains it\n"
    "  --list-passing       print the names of tests that pass, too\n"
    "  --expected FILE      lines 'name: reason' of tests that fail; exit code 0 only if exactly these do; may be "
    "repeated\n"
    "  --threads N          threads of a run (1)\n"
    "  --timeout SECONDS    for one test (60)\n"
    "  --byte-steps N       how far 8-bit integers may be from the wanted ones (0)\n"
    "A test passes when types and shapes are equal and every element is within 1e-5 + 1e-3 of the wanted magnitude.\n";

struct Options {
    std::string folder;
    std::string filter;
    std::vector<std::string> expected;
    bool list_passing = false;
    int threads = 1;
    int timeout = 60;
    int byte_steps = 0;
};

bool read_number(const char* text, int& out) {
    const std::string_view view(text);
    const auto result = std::from_chars(view.data(), view.data() + view.size(), out);
    return result.ec == std::errc() && result.ptr == view.data() + view.size() && out > 0;
}

bool read_options(int argc, char** argv, Options& options) {
    for (int index = 1; index < argc; ++index) {
        const std::string_view argument = argv[index];
        const bool has_value = index + 1 < argc;
        if (argument == "--list-passing") {
            options.list_passing = true;
        } else if (argument == "--filter" && has_value) {
            options.filter = argv[++index];
        } else if (argument == "--expected" && has_value) {
            options.expected.emplace_back(argv[++index]);
        } else if (argument == "--threads" && has_value) {
            if (!read_number(argv[++index], options.threads)) return false;
        } else if (argument == "--timeout" && has_value) {
            if (!read_number(argv[++index], options.timeout)) return false;
        } else if (argument == "--byte-steps" && has_value) {
            if (!read_number(argv[++index], options.byte_steps)) return false;
        } else if (!argument.starts_with("--") && options.folder.empty()) {
            options.folder = argument;
        } else {
            return false;
        }
    }
    return !options.folder.empty();
}

int run(const Options& options) {
    std::map<std::string, Expected> expected;
    for (const std::string& list : options.expected) {
        auto read = read_expected(list);
        if (!read.ok()) {
            std::cerr << "quoin-onnx-conformance: " << read.status().message() << '\n';
            return 2;
        }
        expected.merge(*read);
    }
    if (!std::filesystem::is_directory(options.folder)) {
        std::cerr << "quoin-onnx-conformance: '" << options.folder << "' is no folder\n";
        return 2;
    }
    std::vector<TestCase> tests = find_tests(options.folder);
    std::erase_if(tests, [&](const TestCase& test) { return test.name.find(options.filter) == std::string::npos; });

    RuntimePtr runtime;  // made by the child, for threads do not survive a fork
    const auto begin = [&] {
        auto made = std::make_shared<Runtime>();
        made->memory = std::make_shared<Memory>();
        made->team = std::make_unique<Team>(options.threads);
        made->isa = effective_isa(std::nullopt);
        runtime = std::move(made);
    };
    const std::vector<Outcome> outcomes = run_isolated(tests.size(), options.timeout, begin, [&](size_t index) {
        return run_test(tests[index], runtime, {.byte_steps = static_cast<double>(options.byte_steps)});
    });

    size_t passed = 0;
    size_t surprises = 0;
    for (size_t index = 0; index < tests.size(); ++index) {
        const std::string& name = tests[index].name;
        const auto known = expected.find(name);
        if (!outcomes[index]) {
            ++passed;
            if (options.list_passing) std::cout << "passed  " << name << '\n';
            if (known != expected.end() && !known->second.may_pass) {
                ++surprises;
                std::cout << "PASSED  " << name << ": but it is expected to fail (" << known->second.reason << ")\n";
            }
        } else if (known != expected.end()) {
            std::cout << "failed  " << name << ": " << *outcomes[index] << " (expected: " << known->second.reason
                      << ")\n";
        } else {
            ++surprises;
            std::cout << "FAILED  " << name << ": " << *outcomes[index] << '\n';
        }
        if (known != expected.end()) expected.erase(known);
    }
    for (const auto& [name, entry] : expected) {
        if (name.find(options.filter) == std::string::npos) continue;
        ++surprises;
        std::cout << "MISSING " << name << ": is expected to fail, but there is no such test\n";
    }
    if (tests.empty()) std::cout << "no tests at or below '" << options.folder << "'\n";
    std::cout << passed << " passed, " << tests.size() - passed << " failed" << std::endl;
    return surprises == 0 && !tests.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    if (!read_options(argc, argv, options)) {
        std::cerr << kUsage;
        return 2;
    }
    return run(options);
}
