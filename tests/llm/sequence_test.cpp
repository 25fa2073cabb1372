// One sequence: fork, trim, rewind, evaluate, and what goes wrong.
#include "llm/sequence.h"

#include <cmath>
#include <cstdlib>
#include <functional>
#include <utility>

#include "support/catch.h"
#include "support/language_model.h"
#include "support/shared_models.h"

using namespace quoin;
using namespace quoin::test;

namespace {

// A fixed text that is longer than two pages of 32 tokens.
std::vector<int32_t> long_prompt(size_t count) {
    std::vector<int32_t> ids = {1};
    while (ids.size() < count) ids.push_back(static_cast<int32_t>(259 + 37 * ids.size() % 500));
    return ids;
}

std::vector<float> last_logits(Sequence& sequence) {
    std::vector<float> logits(static_cast<size_t>(sequence.context().model().decoder->vocabulary_size));
    const Status status = sequence.evaluate(1, logits);
    INFO(status.message());
    REQUIRE(status.ok());
    return logits;
}

// Encodes every text as token 300, and does something else meanwhile.
class MeddlingTokenizer : public Tokenizer {
public:
    MeddlingTokenizer(const Metadata& metadata, std::function<void()> meanwhile)
        : Tokenizer(Vocabulary::load(metadata, SpecialIds{}).value(), true, false, false),
          meanwhile_(std::move(meanwhile)) {}

private:
    Status encode_plain(std::string_view, bool, std::vector<int32_t>& ids) const override {
        meanwhile_();
        ids.push_back(300);
        return {};
    }
    void append_normal(int32_t, std::string&) const override {}

    std::function<void()> meanwhile_;
};

int64_t pages_used(const Context& context) {
    return context.metrics().pages_used;
}

}  // namespace

TEST_CASE("a prompt gives the same logits in one piece, in small steps and token by token") {
    const ModelPtr model = tiny_model(make_runtime(2));
    const std::vector<int32_t> ids = long_prompt(70);
    const std::vector<float> whole = last_logits(*make_sequence(make_context(model), ids));
    const std::vector<float> pieces = last_logits(*make_sequence(make_context(model, {.max_step_tokens = 7}), ids));
    CHECK(whole == pieces);

    const auto sequence = make_sequence(make_context(model));
    std::vector<float> last;
    for (const int32_t id : ids) {
        REQUIRE(sequence->append_tokens(std::span(&id, 1)).ok());
        last = last_logits(*sequence);
    }
    CHECK(whole == last);
}

TEST_CASE("results do not depend on the number of threads") {
    const std::vector<int32_t> ids = long_prompt(40);
    const std::vector<float> one = last_logits(*make_sequence(make_context(tiny_model(make_runtime(1))), ids));
    for (const int threads : {2, 3, 5}) {
        CHECK(last_logits(*make_sequence(make_context(tiny_model(make_runtime(threads))), ids)) == one);
    }
}

TEST_CASE("however keys and values are kept, pieces, threads, forks and rewinds do not change a bit") {
    const DType dtype = GENERATE(DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0);
    CAPTURE(dtype_name(dtype));
    const ModelPtr model = tiny_model(make_runtime(2));
    const std::vector<int32_t> ids = long_prompt(300);  // more than one block of positions
    const auto context = make_context(model, {.kv_tokens = 2048, .kv_dtype = dtype});
    const std::vector<float> whole = last_logits(*make_sequence(context, ids));
    CHECK(whole == last_logits(*make_sequence(
                       make_context(model, {.kv_tokens = 512, .kv_dtype = dtype, .max_step_tokens = 7}), ids)));
    CHECK(whole == last_logits(*make_sequence(
                       make_context(tiny_model(make_runtime(3)), {.kv_tokens = 512, .kv_dtype = dtype}), ids)));

    // A fork goes another way in the middle of a page, the parent comes back to where it was.
    const auto parent = make_sequence(context, std::span(ids).first(270));
    last_logits(*parent);
    auto fork = parent->fork();
    REQUIRE(fork.ok());
    REQUIRE((*fork)->append_tokens(std::span(ids).first(40)).ok());
    last_logits(**fork);
    REQUIRE(parent->append_tokens(std::span(ids).subspan(100, 25)).ok());
    last_logits(*parent);
    REQUIRE(parent->trim(270).ok());
    REQUIRE(parent->append_tokens(std::span(ids).subspan(270)).ok());
    CHECK(whole == last_logits(*parent));
    REQUIRE((*fork)->trim(250).ok());
    REQUIRE((*fork)->append_tokens(std::span(ids).subspan(250)).ok());
    CHECK(whole == last_logits(**fork));
}

TEST_CASE("logits stay close to those of f32 keys and values, and a token takes the bytes of its format") {
    struct Expected {
        DType dtype;
        double error;  // root of the mean square, relative to the logits
        int64_t bytes;
    };
    // Without quantised activations, whose rounding makes more of any small difference.
    const ModelPtr model =
        load_file(source_file("examples/tiny-model/quoin-tiny.gguf"), make_runtime(2), Provider::Reference);
    int64_t values = 0;  // of a token, over all layers
    for (const auto& layer : model->decoder->layers) values += 2 * layer.kv_heads * layer.head_size;
    const std::vector<int32_t> ids = long_prompt(300);
    const std::vector<float> exact = all_logits(make_context(model, {.kv_tokens = 512, .kv_dtype = DType::F32}), ids);
    // Measured: 0.0003, 0.0023, 0.0081 and 0.110.
    for (const Expected& each :
         {Expected{DType::F16, 0.0006, values * 2}, Expected{DType::BF16, 0.004, values * 2},
          Expected{DType::Q8_0, 0.012, values * 34 / 32}, Expected{DType::Q4_0, 0.15, values * 18 / 32}}) {
        const auto context = make_context(model, {.kv_tokens = 512, .kv_dtype = each.dtype});
        const std::vector<float> found = all_logits(context, ids);
        double square = 0;
        double error = 0;
        for (size_t index = 0; index < exact.size(); ++index) {
            square += double{exact[index]} * exact[index];
            error += std::pow(double{found[index]} - exact[index], 2);
        }
        CAPTURE(dtype_name(each.dtype), std::sqrt(error / square));
        CHECK(std::sqrt(error / square) < each.error);
        CHECK(std::sqrt(error / square) > each.error / 20);
        CHECK(context->metrics().kv_bytes_per_token == each.bytes);
    }
}

TEST_CASE("heads that are no whole blocks cannot be kept in block formats") {
    const auto model = load_file(source_file("tests/data/architectures/small-qwen2.gguf"), make_runtime(1));
    const int64_t size = model->decoder->layers[0].head_size;
    REQUIRE(size % 32 != 0);
    for (const DType dtype : {DType::Q8_0, DType::Q4_0}) {
        const Status status = Context::create(model, {.kv_dtype = dtype}).status();
        CHECK(status.code() == StatusCode::Unsupported);
        CHECK_THAT(status.message(), contains("heads of " + std::to_string(size) + " values"));
    }
    CHECK(Context::create(model, {.kv_dtype = DType::BF16}).ok());
}

TEST_CASE("a fork shares pages until one of the two goes another way") {
    const auto context = make_context(tiny_model(make_runtime(2)), {.kv_tokens = 512});
    const std::vector<int32_t> ids = long_prompt(40);  // one full page and a part of the second
    const auto parent = make_sequence(context, ids);
    last_logits(*parent);
    CHECK(pages_used(*context) == 2);

    auto fork = parent->fork();
    REQUIRE(fork.ok());
    CHECK(pages_used(*context) == 2);

    const std::array<int32_t, 1> left = {300};
    const std::array<int32_t, 1> right = {400};
    REQUIRE(parent->append_tokens(left).ok());
    REQUIRE((*fork)->append_tokens(right).ok());
    const std::vector<float> parent_logits = last_logits(*parent);
    CHECK(pages_used(*context) == 3);  // the parent took a copy of the page it writes to
    const std::vector<float> fork_logits = last_logits(**fork);
    CHECK(pages_used(*context) == 3);  // the fork is now alone with the old one

    std::vector<int32_t> expected = ids;
    expected.push_back(300);
    CHECK(parent_logits == last_logits(*make_sequence(context, expected)));
    expected.back() = 400;
    CHECK(fork_logits == last_logits(*make_sequence(context, expected)));
}

TEST_CASE("trimming rewinds the text and returns pages") {
    const auto context = make_context(tiny_model(make_runtime(2)), {.kv_tokens = 512});
    const std::vector<int32_t> ids = long_prompt(100);
    const auto sequence = make_sequence(context, ids);
    last_logits(*sequence);
    CHECK(pages_used(*context) == 4);
    REQUIRE(sequence->trim(33).ok());
    CHECK(sequence->tokens().size() == 33);
    CHECK(pages_used(*context) == 2);
    CHECK(last_logits(*sequence) == last_logits(*make_sequence(context, std::span(ids).first(33))));

    // What comes after a rewind must not see what was there before.
    REQUIRE(sequence->trim(20).ok());
    REQUIRE(sequence->append_tokens(std::span(ids).subspan(50, 10)).ok());
    std::vector<int32_t> expected(ids.begin(), ids.begin() + 20);
    expected.insert(expected.end(), ids.begin() + 50, ids.begin() + 60);
    CHECK(last_logits(*sequence) == last_logits(*make_sequence(context, expected)));
    CHECK(sequence->trim(31).code() == StatusCode::InvalidArgument);
}

TEST_CASE("destroying sequences gives all pages back") {
    const auto context = make_context(tiny_model(make_runtime(2)));
    {
        const auto sequence = make_sequence(context, long_prompt(100));
        last_logits(*sequence);
        const auto fork = sequence->fork();
        CHECK(context->metrics().sequences == 2);
    }
    CHECK(pages_used(*context) == 0);
    CHECK(context->metrics().sequences == 0);
}

TEST_CASE("rows that were computed before can be asked for again") {
    const auto context = make_context(tiny_model(make_runtime(2)));
    const std::vector<int32_t> ids = long_prompt(12);
    const std::vector<float> all = all_logits(context, ids);
    const auto sequence = make_sequence(context, ids);
    last_logits(*sequence);
    const auto vocabulary = static_cast<size_t>(context->model().decoder->vocabulary_size);
    std::vector<float> last_three(3 * vocabulary);
    REQUIRE(sequence->evaluate(3, last_three).ok());
    CHECK(std::ranges::equal(last_three, std::span(all).last(3 * vocabulary)));
}

TEST_CASE("a text that does not fit is refused with what to do") {
    const auto context = make_context(tiny_model(make_runtime(1)), {.kv_tokens = 64});
    const auto sequence = make_sequence(context);
    const Status status = sequence->append_tokens(long_prompt(65));
    CHECK(status.code() == StatusCode::ContextFull);
    CHECK_THAT(status.message(), contains("kv_tokens"));
    CHECK(sequence->tokens().empty());

    // Each fits alone, not both together.
    const auto first = make_sequence(context, long_prompt(40));
    const auto second = make_sequence(context, long_prompt(40));
    last_logits(*first);
    std::vector<float> logits(static_cast<size_t>(context->model().decoder->vocabulary_size));
    CHECK(second->evaluate(1, logits).code() == StatusCode::ContextFull);
    REQUIRE(first->trim(0).ok());
    CHECK(second->evaluate(1, logits).ok());
}

TEST_CASE("generation ends where the context is full") {
    const auto context = make_context(tiny_model(make_runtime(1)), {.kv_tokens = 32});
    const auto sequence = make_sequence(context, long_prompt(8));
    GenerateResult result;
    REQUIRE(sequence->generate(nullptr, {.ignore_end = true}, {}, result).ok());
    CHECK(result.finish == Finish::Context);
    CHECK(sequence->tokens().size() == 32);
    REQUIRE(sequence->generate(nullptr, {.ignore_end = true}, {}, result).ok());
    CHECK(result.finish == Finish::Context);
    CHECK(result.generated_tokens == 0);
    CHECK(result.prompt_tokens == 0);
    CHECK(sequence->tokens().size() == 32);
}

TEST_CASE("the callback gets every token, stops when it says so, and may not use its sequence") {
    const auto context = make_context(tiny_model(make_runtime(1)));
    const auto sequence = make_sequence(context, std::to_array<int32_t>({1, 529, 528, 261, 427}));
    std::vector<int32_t> seen;
    Status inside;
    const PieceCallback callback = [&](std::string_view, int32_t token) {
        seen.push_back(token);
        inside = sequence->trim(0);
        return seen.size() < 5;
    };
    GenerateResult result;
    const Status status = sequence->generate(nullptr, {.max_tokens = 20, .ignore_end = true}, callback, result);
    CHECK(status.code() == StatusCode::Cancelled);
    CHECK(result.finish == Finish::Cancelled);
    CHECK(inside.code() == StatusCode::InvalidState);
    CHECK(seen.size() == 5);
    CHECK(std::ranges::equal(seen, sequence->tokens().subspan(5)));
    // It goes on as if nothing had happened.
    REQUIRE(sequence->generate(nullptr, {.max_tokens = 3, .ignore_end = true}, {}, result).ok());
    CHECK(std::ranges::equal(sequence->tokens().subspan(5),
                             greedy(context, std::to_array<int32_t>({1, 529, 528, 261, 427}), 8, true)));
}

TEST_CASE("a text that comes while another one is encoded is told so, and the begin token stands there once") {
    const auto model = std::make_shared<Model>(*tiny_model(make_runtime(1)));
    Sequence* other = nullptr;
    Status inside;
    model->tokenizer = std::make_shared<MeddlingTokenizer>(model->metadata, [&] {
        if (Sequence* const sequence = std::exchange(other, nullptr)) inside = sequence->append_text("b");
    });
    const auto sequence = make_sequence(make_context(model));
    other = sequence.get();
    REQUIRE(sequence->append_text("a").ok());
    CHECK(inside.code() == StatusCode::InvalidState);
    CHECK(std::ranges::equal(sequence->tokens(), std::to_array<int32_t>({1, 300})));
    REQUIRE(sequence->append_text("b").ok());
    CHECK(std::ranges::equal(sequence->tokens(), std::to_array<int32_t>({1, 300, 300})));
}

TEST_CASE("a cancel during the only step of an evaluation is not lost") {
    const Sequence* at_work = nullptr;  // cancelled as soon as the step asks for memory
    const auto allocate = [&](size_t bytes, size_t alignment) {
        if (at_work != nullptr) at_work->cancel();
        return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    };
    const auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>(0, allocate, [](void* block, size_t) { std::free(block); });
    runtime->team = std::make_unique<Team>(1);
    runtime->isa = effective_isa(std::nullopt);
    const auto context = make_context(tiny_model(runtime));
    const auto sequence = make_sequence(context, std::to_array<int32_t>({1, 2}));
    std::vector<float> logits(static_cast<size_t>(context->model().decoder->vocabulary_size));
    at_work = sequence.get();
    CHECK(sequence->evaluate(1, logits).code() == StatusCode::Cancelled);
    at_work = nullptr;
    CHECK(sequence->tokens().size() == 2);
    CHECK(last_logits(*sequence) == last_logits(*make_sequence(context, std::to_array<int32_t>({1, 2}))));
}

TEST_CASE("a callback that stops at what was left incomplete cancels like any other") {
    const auto context = make_context(tiny_model(make_runtime(1)));
    bool seen = false;
    for (uint64_t seed = 0; seed < 1000 && !seen; ++seed) {
        // So hot that all tokens are as likely, single bytes of longer characters among them.
        auto sampler = Sampler::make({.temperature = 1e6F, .seed = seed});
        REQUIRE(sampler.ok());
        const PieceCallback callback = [&](std::string_view, int32_t token) {
            seen = seen || token == -1;
            return token != -1;
        };
        const auto sequence = make_sequence(context, std::to_array<int32_t>({1, 529}));
        GenerateResult result;
        const Status status = sequence->generate(&*sampler, {.max_tokens = 1, .ignore_end = true}, callback, result);
        CHECK(status.code() == (seen ? StatusCode::Cancelled : StatusCode::Ok));
        CHECK(result.finish == (seen ? Finish::Cancelled : Finish::Length));
        CHECK(sequence->tokens().size() == 3);
    }
    CHECK(seen);
}

TEST_CASE("bad requests get a status and a sentence") {
    const ModelPtr model = tiny_model(make_runtime(1));
    const auto context = make_context(model, {.max_sequences = 1});
    const auto sequence = make_sequence(context);
    GenerateResult result;
    CHECK(sequence->generate(nullptr, {}, {}, result).code() == StatusCode::InvalidArgument);
    CHECK(sequence->append_tokens(std::to_array<int32_t>({-1})).code() == StatusCode::InvalidArgument);
    CHECK(sequence->append_tokens(std::to_array<int32_t>({1 << 20})).code() == StatusCode::InvalidArgument);
    CHECK(sequence->evaluate(1, {}).code() == StatusCode::InvalidArgument);
    CHECK(Sequence::create(context).status().code() == StatusCode::ContextFull);
    CHECK(Context::create(model, {.kv_tokens = -1}).status().code() == StatusCode::InvalidArgument);
    CHECK(Context::create(model, {.kv_dtype = DType::I8}).status().code() == StatusCode::Unsupported);
    CHECK(Context::create(model, {.kv_tokens = int64_t{1} << 30}).status().code() == StatusCode::OutOfMemory);
}
