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
constexpr std::array kOrder = {Provider::Native, Provider::OneDnn, Provider::Eigen, Provider::Reference};

}  // namespace

Result<std::unique_ptr<PreparedNode>> prepare_product(const ProductQuery& query) {
    const ProductProvider* const provider = choose_entry<ProductProvider>(kProviders, kOrder, query.context, query);
    if (provider == nullptr) return std::unique_ptr<PreparedNode>();
    return provider->prepare(query);
}

}  // namespace quoin
