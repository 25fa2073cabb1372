// Texts and numbers in messages, beside a stream as the reference.
#include "core/message.h"

#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

#include "core/status.h"
#include "support/catch.h"

namespace quoin::test {
namespace {

template <class T>
std::string streamed(T value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

TEST_CASE("a message is its parts one after the other") {
    const std::string path = "a.gguf";
    const Status status = error(StatusCode::Io, path, ": ", std::string_view("tensor"), " '", 'x', "' has ", 3, " of ",
                                uint64_t{1} << 63, " bytes");
    CHECK(status.message() == "a.gguf: tensor 'x' has 3 of 9223372036854775808 bytes");
    CHECK(with_context(status, "model ", -1, ": ").message() == "model -1: " + status.message());
    CHECK(message_of({}).empty());
}

TEST_CASE("numbers in messages look as a stream writes them") {
    for (const int64_t number :
         {std::numeric_limits<int64_t>::min(), int64_t{-1}, int64_t{0}, std::numeric_limits<int64_t>::max()}) {
        CHECK(message_of({number}) == streamed(number));
    }
    CHECK(message_of({std::numeric_limits<uint64_t>::max()}) == streamed(std::numeric_limits<uint64_t>::max()));
    CHECK(message_of({true, false}) == "10");
    for (const double number : {0.0, -0.0, 0.1, 1.0 / 3, 1e-5, 123456.0, 1234567.0, -2.5e300,
                                std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        CHECK(message_of({number}) == streamed(number));
    }
    CHECK(message_of({0.1F}) == streamed(0.1F));
}

TEST_CASE("small integers in messages are numbers, not characters") {
    CHECK(message_of({uint8_t{65}, " ", int8_t{-3}}) == "65 -3");
}

}  // namespace
}  // namespace quoin::test
