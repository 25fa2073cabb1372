// UTF-8 to the 32-bit characters that NumPy keeps text in, and back.
#pragma once

#include <string>
#include <string_view>

// Bytes that are not UTF-8 become U+FFFD each.
std::u32string to_utf32(std::string_view text);
// `bytes` holds characters of four bytes, little-endian, zeros at the end left away.
std::string from_utf32(std::string_view bytes);
