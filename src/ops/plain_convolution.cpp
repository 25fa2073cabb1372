#include "ops/plain_convolution.h"

#include <cstring>

#include "core/rounding.h"

namespace quoin {
namespace {

// The provider "reference": every sum in double precision, one after the other.
class ReferenceConvolution final : public PreparedNode {
public:
    explicit ReferenceConvolution(const ConvolutionQuery& query)
        : problem_(query.problem), epilogue_{query.activation, query.residual_last} {}

    Result<Work> plan(const Arguments& arguments, int /*threads*/) const override {
        return cut_plain_convolution(problem_, arguments.outputs[0].shape, kRows);
    }

    Status run(const Arguments& arguments, int64_t task, std::byte* /*scratch*/) const override {
        const PlainPart part = plain_part(problem_, epilogue_, arguments, task);
        for (int64_t position = part.task.first; position < part.task.first + part.task.count; ++position) {
            for (int64_t column = 0; column < problem_.columns; ++column) {
                const float* const filter = part.weights + column * problem_.inner();
                double sum = 0;
                for_each_tap(part.window, position, [&](int64_t tap, int64_t offset) {
                    for (int64_t channel = 0; offset >= 0 && channel < problem_.channels; ++channel) {
                        sum += double{part.src[offset + channel]} * filter[channel * problem_.taps() + tap];
                    }
                });
                part.dst[position * part.dst_stride + column] =
                    static_cast<float>(finish_sum(part.epilogue, coordinates(part.window, position), column, sum));
            }
        }
        return {};
    }

    std::string label() const override { return "reference_convolution"; }

private:
    static constexpr int64_t kRows = 64;

    ConvolutionProblem problem_;
    ConvolutionEpilogue epilogue_;
};

bool take(const ConvolutionQuery& query) {
    return query.arithmetic == DType::F32;
}

Result<std::unique_ptr<PreparedNode>> prepare(const ConvolutionQuery& query) {
    return std::unique_ptr<PreparedNode>(std::make_unique<ReferenceConvolution>(query));
}

}  // namespace

extern const ConvolutionProvider kReferenceConvolution{Provider::Reference, take, pack_plain_weight, prepare};

Result<Constant> pack_plain_weight(const ConvolutionQuery& query, const Constant& weight, std::string_view name) {
    QUOIN_ASSIGN_OR_RETURN(const Tensor src, weight.load());
    QUOIN_ASSIGN_OR_RETURN(Tensor copy,
                           Tensor::allocate(query.context.runtime.memory, weight.dtype(), weight.shape(), name));
    if (src.byte_size() != 0) std::memcpy(copy.data(), src.data(), src.byte_size());
    weight.release_source(0, weight.byte_size());
    return Constant(std::move(copy));
}

Work cut_plain_convolution(const ConvolutionProblem& problem, const Shape& dst, int64_t rows) {
    const int64_t positions = positions_of(dst);
    Work work;
    work.grain = {rows, divide_up(positions, rows), 1};
    work.tasks = dst[0] * problem.group * work.grain[1];
    return work;
}

PlainTask plain_task(const ConvolutionProblem& problem, const Work& work, int64_t positions, int64_t task) {
    const auto [rows, blocks, unused] = work.grain;
    PlainTask part{};
    part.first = task % blocks * rows;
    part.count = std::min(rows, positions - part.first);
    part.group = task / blocks % problem.group;
    part.image = task / blocks / problem.group;
    return part;
}

PlainPart plain_part(const ConvolutionProblem& problem, const ConvolutionEpilogue& epilogue, const Arguments& arguments,
                     int64_t task) {
    const TensorView& src = arguments.inputs[0];
    const TensorView& dst = arguments.outputs[0];
    const Image image = image_of(problem, src.shape, dst.shape);
    const PlainTask own = plain_task(problem, arguments.work, image.positions, task);
    const int64_t column = own.group * problem.columns;
    return {image.window,
            own,
            src.as<float>() + own.image * image.src_elements + own.group * problem.channels,
            arguments.inputs[1].as<float>() + column * problem.inner(),
            dst.as<float>() + own.image * image.dst_elements + column,
            dst.columns(),
            epilogue.at(arguments, own.image, column)};
}

}  // namespace quoin
