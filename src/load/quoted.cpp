#include "load/quoted.h"

namespace quoin {

std::string quoted(std::string_view name) {
    constexpr size_t kMostBytes = 100;
    std::string text = "'";
    for (const char letter : name.substr(0, kMostBytes)) text += letter >= ' ' && letter <= '~' ? letter : '?';
    return text + (name.size() > kMostBytes ? "...'" : "'");
}

}  // namespace quoin
