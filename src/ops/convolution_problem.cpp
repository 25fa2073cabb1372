#include "ops/convolution_problem.h"

#include <algorithm>

#include "core/rounding.h"

namespace quoin {
namespace {

// Multiply-adds that every thread had better do for itself: about a microsecond.
constexpr double kReplicatedWork = 48 * 1024;
// Multiply-adds of a task at least.
constexpr double kLeastTaskWork = 128 * 1024;
// A multiply-add of a depthwise convolution, which is bound by memory, in those of another.
constexpr double kDepthwiseCost = 8;

// At least 1, at most `most`.
int64_t task_count(double wanted, int64_t most) {
    return wanted >= static_cast<double>(most) ? most : std::max<int64_t>(1, static_cast<int64_t>(wanted));
}

// Blocks of nearly equal size, whole multiples of `unit`; their number a multiple of the threads where there are few.
int64_t block_size(int64_t total, int64_t most, int64_t unit, int64_t threads) {
    int64_t blocks = divide_up(total, std::max<int64_t>(most, 1));
    if (blocks > 1 && blocks < 8 * threads) blocks = align_up(blocks, threads);
    return std::max<int64_t>(align_up(divide_up(total, blocks), unit), 1);
}

}  // namespace

Result<ConvolutionProblem> read_convolution(const Node& node, const Shape& weight) {
    if (weight.rank() < 2 || weight.rank() > 5) {
        return error(StatusCode::Unsupported, "node '", node.name, "': a weight of rank ", weight.rank());
    }
    ConvolutionProblem problem;
    problem.group = node.integer("group", 1);
    if (problem.group < 1 || weight[0] < 1 || weight[1] < 1 || weight[0] % problem.group != 0) {
        return error(StatusCode::InvalidModel, "node '", node.name, "': ", problem.group,
                     " groups do not divide the weight ", to_string(weight));
    }
    problem.channels = weight[1];
    problem.columns = weight[0] / problem.group;
    if (weight.rank() == 2) {
        if (problem.group != 1) return error(StatusCode::InvalidModel, "node '", node.name, "': a matrix in groups");
        return problem;
    }
    QUOIN_ASSIGN_OR_RETURN(problem.window, read_sliding_window(node, weight.rank() - 2, weight.dims().subspan(2)));
    return problem;
}

Result<std::vector<Dim>> convolution_output(const ConvolutionProblem& problem, const std::vector<Dim>& x) {
    const size_t axes = problem.window.axes;
    if (axes == 0 ? x.empty() : x.size() != axes + 2) {
        return error(StatusCode::InvalidModel, "an input of rank ", x.size(), " does not fit the weight");
    }
    if (x.back().known() && x.back().size != problem.channels * problem.group) {
        return error(StatusCode::InvalidModel, "the input has ", x.back().size, " channels, the weight takes ",
                     problem.channels * problem.group);
    }
    const Dim channels{.size = problem.columns * problem.group};
    if (axes != 0) return window_output(problem.window, x, channels);
    std::vector<Dim> dims = x;
    dims.back() = channels;
    return dims;
}

std::optional<Shape> known_shape(const ValueType& type) {
    if (!type.is_static() || type.dims->size() > Shape::kMaxRank) return std::nullopt;
    std::vector<int64_t> dims;
    for (const Dim& dim : *type.dims) dims.push_back(dim.size);
    return Shape(std::span<const int64_t>(dims));
}

Status expect_vector(const InferContext& context, size_t index, int64_t size, std::string_view what) {
    if (!context.has_input(index) || !context.input(index).dims) return {};
    const auto& dims = *context.input(index).dims;
    if (dims.size() != 1 || (dims[0].known() && dims[0].size != size)) {
        return context.fail("the ", what, " does not fit the weight");
    }
    return {};
}

Image image_of(const ConvolutionProblem& problem, const Shape& src, const Shape& dst) {
    Image image{};
    if (problem.window.axes == 0) {
        int64_t rows = 1;
        for (size_t axis = 0; axis + 1 < dst.rank(); ++axis) rows *= dst[axis];
        image.window = row_window(rows, src.back());
        image.positions = rows;
        image.dst_stride = {0, 0, dst.back()};
        return image;
    }
    image.window = kernel_window(problem.window, src, dst);
    image.positions = positions_of(dst);
    image.src_elements = positions_of(src) * src.back();
    image.dst_elements = image.positions * dst.back();
    image.dst_stride = position_strides(dst);
    return image;
}

int64_t image_count(const ConvolutionProblem& problem, const Shape& dst) {
    return problem.window.axes == 0 ? 1 : dst[0];
}

Work cut_convolution(const ConvolutionProblem& problem, const Shape& dst, int64_t block_rows, int threads) {
    const int64_t count = image_count(problem, dst) * problem.group;
    const int64_t images = std::max<int64_t>(count, 1);
    const int64_t positions = image_of(problem, dst, dst).positions;
    const int64_t panels = problem.panels();
    const double total =
        static_cast<double>(positions * problem.columns * images) * static_cast<double>(problem.inner());
    Work work{.replicated = total <= kReplicatedWork};
    int64_t most = block_rows;
    int64_t run = panels;
    if (!work.replicated && threads > 1 && positions > 0) {
        const int64_t wanted = task_count(total / kLeastTaskWork, 2 * threads);
        int64_t blocks = divide_up(positions, most);
        if (images * blocks < wanted) {
            // Positions first, then panels: each run of panels collects the source anew.
            blocks = std::clamp<int64_t>(divide_up(wanted, images), blocks, std::max(blocks, divide_up(positions, 24)));
            most = divide_up(positions, blocks);
            run = divide_up(panels, std::min(panels, divide_up(wanted, images * blocks)));
        }
    }
    const int64_t block =
        positions <= most ? std::max<int64_t>(positions, 1) : block_size(positions, most, 12, threads);
    work.grain = {block, run, divide_up(positions, block)};
    work.tasks = count * work.grain[2] * divide_up(panels, run);
    return work;
}

Work cut_depthwise(const ConvolutionProblem& problem, const Shape& dst, int threads) {
    const int64_t positions = positions_of(dst);
    const double total =
        static_cast<double>(dst[0] * positions * dst.back()) * static_cast<double>(problem.taps()) * kDepthwiseCost;
    Work work{.replicated = total <= kReplicatedWork};
    const int64_t row = std::max<int64_t>(dst[dst.rank() - 2], 1);
    const int64_t rows = std::max<int64_t>(positions / row, 1);
    const int64_t wanted = divide_up(task_count(total / kLeastTaskWork, 4 * threads), std::max<int64_t>(dst[0], 1));
    int64_t block = std::max<int64_t>(positions, 1);
    if (threads > 1) block = rows > 1 ? divide_up(rows, std::min(rows, wanted)) * row : divide_up(block, wanted);
    work.grain = {block, 1, divide_up(positions, block)};
    work.tasks = dst[0] * work.grain[2];
    return work;
}

ConvolutionTask convolution_task(const ConvolutionProblem& problem, const Work& work, int64_t positions, int64_t task) {
    const auto [block, run, blocks] = work.grain;
    const bool depthwise = problem.is_depthwise();
    const int64_t panels = depthwise ? 1 : problem.panels();
    const int64_t groups = depthwise ? 1 : problem.group;
    const int64_t runs = divide_up(panels, run);
    ConvolutionTask result{};
    result.panel = task % runs * run;
    result.panels = std::min(run, panels - result.panel);
    result.first = task / runs % blocks * block;
    result.count = std::min(block, positions - result.first);
    result.group = task / runs / blocks % groups;
    result.image = task / runs / blocks / groups;
    return result;
}

}  // namespace quoin
