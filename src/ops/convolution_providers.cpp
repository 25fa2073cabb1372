#include <array>

#include "ops/convolution_provider.h"
#include "ops/provider_list.h"

namespace quoin {
namespace {

constexpr std::array kProviders = {
    &kNativeConvolution,
#if defined(QUOIN_WITH_ONEDNN)
    &kOneDnnConvolution,
#endif
#if defined(QUOIN_WITH_EIGEN)
    &kEigenConvolution,
#endif
    &kReferenceConvolution,
};
constexpr std::array kIntegerProviders = {
    &kNativeIntegerConvolution,
#if defined(QUOIN_WITH_ONEDNN)
    &kOneDnnIntegerConvolution,
#endif
};

// oneDNN beside the own kernels, one thread of a Zen 4, microseconds: 3x3 64-64 at 56x56 2009 and 2290, 1x1 64-256 945
// and 1033, 3x3 12-16 at 208x208 1604 and 2531, depthwise 3x3 of 64 at 104x104 157 and 178. Without AVX-512 nothing was
// measured.
// Of bytes: 3x3 64-64 at 56x56 523 and 558, 256-256 at 14x14 513 and 515, 1x1 64-256 at 56x56 338 and 304, 1024-256 at
// 14x14 227 and 225, depthwise 3x3 of 256 at 14x14 24 and 18, 5x5 of 480 at 14x14 87 and 60, 3x3 3-32 in steps of 2 at
// 224x224 120 and 194: whole networks take as long with the own kernels or less, and keep 7 MB of oneDNN's library and
// its code out of memory. In groups of 8 channels 3x3 256-256 at 14x14 is 37 and 183.
// Below about five microseconds of work its call costs more than it saves: silero_vad loses 4 %.
constexpr double kSmallWork = 320 * 1024;

// Multiply-adds, those of a depthwise convolution, which is bound by memory, counted eight times.
template <class Query>
bool is_small(const Query& query) {
    const auto& dims = query.context.graph.value(query.context.node.outputs[0]).dims;
    if (!dims) return false;
    double work = static_cast<double>(query.problem.inner()) * (query.problem.is_depthwise() ? 8 : 1);
    for (size_t axis = 0; axis < dims->size(); ++axis) {
        const Dim& dim = (*dims)[axis];
        if (!dim.known() && axis > 0) return false;
        work *= dim.known() ? static_cast<double>(dim.size) : 1;  // images
    }
    return work <= kSmallWork;
}
// Rows of so many results: oneDNN compiles code for all of one. For 1 to 36 channels of a 1-D convolution with 21,925
// results it takes 83 ms and megabytes, of which a run of 26 ms (basic-pitch) wins less than one.
constexpr int64_t kLongRow = 2048;
bool has_long_rows(const ConvolutionQuery& query) {
    const auto& dims = query.context.graph.value(query.context.node.outputs[0]).dims;
    if (!dims || dims->size() < 3) return false;
    return (*dims)[dims->size() - 2].size > kLongRow;
}
// A row of one channel, as audio is: with 36 results at 172 places and windows of 256, 48 and 41 microseconds, and 200
// KB of oneDNN's code for each.
bool is_one_row(const ConvolutionQuery& query) {
    const SlidingWindow& window = query.problem.window;
    if (window.axes == 0 || query.problem.group != 1 || query.problem.channels != 1) return false;
    return query.problem.taps() == window.kernel[window.axes - 1];
}
// Several channels of each group.
bool is_grouped(const IntegerConvolutionQuery& query) {
    return query.problem.group > 1 && !query.problem.is_depthwise();
}

template <class Entry, size_t size>
const Entry* find(const std::array<const Entry*, size>& entries, Provider provider) {
    const auto found = std::ranges::find(entries, provider, [](const Entry* each) { return each->provider; });
    return found == entries.end() ? nullptr : *found;
}

using enum Provider;
constexpr std::array kOrders = {
    ProviderOrder<ConvolutionQuery>{is_small, {Native, OneDnn, Eigen, Reference}},
    ProviderOrder<ConvolutionQuery>{has_long_rows, {Native, OneDnn, Eigen, Reference}},
    ProviderOrder<ConvolutionQuery>{is_one_row, {Native, OneDnn, Eigen, Reference}},
    ProviderOrder<ConvolutionQuery>{has_avx512, {OneDnn, Native, Eigen, Reference}},
    ProviderOrder<ConvolutionQuery>{is_any, {Native, OneDnn, Eigen, Reference}},
};
constexpr std::array kIntegerOrders = {
    ProviderOrder<IntegerConvolutionQuery>{is_small, {Native, OneDnn}},
    ProviderOrder<IntegerConvolutionQuery>{is_grouped, {OneDnn, Native}},
    ProviderOrder<IntegerConvolutionQuery>{is_any, {Native, OneDnn}},
};

}  // namespace

const ConvolutionProvider* choose_convolution(const ConvolutionQuery& query) {
    return choose_entry<ConvolutionProvider>(kProviders, order_for<ConvolutionQuery>(kOrders, query), query.context,
                                             query);
}

const ConvolutionProvider* find_convolution(Provider provider) {
    return find(kProviders, provider);
}

const IntegerConvolutionProvider* choose_integer_convolution(const IntegerConvolutionQuery& query) {
    return choose_entry<IntegerConvolutionProvider>(
        kIntegerProviders, order_for<IntegerConvolutionQuery>(kIntegerOrders, query), query.context, query);
}

const IntegerConvolutionProvider* find_integer_convolution(Provider provider) {
    return find(kIntegerProviders, provider);
}

}  // namespace quoin
