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

// Generates greedily from a prompt of its own; seconds of the tokens after the first.
class Generator {
public:
    explicit Generator(const ModelPtr& model, int64_t prompt_tokens = kPromptTokens)
        : prompt_(static_cast<size_t>(prompt_tokens)),
          context_(Context::create(model, {.kv_tokens = std::max<int64_t>(1024, prompt_tokens + 512)}).value()) {
        for (size_t index = 0; index < prompt_.size(); ++index) prompt_[index] = static_cast<int32_t>(11 + 17 * index);
    }

    Context& context() { return *context_; }
    double generate(int64_t tokens) {
        const std::unique_ptr<Sequence> sequence = Sequence::create(context_).value();
        GenerateResult result;
        const bool done = sequence->append_tokens(prompt_).ok() &&
                          sequence->generate(nullptr, {.max_tokens = tokens + 1, .ignore_end = true}, {}, result).ok();
        return done ? result.generate_seconds : 0;
    }

    // Seconds to read the prompt.
    double prefill() {
        const double start = timing::now();
        generate(0);
        return timing::now() - start;
    }

private:
    std::vector<int32_t> prompt_;
    std::shared_ptr<Context> context_;
};

// Shares of the threads' time by op while a prompt is read; waiting apart; what no thread spent in steps is "between".
void prefill_profile(benchmark::State& state, int64_t tokens) {
    const RuntimePtr runtime = make_runtime();
    const Result<ModelPtr> model = load_bench_model(runtime);
    if (!model.ok()) {
        state.SkipWithError(std::string(model.status().message()).c_str());
        return;
    }
    Generator generator(*model, tokens);
    generator.prefill();
    Profile profile(*(*model)->prepared);
    const Graph& graph = (*model)->prepared->graph;
    double seconds = 0;
    std::vector<double> plain;
    for (auto _ : state) {
        plain.push_back(generator.prefill());
        state.SetIterationTime(plain.back());
        generator.context().set_profile(&profile);
        seconds += generator.prefill();
        generator.context().set_profile(nullptr);
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
}

// Shares of the threads' time by op, waiting apart; what no thread spent in steps is "between".
void decode_profile(benchmark::State& state) {
    const RuntimePtr runtime = make_runtime();
    const Result<ModelPtr> model = load_bench_model(runtime);
    if (!model.ok()) {
        state.SkipWithError(std::string(model.status().message()).c_str());
        return;
    }
    constexpr int64_t kTokens = 64;
    Generator generator(*model);
    const double first_seconds = generator.generate(kTokens);  // plans, pages, caches
    std::vector<double> plain{first_seconds};
    Profile profile(*(*model)->prepared);
    const Graph& graph = (*model)->prepared->graph;
    double profiled = 0;
    double wait_ns = 0;
    std::map<std::string, double> run_ns;
    for (auto _ : state) {
        plain.push_back(generator.generate(kTokens));
        state.SetIterationTime(plain.back());
        // The prompt's step is not wanted in the profile: it stands in the plan of its own length, so two runs of
        // different length differ by decode steps alone.
        for (const int64_t tokens : {int64_t{0}, kTokens}) {
            profile.clear();
            generator.context().set_profile(&profile);
            const double seconds = generator.generate(tokens);
            generator.context().set_profile(nullptr);
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
}

BENCHMARK(decode_profile)->Name("model/decode")->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(prefill_profile, 256, 256)
    ->Name("model/prefill/256")
    ->UseManualTime()
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(prefill_profile, 4096, 4096)
    ->Name("model/prefill/4096")
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace quoin
