// How often this executable has called operator new, for tests of code that must not.
#pragma once

#include <cstdint>

namespace quoin::test {

// Of all threads, since the program began.
int64_t allocation_count();

}  // namespace quoin::test
