// RNN, GRU and LSTM (ONNX): rules, and an implementation for every element type. Constant f32 weights are taken by
// recurrent_f32.cpp.
#include "ops/recurrent.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "ops/infer_rules.h"
#include "ops/matmul_rules.h"
#include "ops/node_attributes.h"
#include "ops/widened.h"

namespace quoin {
namespace {

struct FunctionRow {
    std::string_view name;  // in lower case
    GateFunction function;
    bool takes_alpha;
    bool takes_beta;
    float alpha;  // default
    float beta;
};
constexpr std::array kFunctions = {
    FunctionRow{"affine", GateFunction::Affine, true, true, 1, 0},
    FunctionRow{"elu", GateFunction::Elu, true, false, 1, 0},
    FunctionRow{"hardsigmoid", GateFunction::HardSigmoid, true, true, 0.2F, 0.5F},
    FunctionRow{"leakyrelu", GateFunction::LeakyRelu, true, false, 0.01F, 0},
    FunctionRow{"relu", GateFunction::Relu, false, false, 0, 0},
    FunctionRow{"scaledtanh", GateFunction::ScaledTanh, true, true, 1, 1},
    FunctionRow{"sigmoid", GateFunction::Sigmoid, false, false, 0, 0},
    FunctionRow{"softplus", GateFunction::Softplus, false, false, 0, 0},
    FunctionRow{"softsign", GateFunction::Softsign, false, false, 0, 0},
    FunctionRow{"tanh", GateFunction::Tanh, false, false, 0, 0},
    FunctionRow{"thresholdedrelu", GateFunction::ThresholdedRelu, true, false, 1, 0},
};

Result<std::vector<GateActivation>> read_activations(const Node& node, size_t count, size_t functions) {
    std::vector<std::string> names = strings_attribute(node, "activations");
    if (names.empty()) {
        for (size_t index = 0; index < count; ++index) {
            const bool gate = node.op != Op::RNN && index % functions == 0;
            names.emplace_back(gate ? "Sigmoid" : "Tanh");
        }
    }
    if (names.size() != count) return node_error(node, "there are ", names.size(), " activations for ", count);
    const std::vector<double> alphas = numbers_attribute(node, "activation_alpha");
    const std::vector<double> betas = numbers_attribute(node, "activation_beta");
    // Values are consumed in the order of the functions that take one.
    size_t alpha = 0;
    size_t beta = 0;
    std::vector<GateActivation> result;
    for (const std::string& name : names) {
        std::string lower = name;
        for (char& letter : lower) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
        const auto* const row = std::ranges::find(kFunctions, lower, &FunctionRow::name);
        if (row == kFunctions.end()) return node_error(node, "the activation '", name, "' is not known");
        GateActivation activation{row->function, row->alpha, row->beta};
        if (row->takes_alpha && alpha < alphas.size()) activation.alpha = static_cast<float>(alphas[alpha++]);
        if (row->takes_beta && beta < betas.size()) activation.beta = static_cast<float>(betas[beta++]);
        result.push_back(activation);
    }
    return result;
}

}  // namespace

Result<RecurrentSettings> recurrent_settings(const Node& node) {
    RecurrentSettings settings;
    settings.op = node.op;
    settings.gates = node.op == Op::RNN ? 1 : node.op == Op::GRU ? 3 : 4;
    const std::string_view direction = node.string("direction", "forward");
    if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
        return node_error(node, "direction is '", direction, "'");
    }
    settings.directions = direction == "bidirectional" ? 2 : 1;
    settings.reverse = direction == "reverse";
    const int64_t layout = node.integer("layout", 0);
    if (layout != 0 && layout != 1) return node_error(node, "layout is ", layout);
    settings.batch_first = layout == 1;
    settings.linear_before_reset = node.integer("linear_before_reset", 0) != 0;
    settings.input_forget = node.integer("input_forget", 0) != 0;
    settings.clip = static_cast<float>(node.number("clip", 0.0));
    if (!(settings.clip >= 0)) return node_error(node, "clip is ", settings.clip);
    const auto functions = static_cast<size_t>(settings.functions());
    QUOIN_ASSIGN_OR_RETURN(settings.activations,
                           read_activations(node, functions * static_cast<size_t>(settings.directions), functions));
    return settings;
}

namespace {

const auto kFloats = {DType::F32, DType::F64, DType::F16, DType::BF16};

Status expect_shape(const InferContext& context, size_t index, std::initializer_list<Dim> wanted) {
    if (!context.has_input(index) || !context.input(index).dims) return {};
    if (std::ranges::equal(*context.input(index).dims, wanted, may_equal)) return {};
    return context.fail("input ", index, " has not the shape that the other inputs ask for");
}

// Products of sizes stay small enough to be counted.
Dim times(Dim size, int64_t factor) {
    return size.known() && size.size < (int64_t{1} << 40) ? Dim{.size = size.size * factor} : Dim{};
}

Status infer_recurrent(InferContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const RecurrentSettings settings, recurrent_settings(context.node()));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(kX, kFloats));
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(kLengths, {DType::I32}));
    for (size_t index = 0; index < context.input_count(); ++index) {
        if (index == kLengths || !context.has_input(index)) continue;
        if (context.input(index).dtype != context.input(kX).dtype) {
            return context.fail("the inputs have different element types");
        }
    }
    const auto& x = context.input(kX).dims;
    const auto& w = context.input(kW).dims;
    const auto& r = context.input(kR).dims;
    if ((x && x->size() != 3) || (w && w->size() != 3) || (r && r->size() != 3)) {
        return context.fail("an input has not the rank 3");
    }
    const Dim directions{.size = settings.directions};
    Dim hidden;
    if (r) hidden = (*r)[2];
    if (const int64_t size = context.node().integer("hidden_size", 0); size > 0) {
        if (!may_equal(hidden, {.size = size})) return context.fail("hidden_size is not that of the weights");
        hidden.size = size;
    }
    Dim steps;
    Dim batch;
    Dim input;
    if (x) {
        steps = (*x)[settings.batch_first ? 1 : 0];
        batch = (*x)[settings.batch_first ? 0 : 1];
        input = (*x)[2];
    }
    const Dim rows = times(hidden, settings.gates);
    QUOIN_RETURN_IF_ERROR(expect_shape(context, kW, {directions, rows, input}));
    QUOIN_RETURN_IF_ERROR(expect_shape(context, kR, {directions, rows, hidden}));
    QUOIN_RETURN_IF_ERROR(expect_shape(context, kB, {directions, times(rows, 2)}));
    QUOIN_RETURN_IF_ERROR(expect_shape(context, kLengths, {batch}));
    QUOIN_RETURN_IF_ERROR(expect_shape(context, kPeepholes, {directions, times(hidden, 3)}));
    const std::vector<Dim> state = settings.batch_first ? std::vector<Dim>{batch, directions, hidden}
                                                        : std::vector<Dim>{directions, batch, hidden};
    for (const size_t index : {size_t{kInitialH}, size_t{kInitialC}}) {
        QUOIN_RETURN_IF_ERROR(expect_shape(context, index, {state[0], state[1], state[2]}));
    }
    const DType dtype = context.input(kX).dtype;
    context.set_output(0, dtype,
                       settings.batch_first ? std::vector<Dim>{batch, steps, directions, hidden}
                                            : std::vector<Dim>{steps, directions, batch, hidden});
    context.set_output(1, dtype, state);
    context.set_output(2, dtype, state);
    return {};
}

// ---- compute --------------------------------------------------------------------------------------------------

template <class T>
struct Operands {
    const T* x;
    const T* w;
    const T* r;
    const T* bias;       // or null, as the others
    const T* h;          //
    const T* c;          //
    const T* peepholes;  // of i, o, f
    const int32_t* lengths;
    T* y;  // null where not wanted
    T* last_h;
    T* last_c;
};

template <class T>
class Cell {
public:
    Cell(const RecurrentSettings& settings, const RecurrentSizes& sizes, const Operands<T>& operands, int64_t direction)
        : settings_(settings), sizes_(sizes), operands_(operands), direction_(direction) {
        const int64_t rows = settings.gates * sizes.hidden;
        w_ = operands.w + direction * rows * sizes.input;
        r_ = operands.r + direction * rows * sizes.hidden;
        bias_.assign(static_cast<size_t>(2 * rows), T{});
        if (operands.bias != nullptr) std::copy_n(operands.bias + direction * 2 * rows, 2 * rows, bias_.begin());
        gates_.resize(static_cast<size_t>(rows));
        recurrent_.resize(static_cast<size_t>(rows));
        reset_.resize(static_cast<size_t>(sizes.hidden));
    }

    // One step of one sequence: h and c become the next ones.
    void step(const T* x, T* h, T* c) {
        const int64_t rows = settings_.gates * sizes_.hidden;
        std::copy_n(bias_.begin(), rows, gates_.begin());
        add_product<T>(x, {0, 1}, w_, {1, sizes_.input}, 1, sizes_.input, rows, gates_.data());
        std::copy_n(bias_.begin() + rows, rows, recurrent_.begin());
        add_product<T>(h, {0, 1}, r_, {1, sizes_.hidden}, 1, sizes_.hidden, rows, recurrent_.data());
        switch (settings_.op) {
            case Op::GRU: gru(h); break;
            case Op::LSTM: lstm(h, c); break;
            default:
                for (int64_t unit = 0; unit < sizes_.hidden; ++unit) h[unit] = activate(0, sum(0, unit));
        }
    }

private:
    T sum(int64_t gate, int64_t unit) const {
        const auto at = static_cast<size_t>(gate * sizes_.hidden + unit);
        return gates_[at] + recurrent_[at];
    }
    T activate(int64_t function, T value) const {
        if (settings_.clip > 0) {
            const auto limit = static_cast<T>(settings_.clip);
            value = value < -limit ? -limit : value > limit ? limit : value;
        }
        return apply(settings_.activation(direction_, function), value);
    }

    void gru(T* h) {
        const int64_t hidden = sizes_.hidden;
        const int64_t last = 2 * hidden;
        for (int64_t unit = 0; unit < hidden; ++unit) reset_[static_cast<size_t>(unit)] = activate(0, sum(1, unit));
        if (!settings_.linear_before_reset) {
            std::vector<T> scaled(static_cast<size_t>(hidden));
            for (int64_t unit = 0; unit < hidden; ++unit) {
                const auto at = static_cast<size_t>(unit);
                scaled[at] = reset_[at] * h[unit];
                recurrent_[static_cast<size_t>(last) + at] = bias_[static_cast<size_t>(3 * hidden + last) + at];
            }
            add_product<T>(scaled.data(), {0, 1}, r_ + last * hidden, {1, hidden}, 1, hidden, hidden,
                           recurrent_.data() + last);
        }
        for (int64_t unit = 0; unit < hidden; ++unit) {
            const auto at = static_cast<size_t>(last + unit);
            const T update = activate(0, sum(0, unit));
            const T factor = settings_.linear_before_reset ? reset_[static_cast<size_t>(unit)] : T{1};
            const T candidate = activate(1, gates_[at] + factor * recurrent_[at]);
            h[unit] = (1 - update) * candidate + update * h[unit];
        }
    }

    void lstm(T* h, T* c) {
        const int64_t hidden = sizes_.hidden;
        const T* const peep = operands_.peepholes == nullptr ? nullptr : operands_.peepholes + direction_ * 3 * hidden;
        const auto peephole = [&](int64_t gate, int64_t unit, T cell) {
            return peep == nullptr ? T{} : peep[gate * hidden + unit] * cell;
        };
        for (int64_t unit = 0; unit < hidden; ++unit) {
            const T input = activate(0, sum(0, unit) + peephole(0, unit, c[unit]));
            const T forget =
                settings_.input_forget ? 1 - input : activate(0, sum(2, unit) + peephole(2, unit, c[unit]));
            c[unit] = forget * c[unit] + input * activate(1, sum(3, unit));
            const T output = activate(0, sum(1, unit) + peephole(1, unit, c[unit]));
            // The state itself is not clipped.
            h[unit] = output * apply(settings_.activation(direction_, 2), c[unit]);
        }
    }

    const RecurrentSettings& settings_;
    const RecurrentSizes& sizes_;
    const Operands<T>& operands_;
    int64_t direction_;
    const T* w_;
    const T* r_;
    std::vector<T> bias_;
    std::vector<T> gates_;
    std::vector<T> recurrent_;
    std::vector<T> reset_;
};

template <class T>
void run_sequences(const RecurrentSettings& settings, const RecurrentSizes& sizes, const Operands<T>& operands) {
    const int64_t hidden = sizes.hidden;
    for (int64_t direction = 0; direction < sizes.directions; ++direction) {
        Cell<T> cell(settings, sizes, operands, direction);
        for (int64_t row = 0; row < sizes.batch; ++row) {
            std::vector<T> h(static_cast<size_t>(hidden), T{});
            std::vector<T> c(h);
            const int64_t state = sizes.state(direction, row);
            if (operands.h != nullptr) std::copy_n(operands.h + state, hidden, h.begin());
            if (operands.c != nullptr) std::copy_n(operands.c + state, hidden, c.begin());
            const int64_t length = operands.lengths == nullptr ? sizes.steps : operands.lengths[row];
            for (int64_t index = 0; index < length; ++index) {
                const int64_t step = settings.reversed(direction) ? length - 1 - index : index;
                cell.step(operands.x + step * sizes.x_step() + row * sizes.x_row(), h.data(), c.data());
                if (operands.y != nullptr) std::ranges::copy(h, operands.y + sizes.y(step, direction, row));
            }
            for (int64_t step = length; operands.y != nullptr && step < sizes.steps; ++step) {
                std::fill_n(operands.y + sizes.y(step, direction, row), hidden, T{});
            }
            if (operands.last_h != nullptr) std::ranges::copy(h, operands.last_h + state);
            if (operands.last_c != nullptr) std::ranges::copy(c, operands.last_c + state);
        }
    }
}

Status compute_recurrent(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(const RecurrentSettings settings, recurrent_settings(context.node()));
    const RecurrentSizes sizes(context.input(kX).shape(), context.input(kR).shape(), settings.batch_first);
    const DType dtype = context.input(kX).dtype();
    const Shape y = settings.batch_first ? Shape{sizes.batch, sizes.steps, sizes.directions, sizes.hidden}
                                         : Shape{sizes.steps, sizes.directions, sizes.batch, sizes.hidden};
    const Shape state = settings.batch_first ? Shape{sizes.batch, sizes.directions, sizes.hidden}
                                             : Shape{sizes.directions, sizes.batch, sizes.hidden};
    std::array<Tensor, 3> outputs;
    for (size_t index = 0; index < outputs.size(); ++index) {
        if (!context.wants_output(index)) continue;
        QUOIN_ASSIGN_OR_RETURN(outputs[index], context.output(index, dtype, index == 0 ? y : state));
    }
    const auto lengths = context.input(kLengths).as<const int32_t>();
    for (const int32_t length : lengths) {
        if (length < 0 || length > sizes.steps) {
            return context.fail("a sequence has the length ", length, " of ", sizes.steps);
        }
    }
    const bool done = visit_wide(dtype, [&]<class T>() {
        const ReadAs<T> x(context.input(kX));
        const ReadAs<T> w(context.input(kW));
        const ReadAs<T> r(context.input(kR));
        const ReadAs<T> bias(context.input(kB));
        const ReadAs<T> h(context.input(kInitialH));
        const ReadAs<T> c(context.input(kInitialC));
        const ReadAs<T> peepholes(context.input(kPeepholes));
        WriteAs<T> all(outputs[0]);
        WriteAs<T> last_h(outputs[1]);
        WriteAs<T> last_c(outputs[2]);
        const auto pointer = [](const ReadAs<T>& values) { return values.empty() ? nullptr : values.data(); };
        const auto target = [](WriteAs<T>& values) { return values.size() == 0 ? nullptr : values.data(); };
        run_sequences<T>(settings, sizes,
                         {x.data(), w.data(), r.data(), pointer(bias), pointer(h), pointer(c), pointer(peepholes),
                          lengths.empty() ? nullptr : lengths.data(), target(all), target(last_h), target(last_c)});
        all.store();
        last_h.store();
        last_c.store();
    });
    return done ? Status() : context.fail(StatusCode::Unsupported, "no implementation for ", dtype_name(dtype));
}

}  // namespace

extern const OpImplementation kRNNOp{infer_recurrent, prepare_recurrent, compute_recurrent};
extern const OpImplementation kGRUOp{infer_recurrent, prepare_recurrent, compute_recurrent};
extern const OpImplementation kLSTMOp{infer_recurrent, prepare_recurrent, compute_recurrent};

}  // namespace quoin
