// What the library tells: messages, the last error, pieces of text; and how it is stopped.
#include <atomic>
#include <thread>

#include "capi/capi_test.h"

namespace {

using namespace quoin::test;

// The one global setting; each test case ends with silence again.
class Log {
public:
    explicit Log(int32_t level) { check_ok(quoin_log_set(level, take, this)); }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    ~Log() { quoin_log_set(QUOIN_LOG_OFF, nullptr, nullptr); }
    const std::vector<std::pair<int32_t, std::string>>& messages() const { return messages_; }
    bool says(const std::string& part) const {
        for (const auto& [level, text] : messages_) {
            if (text.find(part) != std::string::npos) return true;
        }
        return false;
    }

private:
    static void take(int32_t level, const char* text, size_t length, void* user_data) {
        static_cast<Log*>(user_data)->messages_.emplace_back(level, std::string(text, length));
    }
    std::vector<std::pair<int32_t, std::string>> messages_;
};

struct Generated {
    std::string text;
    std::vector<int32_t> tokens;
    size_t stop_after = SIZE_MAX;
    const quoin_sequence* cancel = nullptr;

    static int32_t take(const quoin_piece* piece, void* user_data) {
        auto& generated = *static_cast<Generated*>(user_data);
        generated.text.append(piece->text, piece->text_length);
        if (piece->token >= 0) generated.tokens.push_back(piece->token);
        if (generated.tokens.size() < generated.stop_after) return 0;
        if (generated.cancel == nullptr) return 1;
        quoin_sequence_cancel(generated.cancel);
        return 0;
    }
};

std::vector<int32_t> tokens_of(const quoin_sequence* sequence) {
    std::vector<int32_t> ids(quoin_sequence_length(sequence));
    check_ok(quoin_sequence_tokens(sequence, ids.data(), ids.size(), nullptr));
    return ids;
}

}  // namespace

TEST_CASE("messages come up to the level that was asked for") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), small_bytes());
    {
        const Log log(QUOIN_LOG_WARNING);
        static_cast<void>(make_context(model.get(), 1000));  // trained for 128
        CHECK(log.says("1000 tokens"));
        for (const auto& [level, text] : log.messages()) CHECK(level <= QUOIN_LOG_WARNING);
    }
    {
        const Log log(QUOIN_LOG_ERROR);
        static_cast<void>(make_context(model.get(), 1000));
        CHECK(log.messages().empty());
    }
    const Log log(QUOIN_LOG_DEBUG);
    check_ok(quoin_log_set(QUOIN_LOG_DEBUG, nullptr, nullptr));
    static_cast<void>(make_context(model.get(), 1000));
    CHECK(log.messages().empty());
}

TEST_CASE("success leaves the last error as it was") {
    check_fails(quoin_log_set(77, nullptr, nullptr), QUOIN_ERROR_INVALID_ARGUMENT);
    const std::string before = quoin_last_error();
    auto cpu = sized<quoin_cpu>();
    check_ok(quoin_cpu_info(&cpu));
    CHECK(before == quoin_last_error());
    CHECK_THAT(before, contains("77"));
}

TEST_CASE("a very long sentence is cut, not lost") {
    const std::string path(100000, 'x');
    quoin_model* made = nullptr;
    const std::string sentence =
        check_fails(quoin_model_load_file(nullptr, path.data(), path.size(), nullptr, &made), QUOIN_ERROR_IO);
    CHECK(sentence.size() > 1000);
    CHECK(sentence.size() < 10000);
}

TEST_CASE("each thread has its own last error", "[threaded]") {
    check_fails(quoin_log_set(1000, nullptr, nullptr), QUOIN_ERROR_INVALID_ARGUMENT);
    std::vector<std::thread> threads;
    std::atomic<int> right{0};
    for (int32_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([thread, &right] {
            if (*quoin_last_error() != '\0') return;  // not "" before the first failure
            for (int32_t turn = 0; turn < 200; ++turn) {
                const int32_t level = 2000 + thread * 1000 + turn;
                quoin_log_set(level, nullptr, nullptr);
                std::this_thread::yield();
                if (std::string(quoin_last_error()).find(std::to_string(level)) == std::string::npos) return;
            }
            ++right;
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(right == 4);
    CHECK_THAT(std::string(quoin_last_error()), contains("1000"));
}

TEST_CASE("a piece callback stops the text where it says") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    const ContextHandle context = make_context(model.get(), 128);
    auto options = sized<quoin_generate_options>();
    options.max_tokens = 12;
    options.ignore_end = 1;
    Generated whole;
    auto result = sized<quoin_result>();
    const SequenceHandle first = make_sequence(context.get(), {1, 50});
    check_ok(quoin_sequence_generate(first.get(), nullptr, &options, Generated::take, &whole, &result));
    CHECK(result.finish == QUOIN_FINISH_LENGTH);
    CHECK(result.generated_tokens == 12);
    CHECK(result.prompt_tokens == 2);
    CHECK(result.end_token == -1);
    CHECK(whole.tokens.size() == 12);

    const bool by_return = GENERATE(true, false);
    Generated part;
    part.stop_after = 5;
    const SequenceHandle second = make_sequence(context.get(), {1, 50});
    if (!by_return) part.cancel = second.get();
    check_fails(quoin_sequence_generate(second.get(), nullptr, &options, Generated::take, &part, &result),
                QUOIN_CANCELLED);
    CHECK(result.finish == QUOIN_FINISH_CANCELLED);
    CHECK(result.generated_tokens == 5);
    REQUIRE(part.tokens.size() == 5);
    CHECK(std::equal(part.tokens.begin(), part.tokens.end(), whole.tokens.begin()));
    std::vector<int32_t> expected = {1, 50};
    expected.insert(expected.end(), part.tokens.begin(), part.tokens.end());
    CHECK(tokens_of(second.get()) == expected);  // all that reached the callback
    // And it goes on where it stopped.
    Generated rest;
    options.max_tokens = 7;
    check_ok(quoin_sequence_generate(second.get(), nullptr, &options, Generated::take, &rest, &result));
    CHECK(tokens_of(second.get()) == tokens_of(first.get()));
    CHECK(part.text + rest.text == whole.text);
}

TEST_CASE("a write callback stops a description") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), small_bytes());
    const quoin_write_callback stop = [](const char*, size_t, void*) -> int32_t { return 1; };
    for (const int32_t what : {1, 2, 3, 4, 5}) {
        check_fails(quoin_model_describe(model.get(), what, QUOIN_FORMAT_JSON, stop, nullptr), QUOIN_CANCELLED);
    }
}

TEST_CASE("generating is cancelled from another thread", "[threaded]") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), tiny_bytes());
    const ContextHandle context = make_context(model.get(), 4000);
    const SequenceHandle sequence = make_sequence(context.get(), {1, 50});
    std::atomic<bool> started{false};
    std::thread other([&] {
        while (!started.load()) std::this_thread::yield();
        quoin_sequence_cancel(sequence.get());
    });
    auto options = sized<quoin_generate_options>();
    options.ignore_end = 1;
    auto result = sized<quoin_result>();
    const quoin_piece_callback callback = [](const quoin_piece*, void* user_data) -> int32_t {
        static_cast<std::atomic<bool>*>(user_data)->store(true);
        return 0;
    };
    const quoin_status status = quoin_sequence_generate(sequence.get(), nullptr, &options, callback, &started, &result);
    other.join();
    CHECK(status == QUOIN_CANCELLED);
    CHECK(result.finish == QUOIN_FINISH_CANCELLED);
    CHECK(result.generated_tokens > 0);
    CHECK(quoin_sequence_length(sequence.get()) == 2 + static_cast<size_t>(result.generated_tokens));
    quoin_sequence_cancel(sequence.get());  // not at work: nothing happens
    options.max_tokens = 1;
    check_ok(quoin_sequence_generate(sequence.get(), nullptr, &options, nullptr, nullptr, nullptr));
}

TEST_CASE("a second thread at a sequence's work is told so", "[threaded]") {
    const RuntimeHandle runtime = one_thread();
    const ModelHandle model = load(runtime.get(), small_bytes());
    const ContextHandle context = make_context(model.get());
    const SequenceHandle sequence = make_sequence(context.get(), {1, 2});
    struct Shared {
        quoin_sequence* sequence;
        quoin_status append = QUOIN_OK;
        quoin_status generate = QUOIN_OK;
    } shared{sequence.get()};
    const quoin_piece_callback callback = [](const quoin_piece*, void* user_data) -> int32_t {
        auto& used = *static_cast<Shared*>(user_data);
        std::thread([&used] {
            const int32_t id = 0;
            used.append = quoin_sequence_append_tokens(used.sequence, &id, 1);
            used.generate = quoin_sequence_generate(used.sequence, nullptr, nullptr, nullptr, nullptr, nullptr);
        }).join();
        return 1;
    };
    check_fails(quoin_sequence_generate(sequence.get(), nullptr, nullptr, callback, &shared, nullptr), QUOIN_CANCELLED);
    CHECK(shared.append == QUOIN_ERROR_INVALID_STATE);
    CHECK(shared.generate == QUOIN_ERROR_INVALID_STATE);
}
