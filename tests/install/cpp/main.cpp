// consumer MODEL: lets a model continue a text, with the C++ header.
#include <iostream>
#include <quoin/quoin.hpp>

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    try {
        quoin::Model::load_file("/nonexistent");
        std::cerr << "a missing file was loaded\n";
        return 1;
    } catch (const quoin::Error& error) {
        if (error.status() != QUOIN_ERROR_IO || std::string(error.what()).empty()) return 1;
    }
    try {
        const quoin::Model model = quoin::Model::load_file(argv[1]);
        const quoin::Context context(model);
        quoin::Sequence sequence(context);
        sequence.append_text("Once upon a time");
        quoin::GenerateOptions options;
        options.max_tokens = 16;
        sequence.generate([](const quoin_piece& piece) { std::cout << quoin::text(piece) << std::flush; }, options);
        std::cout << '\n';
    } catch (const quoin::Error& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
