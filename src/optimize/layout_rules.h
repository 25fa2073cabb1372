// How ops that do not care about the order of axes work on another one.
#pragma once

#include "optimize/layout_forms.h"

namespace quoin {

// When one of the node's operands is at hand in another order and the op can work on that, makes the node there and
// says true; nothing is made otherwise.
Result<bool> move_through(LayoutForms& forms, const Node& node);

}  // namespace quoin
