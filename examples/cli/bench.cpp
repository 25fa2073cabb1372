// quoin bench: how fast a model runs, and how much of the machine that is.
#include <algorithm>
#include <cstdio>

#include "bench_graph.h"
#include "commands.h"
#include "graph_inputs.h"
#include "json.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage =
    "quoin bench [--model FILE] [--prompt-tokens N] [--generate-tokens N] [--input NAME=DIMS ...] [--json]";
constexpr std::string_view kDescription =
    "Measures loading, reading a prompt (prefill) and generating (decode), and what the machine can do at\n"
    "most in the same run. The fraction of the limit is, for prefill, operations of the matrices per second /\n"
    "peak of the arithmetic in use, and once more with those of attention counted, as if done in f32 at its\n"
    "peak; for decode, bytes of weights and KV cache read per second / DRAM bandwidth. A model that fits into\n"
    "the caches can exceed the latter. Of a model that is no language model it measures loading and running on\n"
    "the inputs given.";

struct Speed {
    double tokens_per_s = 0;
    double fraction_of_limit = 0;
    double fraction_with_attention = 0;  // the same with the prompt's attention counted
};

struct Report {
    quoin::Limits limits;
    quoin::ModelFacts facts;
    quoin::Metrics metrics;
    Speed prefill;
    Speed decode;
    double load_s = 0;
    int64_t peak_rss_bytes = 0;
};

struct Settings {
    int64_t prompt_tokens = 256;
    int64_t generate_tokens = 32;
    int64_t repeat = 3;
    bool json = false;
};

// Which tokens does not matter for the speed, but equal ones would all hit one row of the embedding.
std::vector<int32_t> some_tokens(int64_t count, int64_t vocabulary, uint64_t seed) {
    std::vector<int32_t> ids(static_cast<size_t>(count));
    uint64_t state = seed;
    for (int32_t& id : ids) {
        state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
        id = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocabulary));
    }
    return ids;
}

double peak_of(const quoin::Limits& limits, int32_t arithmetic) {
    switch (arithmetic) {
        case QUOIN_DTYPE_I8: return limits.int8_operations_per_second;
        case QUOIN_DTYPE_BF16: return limits.bf16_operations_per_second;
        default: return limits.f32_operations_per_second;
    }
}

// One run: tokens per second.
struct Sample {
    double prefill = 0;
    double decode = 0;
    quoin::Limits limits;  // right after it: on shared machines they drift
};

std::vector<Sample> measure_speeds(const quoin::Context& context, const Settings& settings, const Setup& setup,
                                   const quoin::Runtime& runtime, Report& report) {
    const std::vector<int32_t> ids = some_tokens(settings.prompt_tokens, report.facts.vocabulary_size, setup.seed());
    std::vector<Sample> samples;
    ProgressLine line("measuring", setup.quiet());
    for (int64_t i = 0; i < settings.repeat; ++i) {
        line.show(static_cast<double>(i) / static_cast<double>(settings.repeat));
        quoin::Sequence sequence(context);
        sequence.append_tokens(ids);
        const Clock clock;
        sequence.evaluate(1);
        Sample sample;
        sample.prefill = static_cast<double>(ids.size()) / clock.seconds();

        quoin::GenerateOptions options;
        options.max_tokens = settings.generate_tokens + 1;  // the first one ends the prompt's phase and is not counted
        options.ignore_end = 1;
        const quoin::Result result = sequence.generate([](const quoin_piece&) {}, options);
        if (result.generated_tokens != options.max_tokens) {
            throw std::runtime_error("the context has no room for " + std::to_string(settings.prompt_tokens) + " + " +
                                     std::to_string(settings.generate_tokens) + " tokens; give a larger --context");
        }
        sample.decode = static_cast<double>(settings.generate_tokens) / result.generate_seconds;
        if (i == 0) report.peak_rss_bytes = peak_resident_bytes();  // before the limits, which need memory of their own
        sample.limits = runtime.measure_limits();
        samples.push_back(sample);
    }
    return samples;
}

// Multiply-adds of scores and weighted sums for a prompt: every token meets all before it and itself.
double attention_multiply_adds(const quoin::Model& model, const quoin::ModelFacts& facts, int64_t tokens) {
    if (facts.architecture == nullptr) return 0;
    const std::string prefix = std::string(facts.architecture) + ".attention.";
    const auto number = [&](const char* key) -> double {
        const auto value = model.metadata(prefix + key);
        return value ? static_cast<double>(value->integer) : 0;
    };
    const double own = number("key_length");
    const double width = own > 0 ? own * number("head_count") : static_cast<double>(facts.embedding_length);
    const auto count = static_cast<double>(tokens);
    return static_cast<double>(facts.layers) * 2 * width * count * (count + 1) / 2;
}

template <class Function>
double median_of(const std::vector<Sample>& samples, Function function) {
    std::vector<double> values;
    for (const Sample& sample : samples) values.push_back(function(sample));
    return median(values);
}

void compare_with_limits(const std::vector<Sample>& samples, const Settings& settings, const quoin::Model& model,
                         Report& report) {
    report.prefill.tokens_per_s = median_of(samples, [](const Sample& sample) { return sample.prefill; });
    report.decode.tokens_per_s = median_of(samples, [](const Sample& sample) { return sample.decode; });
    for (const auto limit : {&quoin::Limits::dram_bytes_per_second, &quoin::Limits::int8_operations_per_second,
                             &quoin::Limits::f32_operations_per_second, &quoin::Limits::bf16_operations_per_second}) {
        report.limits.*limit = median_of(samples, [&](const Sample& sample) { return sample.limits.*limit; });
    }
    const auto fraction = [](double speed, double limit) { return limit > 0 ? speed / limit : 0; };
    const double operations = 2.0 * static_cast<double>(report.facts.prompt_multiply_adds);
    report.prefill.fraction_of_limit = median_of(samples, [&](const Sample& sample) {
        return fraction(sample.prefill * operations, peak_of(sample.limits, report.facts.prompt_arithmetic));
    });

    const double attention = 2 * attention_multiply_adds(model, report.facts, settings.prompt_tokens);
    report.prefill.fraction_with_attention = median_of(samples, [&](const Sample& sample) {
        const auto tokens = static_cast<double>(settings.prompt_tokens);
        const double peak = peak_of(sample.limits, report.facts.prompt_arithmetic);
        const double peak_f32 = sample.limits.f32_operations_per_second;
        if (peak <= 0 || peak_f32 <= 0) return 0.0;
        return (tokens * operations / peak + attention / peak_f32) / (tokens / sample.prefill);
    });

    // Each generated token reads the keys and values of all before it: on average those of the prompt and half the
    // text.
    const double history =
        static_cast<double>(settings.prompt_tokens) + static_cast<double>(settings.generate_tokens) / 2;
    const double bytes = static_cast<double>(report.facts.active_weight_bytes) +
                         history * static_cast<double>(report.metrics.kv_bytes_per_token);
    report.decode.fraction_of_limit = median_of(samples, [&](const Sample& sample) {
        return fraction(sample.decode * bytes, sample.limits.dram_bytes_per_second);
    });
}

void print_json(const Report& report, const Settings& settings, const Setup& setup, const quoin::Runtime& runtime) {
    const auto speed = [](const Speed& value) {
        return JsonObject().add("tokens_per_s", value.tokens_per_s).add("fraction_of_limit", value.fraction_of_limit);
    };
    JsonObject limits;
    limits.add("dram_gb_per_s", report.limits.dram_bytes_per_second / 1e9);
    limits.add("int8_tops", report.limits.int8_operations_per_second / 1e12);
    limits.add("f32_tflops", report.limits.f32_operations_per_second / 1e12);
    limits.add("bf16_tflops", report.limits.bf16_operations_per_second / 1e12);

    JsonObject object;
    JsonObject prefill = speed(report.prefill);
    prefill.add("fraction_with_attention", report.prefill.fraction_with_attention);
    object.add("limits", limits).add("prefill", prefill).add("decode", speed(report.decode));
    object.add("load_s", report.load_s).add("peak_rss_bytes", report.peak_rss_bytes);
    object.add("isa", runtime.isa()).add("threads", runtime.threads());
    object.add("prompt_tokens", settings.prompt_tokens).add("generate_tokens", settings.generate_tokens);
    object.add("model", setup.model_name());
    object.add("architecture", report.facts.architecture == nullptr ? "" : report.facts.architecture);
    object.add("parameters", report.facts.parameter_count).add("weight_bytes", report.facts.memory_bytes);
    object.add("active_weight_bytes", report.facts.active_weight_bytes);
    object.add("kv_bytes_per_token", report.metrics.kv_bytes_per_token);
    object.add("prompt_arithmetic", quoin_dtype_name(report.facts.prompt_arithmetic));
    object.add("cpu", quoin::cpu_info().name).add("version", quoin_version_string());
    write_output(object.text(2) + "\n");
}

void print_table(const Report& report, const Settings& settings, const Setup& setup, const quoin::Runtime& runtime) {
    char text[1024];
    const int length = std::snprintf(
        text, sizeof(text),
        "%s, %d threads, %s\n"
        "limits of the machine: DRAM %.1f GB/s, int8 %.2f TOPS, f32 %.3f TFLOPS, bf16 %.3f TFLOPS\n"
        "\n"
        "               tokens/s   of the limit   with attention counted\n"
        "prefill %5lld  %9.1f   %12.3f   %22.3f\n"
        "decode  %5lld  %9.1f   %12.3f\n"
        "\n"
        "loaded in %.2f s, peak memory %.1f MB, weights %.1f MB\n",
        quoin::cpu_info().name, runtime.threads(), std::string(runtime.isa()).c_str(),
        report.limits.dram_bytes_per_second / 1e9, report.limits.int8_operations_per_second / 1e12,
        report.limits.f32_operations_per_second / 1e12, report.limits.bf16_operations_per_second / 1e12,
        static_cast<long long>(settings.prompt_tokens), report.prefill.tokens_per_s, report.prefill.fraction_of_limit,
        report.prefill.fraction_with_attention, static_cast<long long>(settings.generate_tokens),
        report.decode.tokens_per_s, report.decode.fraction_of_limit, report.load_s,
        static_cast<double>(report.peak_rss_bytes) / 1e6, static_cast<double>(report.facts.memory_bytes) / 1e6);
    write_output("model: " + setup.model_name() + "\n");
    write_output(std::string_view(text, std::min(static_cast<size_t>(std::max(length, 0)), sizeof(text) - 1)));
}

}  // namespace

int run_bench(const std::vector<std::string>& arguments) {
    Setup setup;
    Settings settings;
    GraphBench graph;
    Options options;
    options.heading("Measurement");
    options.integer("--prompt-tokens", "N", settings.prompt_tokens, 1, 1 << 24, "length of the prompt (default 256)");
    options.integer("--generate-tokens", "N", settings.generate_tokens, 1, 1 << 24, "tokens generated (default 32)");
    options.integer("--repeat", "N", settings.repeat, 1, 1000, "runs of which the median counts (default 3)");
    options.list("--input", "NAME=VALUE", graph.inputs, kInputHelp);
    options.integer("--runs", "N", graph.runs, 0, 1 << 30,
                    "runs of a graph; 0, the default: about two seconds, at least 10");
    options.flag("--json", settings.json, "one JSON object instead of a table");
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;

    const quoin::Runtime runtime = setup.runtime();
    Report report;
    const Clock clock;
    const quoin::Model model = setup.model(runtime);
    report.load_s = clock.seconds();
    report.facts = model.info();
    if (model.kind() == QUOIN_MODEL_GRAPH) {
        graph.load_s = report.load_s;
        graph.json = settings.json;
        graph.measure(model, runtime, setup);
        return 0;
    }
    if (model.kind() != QUOIN_MODEL_DECODER) throw std::runtime_error(setup.model_name() + " generates no text");
    const quoin::Context context(model, setup.context_options(settings.prompt_tokens + settings.generate_tokens + 1));
    const std::vector<Sample> samples = measure_speeds(context, settings, setup, runtime, report);
    report.metrics = context.metrics();
    compare_with_limits(samples, settings, model, report);
    if (settings.json) {
        print_json(report, settings, setup, runtime);
    } else {
        print_table(report, settings, setup, runtime);
    }
    flush_output();
    return 0;
}
