// Many sequences in one context: common steps, the same text, cancellation.
#include <chrono>
#include <mutex>
#include <thread>

#include "llm/sequence.h"
#include "support/catch.h"
#include "support/language_model.h"

using namespace quoin;
using namespace quoin::test;

namespace {

constexpr size_t kThreads = 16;

// Prompts of different lengths, so that prefill and decode meet in the same steps.
std::vector<int32_t> prompt_of(size_t thread) {
    std::vector<int32_t> ids = {1, 529, 528, 261, 427};
    for (size_t index = 0; index < 5 * thread; ++index)
        ids.push_back(static_cast<int32_t>(300 + 13 * (index + thread) % 400));
    return ids;
}

std::vector<int32_t> generate_sampled(const std::shared_ptr<Context>& context, size_t thread) {
    auto sampler = Sampler::make({.top_k = 40, .temperature = 0.8F, .seed = thread});
    const std::vector<int32_t> prompt = prompt_of(thread);
    auto sequence = Sequence::create(context);
    if (!sampler.ok() || !sequence.ok() || !(*sequence)->append_tokens(prompt).ok()) return {};
    GenerateResult result;
    if (!(*sequence)->generate(&*sampler, {.max_tokens = 24, .ignore_end = true}, {}, result).ok()) return {};
    const auto tokens = (*sequence)->tokens();
    return {tokens.begin(), tokens.end()};
}

}  // namespace

TEST_CASE("16 threads get the same text as one after the other, and share steps", "[threaded]") {
    const ModelPtr model = tiny_model(make_runtime(2));
    const auto alone = make_context(model, {.kv_tokens = 4096});
    std::vector<std::vector<int32_t>> expected;
    for (size_t thread = 0; thread < kThreads; ++thread) expected.push_back(generate_sampled(alone, thread));
    CHECK(alone->metrics().shared_steps == 0);

    const auto shared = make_context(model, {.kv_tokens = 4096});
    std::vector<std::vector<int32_t>> found(kThreads);
    std::vector<std::thread> threads;
    for (size_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] { found[thread] = generate_sampled(shared, thread); });
    }
    for (std::thread& thread : threads) thread.join();

    for (size_t thread = 0; thread < kThreads; ++thread) {
        INFO("thread " << thread);
        CHECK(expected[thread].size() == prompt_of(thread).size() + 24);
        CHECK(found[thread] == expected[thread]);
    }
    const ContextMetrics metrics = shared->metrics();
    CHECK(metrics.tokens == alone->metrics().tokens);
    CHECK(metrics.shared_steps > 0);
    CHECK(metrics.steps < alone->metrics().steps / 2);
}

TEST_CASE("cancelling from another thread ends a generation within a step", "[threaded]") {
    const auto context = make_context(tiny_model(make_runtime(2)), {.kv_tokens = 4096});
    const auto sequence = make_sequence(context, prompt_of(0));
    std::atomic<int> pieces{0};
    std::thread canceller([&] {
        while (pieces.load() < 3) std::this_thread::yield();
        sequence->cancel();
    });
    GenerateResult result;
    const Status status = sequence->generate(
        nullptr, {.ignore_end = true},
        [&](std::string_view, int32_t) {
            pieces.fetch_add(1);
            return true;
        },
        result);
    canceller.join();
    CHECK(status.code() == StatusCode::Cancelled);
    CHECK(result.finish == Finish::Cancelled);
    CHECK(result.generated_tokens == pieces.load());
}

TEST_CASE("a cancelled prompt does not disturb the others", "[threaded]") {
    const auto context = make_context(tiny_model(make_runtime(2)), {.kv_tokens = 4096, .max_step_tokens = 64});
    const std::vector<int32_t> expected = generate_sampled(make_context(context->model_pointer()), 3);
    std::vector<int32_t> endless(2000, 300);
    const auto victim = make_sequence(context, endless);
    std::atomic<bool> done{false};
    StatusCode code = StatusCode::Ok;
    std::thread prompt([&] {
        GenerateResult result;
        code = victim->generate(nullptr, {}, {}, result).code();
        done = true;
    });
    std::thread canceller([&] {
        while (context->metrics().tokens < 200 && !done) std::this_thread::yield();
        while (!done) {
            victim->cancel();
            std::this_thread::yield();
        }
    });
    CHECK(generate_sampled(context, 3) == expected);
    prompt.join();
    canceller.join();
    CHECK(code == StatusCode::Cancelled);
}

TEST_CASE("two models generate at once on one runtime", "[threaded]") {
    const RuntimePtr runtime = make_runtime(2);
    const auto first = make_context(tiny_model(runtime));
    const auto second = make_context(tiny_model(runtime));
    const std::vector<int32_t> expected = generate_sampled(first, 5);
    std::vector<int32_t> found_first;
    std::vector<int32_t> found_second;
    std::thread other([&] { found_second = generate_sampled(second, 5); });
    found_first = generate_sampled(first, 5);
    other.join();
    CHECK(found_first == expected);
    CHECK(found_second == expected);
}

TEST_CASE("sequences come and go while others generate", "[threaded]") {
    const auto context = make_context(tiny_model(make_runtime(2)), {.kv_tokens = 2048});
    std::vector<std::thread> threads;
    std::array<bool, 4> good{};
    for (size_t thread = 0; thread < good.size(); ++thread) {
        threads.emplace_back([&, thread] {
            good[thread] = true;
            for (int round = 0; round < 4; ++round) {
                auto parent = Sequence::create(context);
                if (!parent.ok() || !(*parent)->append_tokens(prompt_of(thread + 4)).ok() ||
                    !(*parent)->evaluate(0, {}).ok()) {
                    good[thread] = false;
                    continue;
                }
                auto fork = (*parent)->fork();
                GenerateResult result;
                good[thread] = good[thread] && fork.ok() && (*parent)->trim(3).ok() &&
                               (*fork)->generate(nullptr, {.max_tokens = 5, .ignore_end = true}, {}, result).ok();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const bool each : good) CHECK(each);
    CHECK(context->metrics().pages_used == 0);
}
