#include "text/utf8.h"

#include <string>
#include <vector>

#include "support/catch.h"

using namespace quoin;

namespace {

std::string repaired(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const Utf8Unit unit = next_utf8_unit(text);
        result += unit.kind == Utf8Kind::Character ? text.substr(0, unit.length) : "?";
        text.remove_prefix(unit.length);
    }
    return result;
}

}  // namespace

TEST_CASE("Broken UTF-8 is cut into maximal subparts", "[text]") {
    // The examples of the Unicode standard 15.0, tables 3-8, 3-9, 3-10 and 3-11.
    CHECK(repaired("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == "????????A");
    CHECK(repaired("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == "????????A");
    CHECK(repaired("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == "?????A??B");
    CHECK(repaired("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == "????A");
    CHECK(repaired("aé€😀") == "aé€😀");
}

TEST_CASE("Validity of UTF-8 does not depend on where in the text a character stands", "[text]") {
    for (size_t before = 0; before < 20; ++before) {
        const std::string lead(before, 'a');
        CHECK(is_valid_utf8(lead));
        CHECK(is_valid_utf8(lead + "é€😀" + lead));
        CHECK_FALSE(is_valid_utf8(lead + "\xFF" + lead));
        CHECK_FALSE(is_valid_utf8(lead + "\xE2\x82"));
    }
}

TEST_CASE("Code points and their bytes", "[text]") {
    for (const uint32_t code_point :
         {0x24U, 0x7FU, 0x80U, 0xA3U, 0x7FFU, 0x800U, 0x20ACU, 0xFFFFU, 0x10000U, 0x10348U}) {
        std::string bytes;
        append_utf8(code_point, bytes);
        CHECK(is_valid_utf8(bytes));
        CHECK(next_utf8_unit(bytes).length == bytes.size());
        CHECK(utf8_code_point(bytes) == code_point);
    }
}
