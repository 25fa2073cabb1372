// Who can compute the heavy ops of a model in this build and on this machine.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/runtime.h"
#include "core/status.h"

namespace quoin {

std::string_view provider_name(Provider provider);  // "best", "native", "onednn", "eigen", "reference"
std::optional<Provider> provider_from_name(std::string_view name);
// Those of this build that may be asked for, as a sentence has them: "native, onednn and reference".
std::string provider_names();

// Why nothing of this provider can run here: the build is without it, or the runtime's instruction set shuts it out.
Status check_provider(Provider provider, const Runtime& runtime);

}  // namespace quoin
