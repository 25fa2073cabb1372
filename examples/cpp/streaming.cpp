// Text that arrives on a thread of its own, as in a program with windows: the main thread shows what has come so far,
// and stops the work when it has seen enough.
//     streaming [model.gguf]
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <quoin/quoin.hpp>
#include <string>
#include <thread>

#include "tiny_model.h"

namespace {

// What the two threads share.
struct Stream {
    std::mutex mutex;
    std::condition_variable changed;
    std::string arrived;
    bool ended = false;
    std::exception_ptr failure;
    quoin::Result result;
};

void generate(quoin::Sequence& sequence, Stream& stream) {
    try {
        const quoin::Result result = sequence.generate([&stream](const quoin_piece& piece) {
            const std::lock_guard<std::mutex> lock(stream.mutex);
            stream.arrived += quoin::text(piece);
            stream.changed.notify_one();
        });
        const std::lock_guard<std::mutex> lock(stream.mutex);
        stream.result = result;
    } catch (...) {
        const std::lock_guard<std::mutex> lock(stream.mutex);
        stream.failure = std::current_exception();
    }
    const std::lock_guard<std::mutex> lock(stream.mutex);
    stream.ended = true;
    stream.changed.notify_one();
}

}  // namespace

int main(int argc, char** argv) try {
    // Progress of the load, and messages of the library, as a program would show them.
    quoin::set_log(QUOIN_LOG_WARNING, [](int32_t, std::string_view text) { std::cerr << "quoin: " << text << "\n"; });
    quoin::ModelOptions options;
    auto show = [](double fraction) {
        if (fraction >= 1) std::cerr << "loaded\n";
    };
    const quoin::Progress progress(show, options);
    const quoin::Model model =
        argc > 1 ? quoin::Model::load_file(argv[1], options)
                 : quoin::Model::load_memory(quoin_tiny_model_data(), quoin_tiny_model_size(), options);

    const quoin::Context context(model);
    quoin::Sequence sequence(context);
    const std::string beginning = "Once upon a time";
    sequence.append_text(beginning);
    std::cout << beginning;
    Stream stream;
    std::thread worker([&] { generate(sequence, stream); });

    constexpr size_t kEnough = 200;
    size_t shown = 0;
    std::unique_lock<std::mutex> lock(stream.mutex);
    for (;;) {
        stream.changed.wait(lock, [&] { return stream.ended || stream.arrived.size() > shown; });
        std::cout << stream.arrived.substr(shown) << std::flush;
        shown = stream.arrived.size();
        if (stream.ended) break;
        if (shown >= kEnough) sequence.cancel();
    }
    lock.unlock();
    worker.join();
    if (stream.failure) std::rethrow_exception(stream.failure);
    std::cout << "\n(" << (stream.result.finish == QUOIN_FINISH_CANCELLED ? "stopped" : "ended") << " after "
              << stream.result.generated_tokens << " tokens)\n";
    return 0;
} catch (const std::exception& error) {
    std::cerr << "streaming: " << error.what() << "\n";
    return 1;
}
