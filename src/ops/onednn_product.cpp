// MatMul and Gemm by oneDNN, in runs of rows.
#include <algorithm>
#include <map>

#include "core/rounding.h"
#include "ops/onednn.h"
#include "ops/product_provider.h"

namespace quoin {
namespace {

using onednn::Operand;

// Rows of a task at least: each brings B into its own order.
constexpr int64_t kLeastRows = 48;

class Plan final : public PlannedState {
public:
    std::map<int64_t, onednn::PrimitivePtr> primitives;  // by rows
};

class OneDnnProduct final : public PreparedNode {
public:
    explicit OneDnnProduct(bool transposed) : transposed_(transposed) {}

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const MatMulBatches parts = product_batches(arguments, transposed_);
        Work work;
        work.tasks = 0;
        if (parts.batches * parts.rows * parts.columns == 0) return work;
        const int64_t wanted = divide_up(threads, parts.batches);
        const int64_t blocks = std::clamp<int64_t>(parts.rows / kLeastRows, 1, wanted);
        const int64_t rows = divide_up(parts.rows, blocks);
        auto plan = std::make_shared<Plan>();
        for (int64_t first = 0; first < parts.rows; first += rows) {
            const int64_t count = std::min(rows, parts.rows - first);
            onednn::PrimitivePtr& primitive = plan->primitives[count];
            if (primitive != nullptr) continue;
            const onednn::ProductSpec spec{count, parts.inner, parts.columns, transposed_, has_bias(arguments)};
            QUOIN_ASSIGN_OR_RETURN(primitive, onednn::make_product(spec, threads));
            work.scratch_bytes = std::max(work.scratch_bytes, primitive->scratch_bytes());
        }
        work.grain = {rows, divide_up(parts.rows, rows), 1};
        work.tasks = parts.batches * work.grain[1];
        work.state = std::move(plan);
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const MatMulBatches parts = product_batches(arguments, transposed_);
        const auto [rows, blocks, unused] = arguments.work.grain;
        const int64_t batch = task / blocks;
        const int64_t first = task % blocks * rows;
        const auto offsets = parts.offsets(batch);
        onednn::Pointers pointers{};
        const auto set = [&](Operand operand, const float* place) {
            pointers[static_cast<size_t>(operand)] = reinterpret_cast<const std::byte*>(place);
        };
        set(Operand::Src, arguments.inputs[0].as<float>() + offsets.a + first * parts.inner);
        set(Operand::Weights, arguments.inputs[1].as<float>() + offsets.b);
        if (has_bias(arguments)) set(Operand::Bias, arguments.inputs[2].as<float>());
        float* const dst = arguments.outputs[0].as<float>() + (batch * parts.rows + first) * parts.columns;
        const auto& plan = static_cast<const Plan&>(*arguments.work.state);
        const onednn::PrimitivePtr& primitive = plan.primitives.at(std::min(rows, parts.rows - first));
        return primitive->run(pointers, reinterpret_cast<std::byte*>(dst), scratch);
    }

    std::string label() const override { return "onednn: matmul"; }

private:
    bool transposed_;
};

bool take(const ProductQuery& query) {
    // A dim of size 0 is no product to oneDNN; what is not known yet may be 0.
    const auto& dims = query.context.graph.value(query.context.node.inputs[0]).dims;
    return query.dtype == DType::F32 && dims && !dims->empty() && dims->back().size > 0;
}

Result<std::unique_ptr<PreparedNode>> prepare(const ProductQuery& query) {
    return std::unique_ptr<PreparedNode>(std::make_unique<OneDnnProduct>(query.transposed));
}

}  // namespace

extern const ProductProvider kOneDnnProduct{Provider::OneDnn, take, prepare};

}  // namespace quoin
