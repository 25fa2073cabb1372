// quoin generate: text to more text.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>

#include "commands.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage = "quoin generate [--model FILE] [--prompt TEXT] [OPTIONS]";
constexpr std::string_view kDescription =
    "Continues a text. Standard output gets the new text alone, as it comes; on a terminal a line\n"
    "end is added. Without --prompt the model begins a text by itself: the default model tells a story.";

struct Settings {
    std::string prompt;
    int64_t tokens = 256;
    bool special = false;
    bool ignore_end = false;
    bool stats = false;
    int64_t top_k = 40;
    int64_t penalty_window = 64;
    quoin::SamplerOptions sampler;
};

void add_options(Options& options, Settings& settings) {
    constexpr float kMost = std::numeric_limits<float>::max();
    constexpr int64_t kMostInteger = std::numeric_limits<int32_t>::max();
    settings.sampler.temperature = 0.8F;
    settings.sampler.top_p = 0.95F;
    settings.sampler.min_p = 0.05F;
    settings.sampler.repetition_penalty = 1.0F;
    options.heading("Text");
    options.text("--prompt", "TEXT", settings.prompt, "what the model continues");
    options.flag("--special", settings.special, "names of special tokens in the prompt become these tokens");
    options.integer("--tokens", "N", settings.tokens, 0, kMostInteger,
                    "stop after N tokens (default 256); 0: when the model ends");
    options.flag("--ignore-end", settings.ignore_end, "go on when the model wants to end");
    options.flag("--stats", settings.stats, "tell the speed on standard error, even when that is no terminal");
    options.heading("Choice of the next token, in this order");
    options.number("--repetition-penalty", "X", settings.sampler.repetition_penalty, 0, kMost,
                   "divide the logits of tokens seen (default 1: off)");
    options.number("--frequency-penalty", "X", settings.sampler.frequency_penalty, -kMost, kMost,
                   "subtract for each time a token was seen (default 0)");
    options.number("--presence-penalty", "X", settings.sampler.presence_penalty, -kMost, kMost,
                   "subtract once from each token seen (default 0)");
    options.integer("--penalty-window", "N", settings.penalty_window, -1, kMostInteger,
                    "tokens at the end that count as seen (default 64; -1: all)");
    options.integer("--top-k", "N", settings.top_k, 0, kMostInteger, "keep the N most likely (default 40; 0: all)");
    options.number("--top-p", "X", settings.sampler.top_p, 0, 1, "then the fewest of this probability (default 0.95)");
    options.number("--min-p", "X", settings.sampler.min_p, 0, 1,
                   "then those this fraction as likely as the first (default 0.05)");
    options.number("--temperature", "X", settings.sampler.temperature, 0, kMost,
                   "then draw (default 0.8); 0: always the most likely");
}

// A long prompt in pieces, so that there is something to show; the result is the same.
void compute_prompt(quoin::Sequence& sequence, bool quiet) {
    constexpr size_t kPiece = 512;
    const std::vector<int32_t> ids = sequence.tokens();
    ProgressLine line("reading the prompt", quiet);
    sequence.trim(0);
    for (size_t done = 0; done < ids.size(); done += kPiece) {
        const size_t count = std::min(kPiece, ids.size() - done);
        sequence.append_tokens(ids.data() + done, count);
        if (done + count < ids.size()) sequence.evaluate(0);
        line.show(static_cast<double>(done + count) / static_cast<double>(ids.size()));
    }
}

const char* reason(const quoin::Result& result) {
    switch (result.finish) {
        case QUOIN_FINISH_END: return "the model ended the text";
        case QUOIN_FINISH_LENGTH: return "--tokens reached";
        case QUOIN_FINISH_CONTEXT: return "the context is full";
        default: return "stopped";
    }
}

void print_speed(const quoin::Result& result, size_t prompt_tokens, double prompt_seconds) {
    const auto rate = [](double tokens, double seconds) { return seconds > 0 && tokens > 0 ? tokens / seconds : 0.0; };
    std::fprintf(stderr, "prompt: %zu tokens, %.1f tokens/s; text: %lld tokens, %.1f tokens/s; %s\n", prompt_tokens,
                 rate(static_cast<double>(prompt_tokens), prompt_seconds),
                 static_cast<long long>(result.generated_tokens),
                 rate(static_cast<double>(result.generated_tokens - 1), result.generate_seconds), reason(result));
}

// Enough for prompt and text, but not more than the model was trained for, unless the prompt alone is longer.
int64_t room(const quoin::Model& model, int64_t prompt_tokens, int64_t tokens) {
    const int64_t trained = model.info().context_length;
    if (tokens == 0) {
        const int64_t usual = trained > 0 ? std::min<int64_t>(trained, 4096) : 4096;
        return prompt_tokens < usual ? usual : std::max(trained, prompt_tokens + 1);
    }
    const int64_t wanted = prompt_tokens + tokens;
    return trained > 0 ? std::min(wanted, std::max(trained, prompt_tokens + 1)) : wanted;
}

}  // namespace

int run_generate(const std::vector<std::string>& arguments) {
    Setup setup;
    Settings settings;
    Options options;
    add_options(options, settings);
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;
    settings.sampler.top_k = static_cast<int32_t>(settings.top_k);
    // Zero stands for the default in quoin.h; a window of no tokens is no penalty at all.
    if (settings.penalty_window == 0) {
        settings.sampler.repetition_penalty = 1;
        settings.sampler.frequency_penalty = settings.sampler.presence_penalty = 0;
    }
    settings.sampler.penalty_window = static_cast<int32_t>(settings.penalty_window);
    settings.sampler.seed = setup.seed();
    const int32_t flags = settings.special ? QUOIN_ENCODE_SPECIAL : 0;

    const quoin::Runtime runtime = setup.runtime();
    quoin::Sampler sampler(settings.sampler);
    const quoin::Model model = [&] {
        const InterruptGuard guard([] {});  // the progress callback looks for itself
        return setup.model(runtime);
    }();
    const auto prompt_tokens =
        static_cast<int64_t>(model.tokenizer().encode(settings.prompt, flags | QUOIN_ENCODE_BOS).size());
    const quoin::Context context(model, setup.context_options(room(model, prompt_tokens, settings.tokens)));
    quoin::Sequence sequence(context);
    sequence.append_text(settings.prompt, flags);
    if (sequence.length() == 0) {
        throw UsageError("this model has no begin token, so --prompt is needed");
    }

    bool line_open = false;
    bool at_start = settings.prompt.empty();
    const auto print = [&line_open, &at_start](const quoin_piece& piece) {
        std::string_view text = quoin::text(piece);
        // Vocabularies put a space before each word; where nothing stands before it, it is no part of the text.
        if (at_start && !text.empty() && text.front() == ' ') text.remove_prefix(1);
        if (text.empty()) return;
        at_start = false;
        write_output(text);
        flush_output();
        line_open = text.back() != '\n';
    };
    quoin::GenerateOptions generate_options;
    generate_options.max_tokens = settings.tokens;
    generate_options.ignore_end = settings.ignore_end ? 1 : 0;

    const size_t length = sequence.length();
    const InterruptGuard guard([&sequence] { sequence.cancel(); });
    const auto start = std::chrono::steady_clock::now();
    compute_prompt(sequence, setup.quiet());
    const std::chrono::duration<double> before = std::chrono::steady_clock::now() - start;
    const quoin::Result result = sequence.generate(print, generate_options, &sampler);
    if (line_open && output_is_terminal()) write_output("\n");
    flush_output();
    if (settings.stats || (!setup.quiet() && messages_are_terminal())) {
        print_speed(result, length, before.count() + result.prompt_seconds);
    }
    return result.finish == QUOIN_FINISH_CANCELLED ? 130 : 0;
}
