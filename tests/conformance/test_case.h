// One conformance test: a folder with model.onnx and test_data_set_*/input_N.pb and output_N.pb.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compare.h"
#include "core/runtime.h"

namespace quoin::conformance {

struct TestCase {
    std::string name;  // path from the folder that was searched, with /
    std::filesystem::path folder;
};

// All tests at or below `root`, by name.
std::vector<TestCase> find_tests(const std::filesystem::path& root);

// Loads the model once and runs every data set. What went wrong, or nullopt.
std::optional<std::string> run_test(const TestCase& test, const RuntimePtr& runtime, const Tolerance& tolerance);

}  // namespace quoin::conformance
