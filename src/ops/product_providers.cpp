#include <array>

#include "ops/product_provider.h"
#include "ops/provider_list.h"

namespace quoin {
namespace {

// ---- The provider "reference": every sum in double precision, one after the other -----------------------------

template <class T>
class ReferenceProduct final : public PreparedNode {
public:
    explicit ReferenceProduct(bool transposed) : transposed_(transposed) {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        const MatMulBatches parts = product_batches(arguments, transposed_);
        return Work{.tasks = parts.batches * parts.rows};
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const MatMulBatches parts = product_batches(arguments, transposed_);
        const auto offsets = parts.offsets(task / parts.rows);
        const T* const a = arguments.inputs[0].as<T>() + offsets.a + task % parts.rows * parts.inner;
        const T* const b = arguments.inputs[1].as<T>() + offsets.b;
        const T* const bias = has_bias(arguments) ? arguments.inputs[2].as<T>() : nullptr;
        T* const y = arguments.outputs[0].as<T>() + task * parts.columns;
        for (int64_t column = 0; column < parts.columns; ++column) {
            double sum = bias == nullptr ? 0.0 : double{bias[column]};
            for (int64_t k = 0; k < parts.inner; ++k) {
                sum += double{a[k]} * double{b[transposed_ ? column * parts.inner + k : k * parts.columns + column]};
            }
            y[column] = static_cast<T>(sum);
        }
        return {};
    }

    std::string label() const override { return "reference_product"; }

private:
    bool transposed_;
};

bool take_reference(const ProductQuery& /*query*/) {
    return true;
}

Result<std::unique_ptr<PreparedNode>> prepare_reference(const ProductQuery& query) {
    std::unique_ptr<PreparedNode> prepared;
    if (query.dtype == DType::F32) {
        prepared = std::make_unique<ReferenceProduct<float>>(query.transposed);
    } else {
        prepared = std::make_unique<ReferenceProduct<double>>(query.transposed);
    }
    return prepared;
}

constexpr ProductProvider kReferenceProduct{Provider::Reference, take_reference, prepare_reference};

// ---- The list -------------------------------------------------------------------------------------------------

constexpr std::array kProviders = {
    &kNativeProduct,
#if defined(QUOIN_WITH_ONEDNN)
    &kOneDnnProduct,
#endif
#if defined(QUOIN_WITH_EIGEN)
    &kEigenProduct,
#endif
    &kReferenceProduct,
};

// Own kernel and oneDNN, f32 on a Zen 4, milliseconds with one thread and with two, rows x inner x columns:
//   128 x 512 x 512    0.600 0.593   0.305 0.309      512 x 512 x 512    2.38 2.34   1.18 1.17
//   128 x 512 x 2048   2.53 2.42     1.27 1.24        512 x 2048 x 512   10.5 10.0   5.14 4.75
//   128 x 1024 x 4096  12.0 11.0     5.79 5.42        512 x 1024 x 4096  43.0 40.8   21.3 20.0
//   128 x 4096 x 1024  11.8 10.8     5.68 5.58        512 x 4096 x 1024  42.9 40.8   21.1 19.9
// Of few rows it wins with one thread (16 x 1024 x 4096 2.71 and 2.36) and loses with more, since its tasks are rows
// (1.08 and 1.87; 1 row 0.54 and 0.71): hence as many rows as eight threads share, whatever the number of threads, on
// which no result may depend. For smaller matrices its library would be loaded for nothing.
constexpr int64_t kLargeMatrix = int64_t{1} << 20;
constexpr int64_t kManyRows = 384;

bool is_large(const ProductQuery& query) {
    if (!has_avx512(query)) return false;
    const Graph& graph = query.context.graph;
    const auto& a = graph.value(query.context.node.inputs[0]).dims;
    const auto& b = graph.value(query.context.node.inputs[1]).dims;
    if (!a || !b || a->size() < 2 || b->size() < 2) return false;
    const Dim rows = (*a)[a->size() - 2];
    const Dim inner = (*b)[b->size() - 2];
    const Dim columns = b->back();
    return rows.known() && inner.known() && columns.known() && rows.size >= kManyRows &&
           static_cast<double>(inner.size) * static_cast<double>(columns.size) >= double{kLargeMatrix};
}

using enum Provider;
constexpr std::array kOrders = {
    ProviderOrder<ProductQuery>{is_large, {OneDnn, Native, Eigen, Reference}},
    ProviderOrder<ProductQuery>{is_any, {Native, OneDnn, Eigen, Reference}},
};

}  // namespace

Result<std::unique_ptr<PreparedNode>> prepare_product(const ProductQuery& query) {
    const ProductProvider* const provider =
        choose_entry<ProductProvider>(kProviders, order_for<ProductQuery>(kOrders, query), query.context, query);
    if (provider == nullptr) return std::unique_ptr<PreparedNode>();
    return provider->prepare(query);
}

}  // namespace quoin
