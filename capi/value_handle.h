// The handle of a value, with those of everything in it.
#pragma once

#include "handles.h"

namespace quoin::capi {

quoin_value handle_of(RuntimeValue value);

}  // namespace quoin::capi
