#include "setup.h"

#include <limits>

#include "terminal.h"
#include "tiny_model.h"

namespace {
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
constexpr const char* kIsaHelp =
    "up to baseline, avx2, avxvnni, avx512, avx512vnni, avx512bf16, amxint8; Arm dotprod, i8mm";
constexpr const char* kArithmeticHelp = "products of f32 models: f32 (default), or bf16, faster and less exact";
}  // namespace

void Setup::add_to(Options& options) {
    options.heading("Common options");
    options.text("--model", "FILE", model_, "GGUF or ONNX file; without it the embedded default model");
    options.integer("--threads", "N", threads_, 0, 1024, "worker threads; 0, the default: one per processor");
    options.integer("--context", "N", context_, 0, kNoLimit, "tokens the context has room for; 0, the default: enough");
    options.text("--isa", "NAME", isa_, kIsaHelp);
    options.text("--provider", "NAME", provider_,
                 "implementation of the heavy operations: native, onednn, eigen, reference");
    options.text("--arithmetic", "NAME", arithmetic_, kArithmeticHelp);
    options.flag("--overridable-initializers", overridable_initializers_,
                 "ONNX: initializers that are also inputs may be given, and are no constants");
    options.text("--kv-type", "NAME", kv_type_, "how keys and values are kept: f32, f16, bf16, q8_0 or q4_0");
    options.integer("--seed", "N", seed_, 0, kNoLimit, "same seed, same text (default 0)");
    options.flag("--quiet", quiet_, "no progress and no speed on standard error");
    options.flag("--help", help_, "this text");
}

void Setup::add_runtime_to(Options& options) {
    options.heading("Common options");
    options.integer("--threads", "N", threads_, 0, 1024, "worker threads; 0, the default: one per processor");
    options.text("--isa", "NAME", isa_, kIsaHelp);
    options.flag("--quiet", quiet_, "no progress on standard error");
    options.flag("--help", help_, "this text");
}

bool Setup::parse(Options& options, const std::vector<std::string>& arguments, std::string_view usage,
                  std::string_view description) {
    if (options.parse(arguments)) return true;
    write_output("Usage: " + std::string(usage) + "\n\n" + std::string(description) + "\n" + options.help());
    flush_output();
    return false;
}

quoin::Runtime Setup::runtime() const {
    quoin::RuntimeOptions options;
    options.threads = static_cast<int32_t>(threads_);
    if (!isa_.empty()) {
        options.isa = isa_.data();
        options.isa_length = isa_.size();
    }
    try {
        return quoin::Runtime(options);
    } catch (const quoin::Error& error) {
        // What the runtime refuses as an argument is what the user wrote for --isa or --threads.
        if (error.status() == QUOIN_ERROR_INVALID_ARGUMENT) throw UsageError(error.what());
        throw;
    }
}

quoin::Model Setup::model(const quoin::Runtime& runtime, bool metadata_only) const {
    quoin::ModelOptions options;
    options.metadata_only = metadata_only ? 1 : 0;
    options.overridable_initializers = overridable_initializers_ ? 1 : 0;
    if (!provider_.empty()) {
        options.provider = provider_.data();
        options.provider_length = provider_.size();
    }
    if (!arithmetic_.empty()) {
        options.arithmetic = arithmetic_.data();
        options.arithmetic_length = arithmetic_.size();
    }
    ProgressLine line("loading " + model_name(), quiet_);
    auto show = [&line](double fraction) {
        line.show(fraction);
        return !interrupted();
    };
    const quoin::Progress progress(show, options);
    try {
        return model_.empty()
                   ? quoin::Model::load_memory(quoin_tiny_model_data(), quoin_tiny_model_size(), options, &runtime)
                   : quoin::Model::load_file(model_, options, &runtime);
    } catch (const quoin::Error& error) {
        if (!(provider_.empty() && arithmetic_.empty()) && error.status() == QUOIN_ERROR_INVALID_ARGUMENT)
            throw UsageError(error.what());
        throw;
    }
}

quoin::Model Setup::plain_model(const quoin::Runtime& runtime) const {
    Setup plain = *this;
    plain.provider_.clear();
    plain.arithmetic_.clear();
    return plain.model(runtime);
}

quoin::ContextOptions Setup::context_options(int64_t tokens) const {
    quoin::ContextOptions options;
    options.kv_tokens = context_ > 0 ? context_ : tokens;
    if (!kv_type_.empty()) {
        options.kv_dtype = quoin_dtype_from_name(kv_type_.data(), kv_type_.size());
        if (options.kv_dtype == QUOIN_DTYPE_UNDEFINED) {
            throw UsageError("--kv-type needs f32, f16, bf16, q8_0 or q4_0, not '" + kv_type_ + "'");
        }
    }
    return options;
}

std::string Setup::model_name() const {
    return model_.empty() ? "the default model" : model_;
}
