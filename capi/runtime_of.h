#pragma once

#include <quoin/quoin.h>

#include "core/runtime.h"
#include "core/status.h"

namespace quoin::capi {

// The runtime behind the handle, or for NULL a private one with default options.
Result<RuntimePtr> runtime_of(const quoin_runtime* runtime);

}  // namespace quoin::capi
