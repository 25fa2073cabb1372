// Names out of a file, made fit for a message.
#pragma once

#include <string>
#include <string_view>

namespace quoin {

// "'blk.0.attn_q.weight'": cut after 100 bytes, and everything but printable ASCII as '?', because a hostile name may
// hold zeros, terminal commands or megabytes.
std::string quoted(std::string_view name);

}  // namespace quoin
