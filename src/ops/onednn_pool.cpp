// ChannelsLastPool by oneDNN, in bands of output rows.
#include <map>

#include "core/rounding.h"
#include "ops/band.h"
#include "ops/onednn.h"
#include "ops/pool_provider.h"

namespace quoin {
namespace {

using onednn::Operand;

// Values that are worth a band of their own.
constexpr int64_t kLeastBandValues = 32 * 1024;

class Plan final : public PlannedState {
public:
    struct Part {
        Band band;
        onednn::PrimitivePtr primitive;
    };
    std::vector<Part> parts;
};

class OneDnnPool final : public PreparedNode {
public:
    explicit OneDnnPool(const PoolQuery& query)
        : window_(*query.window), element_bytes_(query.dtype == DType::F32 ? 4 : 1) {
        spec_.dtype = query.dtype;
        spec_.maximum = query.maximum;
        spec_.count_padding = query.count_padding;
    }

    Result<Work> plan(const Arguments& arguments, int threads) const override {
        const Shape& src = arguments.inputs[0].shape;
        const Shape& dst = arguments.outputs[0].shape;
        Work work;
        work.tasks = 0;
        if (dst.element_count().value_or(0) == 0) return work;
        const int64_t values = std::max(positions_of(src), positions_of(dst)) * src.back();
        const int64_t wanted = std::min<int64_t>(divide_up(threads, dst[0]), values / kLeastBandValues + 1);
        const int64_t bands = std::min(wanted, dst[1]);
        const int64_t rows = divide_up(dst[1], bands);
        auto plan = std::make_shared<Plan>();
        std::map<decltype(std::declval<Band>().kind()), onednn::PrimitivePtr> made;
        for (int64_t first = 0; first < dst[1]; first += rows) {
            const Band band = band_of(window_, 0, src[1], first, std::min(rows, dst[1] - first));
            onednn::PrimitivePtr& primitive = made[band.kind()];
            if (primitive == nullptr) {
                QUOIN_ASSIGN_OR_RETURN(primitive, onednn::make_pool(spec_for(src, dst, band), threads));
                work.scratch_bytes = std::max(work.scratch_bytes, primitive->scratch_bytes());
            }
            plan->parts.push_back({band, primitive});
        }
        work.tasks = dst[0] * static_cast<int64_t>(plan->parts.size());
        work.state = std::move(plan);
        return work;
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* scratch) const override {
        const auto& plan = static_cast<const Plan&>(*arguments.work.state);
        const TensorView& src = arguments.inputs[0];
        const TensorView& dst = arguments.outputs[0];
        const auto parts = static_cast<int64_t>(plan.parts.size());
        const Plan::Part& part = plan.parts[static_cast<size_t>(task % parts)];
        // Rows of the first axis, through all images.
        const auto row_bytes = [&](const Shape& shape) {
            return positions_of(shape) / shape[1] * shape.back() * element_bytes_;
        };
        const int64_t image = task / parts;
        onednn::Pointers pointers{};
        pointers[static_cast<size_t>(Operand::Src)] =
            src.data + (image * src.shape[1] + part.band.src_first) * row_bytes(src.shape);
        return part.primitive->run(pointers, dst.data + (image * dst.shape[1] + part.band.first) * row_bytes(dst.shape),
                                   scratch);
    }

    std::string label() const override { return "onednn: pooling"; }

private:
    onednn::PoolSpec spec_for(const Shape& src, const Shape& dst, const Band& band) const {
        onednn::PoolSpec spec = spec_;
        spec.src = {1, src.back()};
        spec.dst = {1, dst.back()};
        for (size_t axis = 0; axis < window_.axes; ++axis) {
            const int64_t source = axis == 0 ? band.src_count : src[axis + 1];
            const int64_t result = axis == 0 ? band.count : dst[axis + 1];
            const int64_t before = axis == 0 ? band.pad_begin : window_.begin(axis, source);
            spec.src.push_back(source);
            spec.dst.push_back(result);
            spec.kernel.push_back(window_.kernel[axis]);
            spec.step.push_back(window_.step[axis]);
            spec.dilation.push_back(window_.dilation[axis]);
            spec.pad_begin.push_back(before);
            // As much as the last window reaches, which with ceil_mode is more than the attribute says.
            const int64_t reach = (result - 1) * window_.step[axis] + window_.extent(axis) - source - before;
            spec.pad_end.push_back(std::max<int64_t>(reach, 0));
        }
        return spec;
    }

    SlidingWindow window_;
    int64_t element_bytes_;
    onednn::PoolSpec spec_;
};

bool take(const PoolQuery& query) {
    if (!query.window || !has_bands(*query.window)) return false;
    // oneDNN divides by what lies inside its padding, ONNX with ceil_mode by less.
    return query.maximum || !query.window->ceil_mode || !query.count_padding;
}

Result<std::unique_ptr<PreparedNode>> prepare(const PoolQuery& query) {
    return std::unique_ptr<PreparedNode>(std::make_unique<OneDnnPool>(query));
}

}  // namespace

extern const PoolProvider kOneDnnPool{Provider::OneDnn, take, prepare};

}  // namespace quoin
