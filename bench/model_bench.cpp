// A whole model: where the time of a prompt and of a decode step goes. quoin_situations has the rest.
//
// QUOIN_BENCH_MODEL names a GGUF file; without it these are skipped.
//   QUOIN_BENCH_MODEL=model.gguf quoin_bench --benchmark_filter=model/
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/source.h"
#include "exec/profile.h"
#include "llm/model.h"
#include "llm/sequence.h"
#include "timing.h"

namespace quoin {
namespace {

constexpr int64_t kPromptTokens = 16;

RuntimePtr make_runtime() {
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>();
    runtime->team = std::make_unique<Team>(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
    runtime->isa = effective_isa({});
    return runtime;
}

const char* model_path() {
    return std::getenv("QUOIN_BENCH_MODEL");
}

Result<ModelPtr> load_bench_model(const RuntimePtr& runtime) {
    const char* const path = model_path();
    if (path == nullptr) return error(StatusCode::NotFound, "QUOIN_BENCH_MODEL is not set");
    QUOIN_ASSIGN_OR_RETURN(const SourcePtr source, open_file(path, true, runtime->memory));
    return load(source, runtime, {});
}

// Generates greedily from a prompt of its own.
class Generator {
public:
    static Result<Generator> create(const ModelPtr& model, int64_t prompt_tokens = kPromptTokens) {
        if (!model->decoder) return error(StatusCode::InvalidArgument, "QUOIN_BENCH_MODEL names no language model");
        Generator generator;
        generator.prompt_.resize(static_cast<size_t>(prompt_tokens));
        for (size_t index = 0; index < generator.prompt_.size(); ++index) {
            generator.prompt_[index] =
                static_cast<int32_t>((11 + 17 * static_cast<int64_t>(index)) % model->decoder->vocabulary_size);
        }
        const ContextOptions options{.kv_tokens = std::max<int64_t>(1024, prompt_tokens + 512)};
        QUOIN_ASSIGN_OR_RETURN(generator.context_, Context::create(model, options));
        return generator;
    }

    // Seconds of the tokens after the first; the times of all steps are added to `profile`.
    Result<double> generate(int64_t tokens, Profile* profile = nullptr) const {
        QUOIN_ASSIGN_OR_RETURN(const std::unique_ptr<Sequence> sequence, Sequence::create(context_));
        QUOIN_RETURN_IF_ERROR(sequence->append_tokens(prompt_));
        GenerateResult result;
        context_->set_profile(profile);
        const Status status = sequence->generate(nullptr, {.max_tokens = tokens + 1, .ignore_end = true}, {}, result);
        context_->set_profile(nullptr);
        QUOIN_RETURN_IF_ERROR(status);
        return result.generate_seconds;
    }

    // Seconds to read the prompt.
    Result<double> prefill(Profile* profile = nullptr) const {
        const double start = timing::now();
        QUOIN_RETURN_IF_ERROR(generate(0, profile).status());
        return timing::now() - start;
    }

private:
    Generator() = default;

    std::vector<int32_t> prompt_;
    std::shared_ptr<Context> context_;
};

// Shares of the threads' time by op while a prompt is read; waiting apart; what no thread spent in steps is "between".
Status prefill_profile(benchmark::State& state, int64_t tokens) {
    const RuntimePtr runtime = make_runtime();
    QUOIN_ASSIGN_OR_RETURN(const ModelPtr model, load_bench_model(runtime));
    QUOIN_ASSIGN_OR_RETURN(const Generator generator, Generator::create(model, tokens));
    QUOIN_RETURN_IF_ERROR(generator.prefill().status());  // plans, pages, caches
    Profile profile(*model->prepared);
    const Graph& graph = model->prepared->graph;
    double seconds = 0;
    std::vector<double> plain;
    for (auto _ : state) {
        QUOIN_ASSIGN_OR_RETURN(const double plain_seconds, generator.prefill());
        QUOIN_ASSIGN_OR_RETURN(const double profiled_seconds, generator.prefill(&profile));
        state.SetIterationTime(plain_seconds);
        plain.push_back(plain_seconds);
        seconds += profiled_seconds;
    }
    const double whole = seconds * 1e9 * runtime->team->size();
    double wait_ns = 0;
    double run_ns = 0;
    std::map<std::string, double> by_op;
    for (NodeId node = 0; node < static_cast<NodeId>(graph.nodes().size()); ++node) {
        const Profile::Times times = profile.total(node);
        by_op[std::string(op_info(graph.node(node).op).name)] += static_cast<double>(times.run_ns);
        run_ns += static_cast<double>(times.run_ns);
        wait_ns += static_cast<double>(times.wait_ns);
    }
    for (const auto& [op, nanoseconds] : by_op) state.counters[op] = nanoseconds / whole;
    state.counters["wait"] = wait_ns / whole;
    state.counters["between"] = 1 - (run_ns + wait_ns) / whole;
    state.counters["tokens_per_s"] = static_cast<double>(tokens) / timing::median(plain);
    return {};
}

// Shares of the threads' time by op, waiting apart; what no thread spent in steps is "between".
Status decode_profile(benchmark::State& state) {
    const RuntimePtr runtime = make_runtime();
    QUOIN_ASSIGN_OR_RETURN(const ModelPtr model, load_bench_model(runtime));
    constexpr int64_t kTokens = 64;
    QUOIN_ASSIGN_OR_RETURN(const Generator generator, Generator::create(model));
    QUOIN_RETURN_IF_ERROR(generator.generate(kTokens).status());  // plans, pages, caches
    std::vector<double> plain;
    Profile profile(*model->prepared);
    const Graph& graph = model->prepared->graph;
    double profiled = 0;
    double wait_ns = 0;
    std::map<std::string, double> run_ns;
    for (auto _ : state) {
        QUOIN_ASSIGN_OR_RETURN(const double plain_seconds, generator.generate(kTokens));
        state.SetIterationTime(plain_seconds);
        plain.push_back(plain_seconds);
        // The prompt's step is not wanted in the profile: it stands in the plan of its own length, so two runs of
        // different length differ by decode steps alone.
        for (const int64_t tokens : {int64_t{0}, kTokens}) {
            profile.clear();
            QUOIN_ASSIGN_OR_RETURN(const double seconds, generator.generate(tokens, &profile));
            const double sign = tokens == 0 ? -1 : 1;
            if (tokens != 0) profiled += seconds;
            for (NodeId node = 0; node < static_cast<NodeId>(graph.nodes().size()); ++node) {
                const Profile::Times times = profile.total(node);
                run_ns[std::string(op_info(graph.node(node).op).name)] += sign * static_cast<double>(times.run_ns);
                wait_ns += sign * static_cast<double>(times.wait_ns);
            }
        }
    }
    const double whole = profiled * 1e9 * runtime->team->size();
    double rest = whole - wait_ns;
    for (const auto& [op, nanoseconds] : run_ns) {
        if (nanoseconds > 0) state.counters[op] = nanoseconds / whole;
        rest -= nanoseconds;
    }
    state.counters["wait"] = wait_ns / whole;
    state.counters["between"] = rest / whole;
    state.counters["tokens_per_s"] = static_cast<double>(kTokens) / timing::median(plain);
    return {};
}

template <class Measure>
void add(const char* name, int64_t iterations, const Measure& measure) {
    benchmark::RegisterBenchmark(name,
                                 [measure](benchmark::State& state) {
                                     if (const Status status = measure(state); !status.ok())
                                         state.SkipWithError(status.message().c_str());
                                 })
        ->UseManualTime()
        ->Iterations(iterations)
        ->Unit(benchmark::kMillisecond);
}

const int registered = [] {
    add("model/decode", 7, decode_profile);
    add("model/prefill/256", 5, [](benchmark::State& state) { return prefill_profile(state, 256); });
    add("model/prefill/4096", 1, [](benchmark::State& state) { return prefill_profile(state, 4096); });
    return 0;
}();

}  // namespace
}  // namespace quoin
