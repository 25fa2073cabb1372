// What a model says about itself, what the library says to the host, what the machine is.
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/cpu_info.h"
#include "core/log.h"
#include "core/metadata.h"
#include "support/catch.h"

namespace quoin::test {
namespace {

// ---- Metadata

Metadata sample() {
    Metadata metadata("a.gguf", nullptr);
    metadata.add("flag", true);
    metadata.add("count", int64_t{-7});
    metadata.add("big", std::numeric_limits<uint64_t>::max());
    metadata.add("fits", uint64_t{1} << 62);
    metadata.add("ratio", 0.5);
    metadata.add("name", std::string_view("tiny"));
    metadata.add("names", std::vector<std::string_view>{"a", "b"});
    metadata.add("sizes", std::vector<int64_t>{4, 5, 6});
    metadata.add("scores", std::vector<double>{0.25});
    metadata.add("flags", std::vector<bool>{true, false});
    return metadata;
}

TEST_CASE("keys of the right type give their value") {
    const Metadata metadata = sample();
    CHECK(metadata.boolean("flag", false).value());
    CHECK(metadata.integer("count", 0).value() == -7);
    CHECK(metadata.require_integer("fits").value() == int64_t{1} << 62);
    CHECK(metadata.number("ratio", 0).value() == 0.5);
    CHECK(metadata.require_number("ratio").value() == 0.5);
    CHECK(metadata.string("name", "").value() == "tiny");
    CHECK(metadata.require_string("name").value() == "tiny");
    CHECK(metadata.strings("names").value()->at(1) == "b");
    CHECK(metadata.integers("sizes").value()->size() == 3);
    CHECK(metadata.numbers("scores").value()->front() == 0.25);
}

TEST_CASE("absent keys give the fallback, or an error where they are required") {
    const Metadata metadata = sample();
    CHECK(metadata.boolean("no", true).value());
    CHECK(metadata.integer("no", 3).value() == 3);
    CHECK(metadata.number("no", 1.5).value() == 1.5);
    CHECK(metadata.string("no", "x").value() == "x");
    CHECK(metadata.strings("no").value() == nullptr);
    CHECK(metadata.integers("no").value() == nullptr);
    CHECK(metadata.numbers("no").value() == nullptr);
    for (const Status& status : {metadata.require_integer("no").status(), metadata.require_number("no").status(),
                                 metadata.require_string("no").status()}) {
        CHECK(status.code() == StatusCode::InvalidModel);
        CHECK(status.message() == "a.gguf: key 'no' is missing");
    }
}

TEST_CASE("a key of another type is an error even where a fallback is given") {
    const Metadata metadata = sample();
    const auto refused = [](const Status& status, const std::string& message) {
        CHECK(status.code() == StatusCode::InvalidModel);
        CHECK(status.message() == message);
    };
    refused(metadata.integer("name", 1).status(), "a.gguf: key 'name' holds string where an integer is expected");
    refused(metadata.integer("ratio", 1).status(), "a.gguf: key 'ratio' holds float where an integer is expected");
    refused(metadata.number("count", 1).status(), "a.gguf: key 'count' holds integer where a float is expected");
    refused(metadata.boolean("count", true).status(), "a.gguf: key 'count' holds integer where a bool is expected");
    refused(metadata.string("flag", "").status(), "a.gguf: key 'flag' holds bool where a string is expected");
    refused(metadata.strings("sizes").status(),
            "a.gguf: key 'sizes' holds array of integers where an array of strings is expected");
    refused(metadata.integers("flags").status(),
            "a.gguf: key 'flags' holds array of bools where an array of integers is expected");
    refused(metadata.numbers("name").status(), "a.gguf: key 'name' holds string where an array of floats is expected");
}

TEST_CASE("an unsigned integer beyond the signed range is refused, not wrapped") {
    const Status status = sample().integer("big", 0).status();
    CHECK(status.code() == StatusCode::InvalidModel);
    CHECK(status.message() == "a.gguf: key 'big' holds unsigned integer where an integer is expected");
}

TEST_CASE("keys keep the file's order and the first of two equal ones") {
    Metadata metadata = sample();
    CHECK_FALSE(metadata.add("count", int64_t{1}));
    CHECK(metadata.integer("count", 0).value() == -7);
    CHECK(metadata.entries().size() == 10);
    CHECK(metadata.entries().front().key == "flag");
    CHECK(metadata.entries().back().key == "flags");
    CHECK(metadata.find("nothing") == nullptr);
}

TEST_CASE("copies of metadata keep the strings' bytes alive") {
    auto owner = std::make_shared<std::string>("a vocabulary");
    const std::weak_ptr<std::string> watched = owner;
    Metadata copy;
    {
        Metadata metadata("a.gguf", owner);
        metadata.add("text", std::string_view(*owner));
        owner.reset();
        copy = metadata;
    }
    CHECK_FALSE(watched.expired());
    CHECK(copy.require_string("text").value() == "a vocabulary");
}

// ---- Log

using Messages = std::vector<std::pair<LogLevel, std::string>>;

Messages messages_at(LogLevel level) {
    Messages messages;
    set_log(level, [&](LogLevel each, std::string_view text) { messages.emplace_back(each, text); });
    log(LogLevel::Error, "e", 1);
    log(LogLevel::Warning, "w", 2);
    log(LogLevel::Info, "i", 3);
    log(LogLevel::Debug, "d", 4);
    set_log(LogLevel::Debug, {});
    return messages;
}

TEST_CASE("the host gets the messages up to its level and no others") {
    CHECK(messages_at(LogLevel::Error) == Messages{{LogLevel::Error, "e1"}});
    CHECK(messages_at(LogLevel::Info) ==
          Messages{{LogLevel::Error, "e1"}, {LogLevel::Warning, "w2"}, {LogLevel::Info, "i3"}});
    CHECK(messages_at(LogLevel::Debug).size() == 4);
}

struct CountsPrinting {
    int* printed;
    explicit operator MessagePart() const {
        ++*printed;
        return "text";
    }
};

TEST_CASE("a message nobody wants is not even made") {
    int printed = 0;
    log(LogLevel::Error, CountsPrinting{&printed});
    CHECK(printed == 0);
    CHECK_FALSE(log_enabled(LogLevel::Error));
    set_log(LogLevel::Warning, [](LogLevel, std::string_view) {});
    log(LogLevel::Info, CountsPrinting{&printed});
    CHECK(printed == 0);
    CHECK(log_enabled(LogLevel::Warning));
    CHECK_FALSE(log_enabled(LogLevel::Info));
    log(LogLevel::Warning, CountsPrinting{&printed});
    CHECK(printed == 1);
    set_log(LogLevel::Warning, {});
    CHECK_FALSE(log_enabled(LogLevel::Error));
}

// ---- Instruction sets

TEST_CASE("instruction sets have names in rising order") {
    const std::vector<std::string> names = {"baseline",   "avx2",    "avxvnni", "avx512", "avx512vnni",
                                            "avx512bf16", "amxint8", "dotprod", "i8mm"};
    REQUIRE(names.size() == kIsaCount);
    for (int number = 0; number < kIsaCount; ++number) {
        const auto isa = static_cast<Isa>(number);
        CHECK(isa_name(isa) == names[static_cast<size_t>(number)]);
        CHECK(isa_from_name(names[static_cast<size_t>(number)]) == isa);
    }
    CHECK(isa_from_name("AVX2") == std::nullopt);
    CHECK(isa_from_name("") == std::nullopt);
}

// Sets QUOIN_ISA, and puts back what was there.
class IsaVariable {
public:
    explicit IsaVariable(const char* value) {
        if (const char* const old = std::getenv("QUOIN_ISA")) old_ = old;
        value != nullptr ? setenv("QUOIN_ISA", value, 1) : unsetenv("QUOIN_ISA");
    }
    ~IsaVariable() { old_ ? setenv("QUOIN_ISA", old_->c_str(), 1) : unsetenv("QUOIN_ISA"); }
    IsaVariable(const IsaVariable&) = delete;
    IsaVariable& operator=(const IsaVariable&) = delete;

private:
    std::optional<std::string> old_;
};

TEST_CASE("what a machine has, it has with all below it") {
    CHECK(machine_has(Isa::Baseline));
    for (int number = 0; number < kIsaCount; ++number) {
        const auto isa = static_cast<Isa>(number);
        CHECK(isa_below(isa) <= isa);
        if (machine_has(isa)) CHECK(machine_has(isa_below(isa)));
    }
}

#if defined(__aarch64__)
constexpr Isa highest_isa = Isa::I8mm;
constexpr Isa foreign_isa = Isa::Avx2;
#else
constexpr Isa highest_isa = Isa::AmxInt8;
constexpr Isa foreign_isa = Isa::DotProd;
#endif

TEST_CASE("every instruction set of the machine can be asked for by name") {
    const IsaVariable none(nullptr);
    for (int number = 0; number < kIsaCount; ++number) {
        const auto isa = static_cast<Isa>(number);
        if (machine_has(isa)) CHECK(effective_isa(isa) == isa);
    }
}

TEST_CASE("the instruction set is the machine's, or a lower one that was asked for") {
    {
        const IsaVariable none(nullptr);
        CHECK(effective_isa({}) == detected_isa());
        CHECK(effective_isa(Isa::Baseline) == Isa::Baseline);
        CHECK(effective_isa(highest_isa) == detected_isa());
        CHECK(effective_isa(foreign_isa) == detected_isa());
    }
    {
        const IsaVariable lowest("baseline");
        CHECK(effective_isa({}) == Isa::Baseline);
        CHECK(effective_isa(highest_isa) == Isa::Baseline);
    }
    {
        const IsaVariable highest(isa_name(highest_isa).data());
        CHECK(effective_isa({}) == detected_isa());
    }
    const IsaVariable unknown("mmx");
    CHECK(effective_isa({}) == detected_isa());
}

TEST_CASE("there is a processor and it has a name") {
    CHECK(available_processors() >= 1);
    CHECK_FALSE(cpu_name().empty());
}

}  // namespace
}  // namespace quoin::test
