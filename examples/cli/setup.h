// The options that every command has, and what they set up.
#pragma once

#include <cstdint>
#include <quoin/quoin.hpp>
#include <string>
#include <string_view>

#include "options.h"

class Setup {
public:
    // Appends the common options to a command's own.
    void add_to(Options& options);
    // Only those of the runtime and of messages, for commands that run no model.
    void add_runtime_to(Options& options);
    // Parses. When --help was asked for, prints usage, description and options and returns false.
    static bool parse(Options& options, const std::vector<std::string>& arguments, std::string_view usage,
                      std::string_view description);

    quoin::Runtime runtime() const;
    // The file of --model, or the embedded default model.
    quoin::Model model(const quoin::Runtime& runtime, bool metadata_only = false) const;
    // The same with --provider and --arithmetic left out.
    quoin::Model plain_model(const quoin::Runtime& runtime) const;
    // Room for `tokens`, unless --context says otherwise; 0 leaves it to the library.
    quoin::ContextOptions context_options(int64_t tokens) const;

    uint64_t seed() const { return static_cast<uint64_t>(seed_); }
    bool quiet() const { return quiet_; }
    // For messages and reports: the path, or "the default model".
    std::string model_name() const;

private:
    std::string model_;
    std::string isa_;
    std::string provider_;
    std::string arithmetic_;
    std::string kv_type_;
    int64_t threads_ = 0;
    int64_t context_ = 0;
    int64_t seed_ = 0;
    bool quiet_ = false;
    bool overridable_initializers_ = false;
    bool help_ = false;  // the parser returns before it is set
};
