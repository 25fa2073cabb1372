// quoin logits: token ids to the raw output of the model, for comparison with other implementations.
#include <algorithm>
#include <string>

#include "commands.h"
#include "npy.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage = "quoin logits [--model FILE] --ids 1,403,407 --output FILE.npy [OPTIONS]";
constexpr std::string_view kDescription =
    "Writes the logits of every position as a NumPy array, float32 [positions, vocabulary]. Row i holds\n"
    "the scores of the token that follows token i. Nothing is added to the ids.";

std::vector<int32_t> parse_ids(const std::string& text) {
    std::vector<int32_t> ids;
    size_t begin = 0;
    for (;;) {
        const size_t comma = std::min(text.find(',', begin), text.size());
        const size_t first = std::min(text.find_first_not_of(' ', begin), comma);
        ids.push_back(static_cast<int32_t>(
            parse_integer(std::string_view(text).substr(first, comma - first), 0, INT32_MAX, "--ids")));
        if (comma == text.size()) return ids;
        begin = comma + 1;
    }
}

}  // namespace

int run_logits(const std::vector<std::string>& arguments) {
    Setup setup;
    std::string ids_text;
    std::string output;
    Options options;
    options.heading("Input and output");
    options.text("--ids", "LIST", ids_text, "token ids with commas between them");
    options.text("--output", "FILE", output, "the .npy file to write");
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;
    if (!options.given("--ids")) throw UsageError("--ids is missing");
    if (output.empty()) throw UsageError("--output is missing");
    const std::vector<int32_t> ids = parse_ids(ids_text);

    const quoin::Runtime runtime = setup.runtime();
    const quoin::Model model = setup.model(runtime);
    const quoin::Context context(model, setup.context_options(static_cast<int64_t>(ids.size())));
    quoin::Sequence sequence(context);
    sequence.append_tokens(ids);  // refuses a wrong id before a file is made
    sequence.trim(0);

    // In pieces: the logits of a long text and a large vocabulary are larger than the model.
    constexpr size_t kPieceBytes = size_t{64} << 20;
    const auto vocabulary = static_cast<size_t>(std::max<int64_t>(1, model.info().vocabulary_size));
    const size_t piece = std::clamp<size_t>(kPieceBytes / (vocabulary * sizeof(float)), 1, 512);
    NpyWriter file(output, "<f4", {static_cast<int64_t>(ids.size()), static_cast<int64_t>(vocabulary)});
    ProgressLine line("computing", setup.quiet());
    for (size_t done = 0; done < ids.size(); done += piece) {
        const size_t count = std::min(piece, ids.size() - done);
        sequence.append_tokens(ids.data() + done, count);
        const std::vector<float> logits = sequence.evaluate(count);
        file.write(logits.data(), logits.size());
        line.show(static_cast<double>(done + count) / static_cast<double>(ids.size()));
    }
    file.finish();
    return 0;
}
