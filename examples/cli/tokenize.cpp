// quoin tokenize: text to token ids, one JSON array per text.
#include <iostream>

#include "commands.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage = "quoin tokenize [--model FILE] [--text TEXT] [OPTIONS] < TEXT";
constexpr std::string_view kDescription =
    "Prints one JSON array of token ids per line of standard input; line ends are not part of the text.\n"
    "With --text it prints the array of that one text instead, line ends and all.";

void print_ids(const std::vector<int32_t>& ids) {
    std::string line = "[";
    for (const int32_t id : ids) {
        if (line.size() > 1) line += ',';
        line += std::to_string(id);
    }
    write_output(line + "]\n");
    flush_output();  // a program that feeds line by line waits for each answer
}

}  // namespace

int run_tokenize(const std::vector<std::string>& arguments) {
    Setup setup;
    std::string text;
    bool special = false;
    bool bos = false;
    Options options;
    options.heading("Text");
    options.text("--text", "TEXT", text, "tokenize this instead of standard input");
    options.flag("--special", special, "names of special tokens in the text become these tokens");
    options.flag("--bos", bos, "add the tokens that the model wants around a text");
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;

    const int32_t flags = (special ? QUOIN_ENCODE_SPECIAL : 0) | (bos ? QUOIN_ENCODE_BOS : 0);
    const quoin::Runtime runtime = setup.runtime();
    const quoin::Model model = setup.model(runtime, true);
    const quoin::Tokenizer tokenizer = model.tokenizer();
    if (options.given("--text")) {
        print_ids(tokenizer.encode(text, flags));
        return 0;
    }
    std::ios::sync_with_stdio(false);
    for (std::string line; std::getline(std::cin, line);) print_ids(tokenizer.encode(line, flags));
    if (std::cin.bad()) throw std::runtime_error("cannot read standard input");
    return 0;
}
