// The commands of the tool, one file each. They return the exit code and may throw UsageError, OutputClosed,
// quoin::Error and what else derives from std::exception; main.cpp turns these into a sentence and a code.
#pragma once

#include <string>
#include <vector>

int run_generate(const std::vector<std::string>& arguments);
int run_tokenize(const std::vector<std::string>& arguments);
int run_logits(const std::vector<std::string>& arguments);
int run_info(const std::vector<std::string>& arguments);
int run_run(const std::vector<std::string>& arguments);
int run_compare(const std::vector<std::string>& arguments);
int run_bench(const std::vector<std::string>& arguments);
int run_quantize(const std::vector<std::string>& arguments);
