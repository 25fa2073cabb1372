#include "ops/providers.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/message.h"
#include "ops/onednn.h"

namespace quoin {
namespace {

Status always(const Runtime& /*runtime*/) {
    return {};
}

// oneDNN chooses its instructions once for the process, so it cannot keep a runtime's lower limit.
Status check_onednn(const Runtime& runtime) {
#if defined(QUOIN_WITH_ONEDNN)
    if (runtime.isa != detected_isa()) {
        return error(StatusCode::Unsupported, "the provider onednn cannot be limited to the instruction set ",
                     isa_name(runtime.isa));
    }
    return onednn::check_available();
#else
    (void)runtime;
    return error(StatusCode::Unsupported, "this build of Quoin is without oneDNN (QUOIN_ONEDNN)");
#endif
}

Status check_eigen(const Runtime& /*runtime*/) {
#if defined(QUOIN_WITH_EIGEN)
    return {};
#else
    return error(StatusCode::Unsupported, "this build of Quoin is without Eigen (QUOIN_EIGEN)");
#endif
}

struct Known {
    Provider provider;
    std::string_view name;
    bool built;
    Status (*check)(const Runtime&);
};

#if defined(QUOIN_WITH_ONEDNN)
constexpr bool kWithOneDnn = true;
#else
constexpr bool kWithOneDnn = false;
#endif
#if defined(QUOIN_WITH_EIGEN)
constexpr bool kWithEigen = true;
#else
constexpr bool kWithEigen = false;
#endif

constexpr std::array kKnown = {
    Known{Provider::Best, "best", true, always},
    Known{Provider::Native, "native", true, always},
    Known{Provider::OneDnn, "onednn", kWithOneDnn, check_onednn},
    Known{Provider::Eigen, "eigen", kWithEigen, check_eigen},
    Known{Provider::Reference, "reference", true, always},
};

const Known& known(Provider provider) {
    return *std::ranges::find(kKnown, provider, &Known::provider);
}

}  // namespace

std::string_view provider_name(Provider provider) {
    return known(provider).name;
}

std::optional<Provider> provider_from_name(std::string_view name) {
    const auto* const found = std::ranges::find(kKnown, name, &Known::name);
    if (found == kKnown.end()) return std::nullopt;
    return found->provider;
}

std::string provider_names() {
    std::vector<std::string_view> names;
    for (const Known& each : kKnown) {
        if (each.built) names.push_back(each.name);
    }
    return sentence_of(names);
}

Status check_provider(Provider provider, const Runtime& runtime) {
    return known(provider).check(runtime);
}

}  // namespace quoin
