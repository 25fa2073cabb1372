#include "bench_graph.h"

#include <algorithm>
#include <cstdio>

#include "graph_inputs.h"
#include "json.h"
#include "terminal.h"

namespace {

constexpr double kSeconds = 2;
constexpr size_t kFewestRuns = 10;
constexpr int kWarmups = 3;  // the first plans and takes memory; the next find the caches filled

}  // namespace

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

void GraphBench::measure(const quoin::Model& model, const quoin::Runtime& runtime, const Setup& setup) const {
    quoin::Session session(model);
    const GraphInputs tensors(model, inputs, setup.seed());
    tensors.set_on(session);

    const Clock first_clock;
    session.run();
    const double first = first_clock.seconds();
    for (int run = 1; run < kWarmups; ++run) session.run();
    std::vector<double> seconds;
    const Clock total;
    const auto wanted = static_cast<size_t>(runs);
    while (wanted > 0 ? seconds.size() < wanted : seconds.size() < kFewestRuns || total.seconds() < kSeconds) {
        if (interrupted()) return;
        const Clock clock;
        session.run();
        seconds.push_back(clock.seconds());
    }
    const double middle = median(seconds) * 1e3;
    const double least = *std::min_element(seconds.begin(), seconds.end()) * 1e3;
    const int64_t peak = peak_resident_bytes();
    const uint64_t memory = quoin_runtime_memory_bytes(runtime.get());
    if (json) {
        JsonObject object;
        object.add("median_ms", middle).add("minimum_ms", least).add("runs", seconds.size());
        object.add("first_run_ms", first * 1e3).add("load_s", load_s);
        object.add("peak_rss_bytes", peak).add("memory_bytes", memory);
        object.add("threads", runtime.threads()).add("isa", runtime.isa()).add("model", setup.model_name());
        object.add("parameters", model.info().parameter_count).add("weight_bytes", model.info().memory_bytes);
        std::string list;
        for (const std::string& text : tensors.descriptions()) list += (list.empty() ? "" : "; ") + text;
        object.add("inputs", list).add("cpu", quoin::cpu_info().name).add("version", quoin_version_string());
        write_output(object.text(2) + "\n");
    } else {
        write_output("model: " + setup.model_name() + "\n");
        for (const std::string& text : tensors.descriptions()) write_output("input: " + text + "\n");
        char text[512];
        const int length =
            std::snprintf(text, sizeof(text),
                          "%s, %d threads, %s\n\n"
                          "one run: median %.3f ms, minimum %.3f ms, of %zu\n"
                          "first run %.3f ms, loaded in %.3f s, peak memory %.1f MB\n",
                          quoin::cpu_info().name, runtime.threads(), std::string(runtime.isa()).c_str(), middle, least,
                          seconds.size(), first * 1e3, load_s, static_cast<double>(peak) / 1e6);
        write_output(std::string_view(text, std::min(static_cast<size_t>(std::max(length, 0)), sizeof(text) - 1)));
    }
    flush_output();
}
