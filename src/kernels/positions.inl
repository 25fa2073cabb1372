// Where the positions of a window lie in memory, and their patches collected into rows.

namespace quoin {
namespace {

struct Position {
    int64_t at[3];

    QUOIN_INLINE Position(const Window& window, int64_t number) {
        at[2] = number % window.output[2];
        at[1] = number / window.output[2] % window.output[1];
        at[0] = number / window.output[2] / window.output[1];
    }
    QUOIN_INLINE void next(const Window& window) {
        if (++at[2] < window.output[2]) return;
        at[2] = 0;
        if (++at[1] < window.output[1]) return;
        at[1] = 0;
        ++at[0];
    }
    QUOIN_INLINE int64_t offset(const int64_t* stride) const {
        return at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2];
    }
};

QUOIN_INLINE void collect_offsets(const Window& window, const int64_t* stride, int64_t first, int64_t count,
                                  int64_t* offsets) {
    const bool even = (window.output[1] == 1 || stride[1] == window.output[2] * stride[2]) &&
                      (window.output[0] == 1 || stride[0] == window.output[1] * stride[1]);
    if (even) {
        for (int64_t i = 0; i < count; ++i) offsets[i] = (first + i) * stride[2];
        return;
    }
    Position position(window, first);
    for (int64_t i = 0; i < count; ++i, position.next(window)) offsets[i] = position.offset(stride);
}

// The distance in the source between neighbouring positions of a window of one tap, if it is the same everywhere and
// there is no padding; else 0.
QUOIN_INLINE int64_t plain_row_stride(const Window& window) {
    if (window.taps() != 1) return 0;
    int64_t stride = 0;
    int64_t rows = 1;  // positions along the axes seen so far
    for (int axis = 2; axis >= 0; --axis) {
        const int64_t size = window.output[axis];
        if (window.pad[axis] > 0 || (size - 1) * window.step[axis] - window.pad[axis] >= window.source[axis]) return 0;
        if (size == 1) continue;
        const int64_t step = window.step[axis] * window.source_stride[axis];
        if (stride == 0) {
            stride = step;
        } else if (step != stride * rows) {
            return 0;
        }
        rows *= size;
    }
    return stride == 0 ? window.source_stride[2] : stride;
}
QUOIN_INLINE int64_t source_offset(const Window& window, const Position& position) {
    int64_t offset = 0;
    for (int axis = 0; axis < 3; ++axis) {
        offset += (position.at[axis] * window.step[axis] - window.pad[axis]) * window.source_stride[axis];
    }
    return offset;
}

// Row i of dst, `row_stride` apart: values begin..end of inner for position first + i. Written in rising order, each
// piece perhaps some elements too far.
template <class Patches>
QUOIN_INLINE void collect_patches(const Patches& patches, const Window& given, int64_t channels,
                                  const typename Patches::Element* src, int64_t first, int64_t count, int64_t begin,
                                  int64_t end, int64_t row_stride) {
    const Window window = given;  // stores of bytes might change what lies elsewhere
    // Taps of one row of the window lie side by side in the source when nothing is between its pixels.
    const bool merge = window.source_stride[2] == channels && window.dilation[2] == 1 && window.kernel[2] > 1;
    const int64_t run_taps = merge ? window.kernel[2] : 1;
    const int64_t run = run_taps * channels;
    const int64_t first_run = begin / run;
    const int64_t last_run = (end + run - 1) / run;
    const int64_t runs_in_row = merge ? 1 : window.kernel[2];
    const int64_t run_step = window.dilation[2] * window.source_stride[2];
    // Of patches taken as a whole: where the runs lie, from the first one on.
    constexpr int64_t kMostRuns = 64;
    const int64_t runs = window.kernel[0] * window.kernel[1] * runs_in_row;
    const bool whole = begin == 0 && end == window.taps() * channels && runs <= kMostRuns;
    int64_t run_offsets[kMostRuns];
    for (int64_t r = 0; whole && r < runs; ++r) {
        const int64_t row = r / runs_in_row;
        run_offsets[r] = row / window.kernel[1] * window.dilation[0] * window.source_stride[0] +
                         row % window.kernel[1] * window.dilation[1] * window.source_stride[1] +
                         r % runs_in_row * run_step;
    }
    Position position(window, first);
    auto* row = patches.dst;
    for (int64_t i = 0; i < count; ++i, position.next(window), row += row_stride) {
        int64_t base[3];
        for (int axis = 0; axis < 3; ++axis) base[axis] = position.at[axis] * window.step[axis] - window.pad[axis];
        auto* to = row;
        if (whole) {
            bool inside = true;
            for (int axis = 0; axis < 3; ++axis) {
                inside &= base[axis] >= 0 &&
                          base[axis] + (window.kernel[axis] - 1) * window.dilation[axis] < window.source[axis];
            }
            if (inside) {
                const auto* from = src + base[0] * window.source_stride[0] + base[1] * window.source_stride[1] +
                                   base[2] * window.source_stride[2];
                for (int64_t r = 0; r < runs; ++r, to += run) patches.copy(from + run_offsets[r], run, to);
                continue;
            }
        }
        int64_t kw = first_run % runs_in_row;
        int64_t kh = first_run / runs_in_row % window.kernel[1];
        int64_t kd = first_run / runs_in_row / window.kernel[1];
        for (int64_t r = first_run; r < last_run; ++r) {
            const int64_t from = larger<int64_t>(begin - r * run, 0);
            const int64_t until = smaller(end - r * run, run);
            const int64_t d = base[0] + kd * window.dilation[0];
            const int64_t h = base[1] + kh * window.dilation[1];
            const int64_t w = base[2] + kw * window.dilation[2];
            // Values of the run that are inside of the source.
            int64_t low = 0;
            int64_t high = 0;
            if (d >= 0 && d < window.source[0] && h >= 0 && h < window.source[1]) {
                low = larger<int64_t>(-w, 0) * channels;
                high = smaller(window.source[2] - w, run_taps) * channels;
            }
            low = larger(low, from);
            high = smaller(high, until);
            if (low < high) {
                if (low > from) patches.pad(low - from, to);
                const int64_t at =
                    d * window.source_stride[0] + h * window.source_stride[1] + w * window.source_stride[2] + low;
                patches.copy(src + at, high - low, to + (low - from));
                if (until > high) patches.pad(until - high, to + (high - from));
            } else {
                patches.pad(until - from, to);
            }
            to += until - from;
            if (++kw == runs_in_row) {
                kw = 0;
                if (++kh == window.kernel[1]) {
                    kh = 0;
                    ++kd;
                }
            }
        }
    }
}

}  // namespace
}  // namespace quoin
