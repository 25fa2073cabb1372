// What tests of language models do again and again.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "llm/sequence.h"

namespace quoin::test {

// A runtime of so many threads; the instruction set may be capped.
RuntimePtr make_runtime(int threads, std::optional<Isa> cap = std::nullopt);

// Fail the test case with the status's message.
ModelPtr load_file(const std::filesystem::path& path, const RuntimePtr& runtime, Provider provider = Provider::Native);
std::shared_ptr<Context> make_context(const ModelPtr& model, const ContextOptions& options = {});
std::unique_ptr<Sequence> make_sequence(const std::shared_ptr<Context>& context, std::span<const int32_t> ids = {});

// The project's own small model.
ModelPtr tiny_model(const RuntimePtr& runtime);

// Logits of all positions, [ids, vocabulary].
std::vector<float> all_logits(const std::shared_ptr<Context>& context, std::span<const int32_t> ids);
// Ids generated greedily after the prompt, without end tokens.
std::vector<int32_t> greedy(const std::shared_ptr<Context>& context, std::span<const int32_t> ids, int64_t count,
                            bool ignore_end = false);

}  // namespace quoin::test
