// The provider "eigen": ChannelsLastConv as a matrix product of collected sources, and matrix products. Alone in
// including Eigen's headers.

// Temporaries up to this size lie on the stack, two at a time in a product. Eigen's own limit of 128 KiB is all the
// stack that a caller's thread must have.
#define EIGEN_STACK_ALLOCATION_LIMIT 16384
#include <Eigen/Core>

#include "core/rounding.h"
#include "ops/plain_convolution.h"
#include "ops/product_provider.h"

namespace quoin {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

class EigenConvolution final : public PreparedNode {
public:
    explicit EigenConvolution(const ConvolutionQuery& query)
        : problem_(query.problem), epilogue_{query.activation, query.residual_last} {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        Work work = cut_plain_convolution(problem_, arguments.outputs[0].shape, kRows);
        work.scratch_bytes = kRows * (problem_.inner() + problem_.columns) * int64_t{sizeof(float)};
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const PlainPart part = plain_part(problem_, epilogue_, arguments, task);
        const int64_t inner = problem_.inner();
        const int64_t rows = part.task.count;
        auto* const collected = reinterpret_cast<float*>(scratch);
        float* const sums = collected + kRows * inner;
        for (int64_t row = 0; row < rows; ++row) {
            float* const values = collected + row * inner;
            for_each_tap(part.window, part.task.first + row, [&](int64_t tap, int64_t offset) {
                for (int64_t channel = 0; channel < problem_.channels; ++channel) {
                    values[channel * problem_.taps() + tap] = offset < 0 ? 0.0F : part.src[offset + channel];
                }
            });
        }
        const Eigen::Map<const Matrix<float>> left(collected, rows, inner);
        const Eigen::Map<const Matrix<float>> right(part.weights, problem_.columns, inner);
        Eigen::Map<Matrix<float>> product(sums, rows, problem_.columns);
        product.noalias() = left * right.transpose();

        for (int64_t row = 0; row < rows; ++row) {
            const int64_t position = part.task.first + row;
            const std::array<int64_t, 3> at = coordinates(part.window, position);
            for (int64_t column = 0; column < problem_.columns; ++column) {
                part.dst[position * part.dst_stride + column] =
                    static_cast<float>(finish_sum(part.epilogue, at, column, sums[row * problem_.columns + column]));
            }
        }
        return {};
    }

    std::string label() const override { return "eigen"; }

private:
    static constexpr int64_t kRows = 64;

    ConvolutionProblem problem_;
    ConvolutionEpilogue epilogue_;
};

bool take(const ConvolutionQuery& query) {
    return query.arithmetic == DType::F32;
}

Result<std::unique_ptr<PreparedNode>> prepare(const ConvolutionQuery& query) {
    return std::unique_ptr<PreparedNode>(std::make_unique<EigenConvolution>(query));
}

// ---- Products -------------------------------------------------------------------------------------------------

template <class T>
class EigenProduct final : public PreparedNode {
public:
    explicit EigenProduct(bool transposed) : transposed_(transposed) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const MatMulBatches parts = product_batches(arguments, transposed_);
        const int64_t wanted = divide_up(threads, std::max<int64_t>(parts.batches, 1));
        const int64_t rows = std::max(kLeastRows, divide_up(parts.rows, wanted));
        Work work;
        work.grain = {rows, divide_up(parts.rows, rows), 1};
        work.tasks = parts.batches * work.grain[1];
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const MatMulBatches parts = product_batches(arguments, transposed_);
        const auto [rows, blocks, unused] = arguments.work.grain;
        const int64_t first = task % blocks * rows;
        const int64_t count = std::min(rows, parts.rows - first);
        const auto offsets = parts.offsets(task / blocks);
        using Operand = Eigen::Map<const Matrix<T>>;
        const Operand left(arguments.inputs[0].as<T>() + offsets.a + first * parts.inner, count, parts.inner);
        const T* const b = arguments.inputs[1].as<T>() + offsets.b;
        T* const y = arguments.outputs[0].as<T>() + (task / blocks * parts.rows + first) * parts.columns;
        Eigen::Map<Matrix<T>> result(y, count, parts.columns);
        if (transposed_) {
            result.noalias() = left * Operand(b, parts.columns, parts.inner).transpose();
        } else {
            result.noalias() = left * Operand(b, parts.inner, parts.columns);
        }
        if (has_bias(arguments)) result.rowwise() += Operand(arguments.inputs[2].as<T>(), 1, parts.columns).row(0);
        return {};
    }

    std::string label() const override { return "eigen"; }

private:
    static constexpr int64_t kLeastRows = 16;

    bool transposed_;
};

bool take_product(const ProductQuery& /*query*/) {
    return true;
}

Result<std::unique_ptr<PreparedNode>> prepare_eigen_product(const ProductQuery& query) {
    std::unique_ptr<PreparedNode> prepared;
    if (query.dtype == DType::F32) {
        prepared = std::make_unique<EigenProduct<float>>(query.transposed);
    } else {
        prepared = std::make_unique<EigenProduct<double>>(query.transposed);
    }
    return prepared;
}

}  // namespace

extern const ProductProvider kEigenProduct{Provider::Eigen, take_product, prepare_eigen_product};
extern const ConvolutionProvider kEigenConvolution{Provider::Eigen, take, pack_plain_weight, prepare};

}  // namespace quoin
