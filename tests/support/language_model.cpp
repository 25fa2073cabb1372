#include "support/language_model.h"

#include "support/catch.h"
#include "support/shared_models.h"

namespace quoin::test {
namespace {

template <class T>
T require(Result<T> result) {
    INFO(result.status().message());
    REQUIRE(result.ok());
    return std::move(result).value();
}

}  // namespace

RuntimePtr make_runtime(int threads, std::optional<Isa> cap) {
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>();
    runtime->team = std::make_unique<Team>(threads);
    runtime->isa = effective_isa(cap);
    return runtime;
}

ModelPtr load_file(const std::filesystem::path& path, const RuntimePtr& runtime, Provider provider) {
    const SourcePtr source = require(open_file(path.string(), true, runtime->memory));
    return require(load(source, runtime, {.provider = provider}));
}

std::shared_ptr<Context> make_context(const ModelPtr& model, const ContextOptions& options) {
    return require(Context::create(model, options));
}

std::unique_ptr<Sequence> make_sequence(const std::shared_ptr<Context>& context, std::span<const int32_t> ids) {
    std::unique_ptr<Sequence> sequence = require(Sequence::create(context));
    const Status status = sequence->append_tokens(ids);
    INFO(status.message());
    REQUIRE(status.ok());
    return sequence;
}

ModelPtr tiny_model(const RuntimePtr& runtime) {
    return load_file(source_file("examples/tiny-model/quoin-tiny.gguf"), runtime);
}

std::vector<float> all_logits(const std::shared_ptr<Context>& context, std::span<const int32_t> ids) {
    const auto sequence = make_sequence(context, ids);
    std::vector<float> logits(ids.size() * static_cast<size_t>(context->model().decoder->vocabulary_size));
    const Status status = sequence->evaluate(ids.size(), logits);
    INFO(status.message());
    REQUIRE(status.ok());
    return logits;
}

std::vector<int32_t> greedy(const std::shared_ptr<Context>& context, std::span<const int32_t> ids, int64_t count,
                            bool ignore_end) {
    const auto sequence = make_sequence(context, ids);
    GenerateResult result;
    const Status status = sequence->generate(nullptr, {.max_tokens = count, .ignore_end = ignore_end}, {}, result);
    INFO(status.message());
    REQUIRE(status.ok());
    const auto generated = sequence->tokens().subspan(ids.size());
    return {generated.begin(), generated.end()};
}

}  // namespace quoin::test
