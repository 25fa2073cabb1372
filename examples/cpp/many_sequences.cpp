// Many texts at once: every thread has a sequence of its own in one context, and the context computes them together.
// All of them begin with the same text, which is computed once and shared.
//     many_sequences [model.gguf]
#include <exception>
#include <iostream>
#include <quoin/quoin.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tiny_model.h"

int main(int argc, char** argv) try {
    const quoin::Model model = argc > 1 ? quoin::Model::load_file(argv[1])
                                        : quoin::Model::load_memory(quoin_tiny_model_data(), quoin_tiny_model_size());
    const quoin::Context context(model);
    quoin::Sequence beginning(context);
    beginning.append_text("Once upon a time");
    beginning.evaluate(0);

    constexpr size_t kTexts = 8;
    std::vector<std::string> texts(kTexts);
    std::vector<std::exception_ptr> failures(kTexts);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kTexts; ++i) {
        threads.emplace_back([&, i] {
            try {
                quoin::SamplerOptions sampling;
                sampling.temperature = 0.8F;
                sampling.top_k = 40;
                sampling.seed = i;  // another story for each
                quoin::Sampler sampler(sampling);
                quoin::GenerateOptions options;
                options.max_tokens = 60;
                quoin::Sequence sequence = beginning.fork();
                sequence.generate([&](const quoin_piece& piece) { texts[i] += quoin::text(piece); }, options, &sampler);
            } catch (...) {
                failures[i] = std::current_exception();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }

    for (const std::string& text : texts) std::cout << "Once upon a time" << text << "\n\n";
    const quoin::Metrics metrics = context.metrics();
    std::cout << metrics.tokens << " tokens in " << metrics.steps << " steps, " << metrics.shared_steps
              << " of them shared\n";
    return 0;
} catch (const std::exception& error) {
    std::cerr << "many_sequences: " << error.what() << "\n";
    return 1;
}
