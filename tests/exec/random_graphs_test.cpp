// Several hundred random graphs: no plan lets two living values share bytes, and every result is that of a naive
// evaluation in double precision, where each value has its own memory.
#include <numeric>

#include "ops/op_test.h"
#include "program_check.h"

namespace quoin::test {
namespace {

constexpr double kLargest = 1000;  // operands stay in a range where floats differ little from doubles

// Makes a random graph and evaluates it while it grows.
class RandomGraph {
public:
    // `staged`: some results have shapes that only their bytes tell.
    explicit RandomGraph(uint32_t seed, bool staged = false) : random_(seed), staged_(staged) {
        const int inputs = random_.integer(1, 3);
        for (int index = 0; index < inputs; ++index) {
            const Tensor x = random_floats({random_.integer(1, 5), 2 * random_.integer(1, 20)}, random_);
            keep(add_input(x, values_of(x)));
        }
        if (random_.integer(0, 2) == 0) {  // something to write into from the start
            const Tensor cache = random_floats({32, 8}, random_);
            keep(add_input(cache, values_of(cache)));
        }
        const int nodes = random_.integer(3, 25);
        for (int index = 0; index < nodes; ++index) add_random_node();
        const int outputs = random_.integer(1, 3);
        for (int index = 0; index < outputs; ++index) {
            const Known& known = index == 0 ? pool_.back() : pick();
            graph_.add_output(known.id);
            wanted_.push_back(known.values);
        }
    }

    const Graph& graph() const { return graph_; }
    const std::vector<std::vector<double>>& wanted() const { return wanted_; }
    // Copies: an update changes them.
    std::vector<Tensor> inputs() const {
        std::vector<Tensor> copies;
        for (const Tensor& input : inputs_) copies.push_back(copy_of(view_of(input)));
        return copies;
    }

private:
    // A value and what it holds. Always a matrix; `root` is the value whose bytes it shows.
    struct Known {
        ValueId id;
        int64_t rows;
        int64_t columns;
        std::vector<double> values;
        ValueId root;
    };

    Known add_input(const Tensor& tensor, const std::vector<float>& values) {
        const ValueId id = graph_.add_input(name("in"), tensor.dtype(), dims_of(tensor.shape()));
        inputs_.push_back(tensor);
        return {id, tensor.shape()[0], tensor.shape().back(), {values.begin(), values.end()}, id};
    }
    ValueId add_integers(const Shape& shape, const std::vector<int32_t>& values) {
        const Tensor tensor = ints(shape, values);
        inputs_.push_back(tensor);
        return graph_.add_input(name("ids"), DType::I32, dims_of(shape));
    }
    std::string name(const char* kind) { return kind + std::to_string(graph_.values().size()); }

    const Known& pick() { return pool_[static_cast<size_t>(random_.integer(0, static_cast<int>(pool_.size()) - 1))]; }
    void keep(Known known) {
        const bool small = std::ranges::all_of(known.values, [](double v) { return std::abs(v) <= kLargest; });
        if (small) pool_.push_back(std::move(known));  // else it is a dead node
    }
    Known make(Op op, std::vector<ValueId> inputs, int64_t rows, int64_t columns, std::vector<double> values,
               Attributes attributes = {}) {
        const ValueId id = graph_.add_node(op, name(op_info(op).name.data()), std::move(inputs), std::move(attributes));
        return {id, rows, columns, std::move(values), id};
    }
    ValueId reshape(ValueId value, const std::vector<int64_t>& dims) {
        const ValueId shape =
            graph_.add_constant(name("shape"), Constant(longs({static_cast<int64_t>(dims.size())}, dims)));
        return graph_.add_node(Op::Reshape, name("view"), {value, shape});
    }

    void add_random_node() {
        const Known x = pick();
        switch (random_.integer(0, staged_ ? 10 : 9)) {
            case 0: return add_swish(x);
            case 1: return add_binary(x, Op::Add);
            case 2: return add_binary(x, Op::Mul);
            case 3: return add_normalization(x);
            case 4: return add_linear(x);
            case 5: return add_gated_linear(x);
            case 6: return add_gather(x);
            case 7: return add_reshape(x);
            case 8: return add_rotation(x);
            default: return staged_ ? add_compress(x) : add_update(x);
        }
    }

    void add_swish(const Known& x) {
        std::vector<double> values = x.values;
        for (double& value : values) value = value / (1 + std::exp(-value));
        keep(make(Op::Swish, {x.id}, x.rows, x.columns, values));
    }

    void add_binary(const Known& x, Op op) {
        Known other = x;
        const int kind = random_.integer(0, 2);
        if (kind == 0) {  // a constant row
            const Tensor row = random_floats({x.columns}, random_);
            const std::vector<float> numbers = values_of(row);
            other = {
                graph_.add_constant(name("row"), Constant(row)), 1, x.columns, {numbers.begin(), numbers.end()}, 0};
        } else if (kind == 1) {  // whatever broadcasts
            const Known candidate = pick();
            const auto fits = [](int64_t a, int64_t b) { return a == b || a == 1 || b == 1; };
            if (fits(candidate.rows, x.rows) && fits(candidate.columns, x.columns)) other = candidate;
        }
        const int64_t rows = std::max(x.rows, other.rows);
        const int64_t columns = std::max(x.columns, other.columns);
        std::vector<double> values;
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = 0; c < columns; ++c) {
                const double a = at(x, r % x.rows, c % x.columns);
                const double b = at(other, r % other.rows, c % other.columns);
                values.push_back(op == Op::Add ? a + b : a * b);
            }
        }
        const bool swapped = random_.integer(0, 1) == 0;
        keep(make(op, swapped ? std::vector{other.id, x.id} : std::vector{x.id, other.id}, rows, columns, values));
    }

    void add_normalization(const Known& x) {
        const Tensor scale = random_floats({x.columns}, random_);
        std::vector<double> values;
        for (int64_t r = 0; r < x.rows; ++r) {
            double sum = 0;
            for (int64_t c = 0; c < x.columns; ++c) sum += at(x, r, c) * at(x, r, c);
            const double factor = 1 / std::sqrt(sum / static_cast<double>(x.columns) + 0.1);
            for (int64_t c = 0; c < x.columns; ++c) {
                values.push_back(at(x, r, c) * factor * double{scale.as<float>()[static_cast<size_t>(c)]});
            }
        }
        keep(make(Op::RMSNormalization, {x.id, graph_.add_constant(name("scale"), Constant(scale))}, x.rows, x.columns,
                  values, {{"epsilon", 0.1}}));
    }

    struct Matrix {
        ValueId id;
        std::vector<double> product;  // with x
    };
    Matrix multiply(const Known& x, int64_t columns) {
        Tensor weight = random_floats({columns, x.columns}, random_);
        for (float& each : weight.as<float>()) each /= std::sqrt(static_cast<float>(x.columns));
        std::vector<double> product;
        for (int64_t r = 0; r < x.rows; ++r) {
            for (int64_t n = 0; n < columns; ++n) {
                double sum = 0;
                for (int64_t k = 0; k < x.columns; ++k) {
                    sum += at(x, r, k) * double{weight.as<float>()[static_cast<size_t>(n * x.columns + k)]};
                }
                product.push_back(sum);
            }
        }
        return {graph_.add_constant(name("weight"), Constant(weight)), product};
    }

    void add_linear(const Known& x) {
        const int64_t columns = random_.integer(0, 2) == 0 ? x.columns : 2 * random_.integer(1, 20);
        Matrix matrix = multiply(x, columns);
        std::vector<ValueId> inputs = {x.id, matrix.id};
        const Known residual = pick();
        const bool adds = residual.rows == x.rows && residual.columns == columns;
        if (adds || random_.integer(0, 1) == 0) {
            const Tensor bias = random_floats({columns}, random_);
            for (size_t index = 0; index < matrix.product.size(); ++index) {
                matrix.product[index] += double{bias.as<float>()[index % static_cast<size_t>(columns)]};
                if (adds) matrix.product[index] += residual.values[index];
            }
            inputs.push_back(graph_.add_constant(name("bias"), Constant(bias)));
            if (adds) inputs.push_back(residual.id);
        }
        keep(make(Op::Linear, inputs, x.rows, columns, matrix.product));
    }

    void add_gated_linear(const Known& x) {
        const int64_t columns = 2 * random_.integer(1, 20);
        const Matrix gate = multiply(x, columns);
        const Matrix up = multiply(x, columns);
        std::vector<double> values;
        for (size_t index = 0; index < gate.product.size(); ++index) {
            values.push_back(gate.product[index] / (1 + std::exp(-gate.product[index])) * up.product[index]);
        }
        if (random_.integer(0, 1) == 0) {
            keep(make(Op::GatedLinear, {x.id, gate.id, up.id}, x.rows, columns, values));
            return;
        }
        const ValueId left = graph_.add_node(Op::Linear, name("gate"), {x.id, gate.id});
        const ValueId right = graph_.add_node(Op::Linear, name("up"), {x.id, up.id});
        const ValueId bent = graph_.add_node(Op::Swish, name("bent"), {left});
        keep(make(Op::Mul, {bent, right}, x.rows, columns, values));
    }

    void add_gather(const Known& x) {
        const int64_t axis = random_.integer(0, 1);
        const int64_t limit = axis == 0 ? x.rows : x.columns;
        std::vector<int32_t> chosen(static_cast<size_t>(2 * random_.integer(1, 4)));
        for (int32_t& each : chosen) each = random_.integer(static_cast<int>(-limit), static_cast<int>(limit) - 1);
        const auto count = static_cast<int64_t>(chosen.size());
        const int64_t rows = axis == 0 ? count : x.rows;
        const int64_t columns = axis == 0 ? x.columns : count;
        std::vector<double> values;
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = 0; c < columns; ++c) {
                const int64_t index = chosen[static_cast<size_t>(axis == 0 ? r : c)];
                const int64_t place = index < 0 ? index + limit : index;
                values.push_back(axis == 0 ? at(x, place, c) : at(x, r, place));
            }
        }
        keep(make(Op::Gather, {x.id, add_integers({count}, chosen)}, rows, columns, values, {{"axis", axis}}));
    }

    void add_reshape(const Known& x) {
        const int64_t rows = x.columns / 2;
        // Some ops want to know the size of a row before they run.
        keep({reshape(x.id, {rows, staged_ ? x.rows * 2 : -1}), rows, x.rows * 2, x.values, x.root});
    }

    // [rows, columns] as one head of `rows` tokens, through views in front and behind, and a node with two results.
    void add_rotation(const Known& x) {
        std::vector<int32_t> positions(static_cast<size_t>(x.rows));
        for (int32_t& each : positions) each = random_.integer(0, 50);
        const int64_t half = x.columns / 2;
        std::vector<float> frequencies(static_cast<size_t>(half));
        for (float& each : frequencies) each = static_cast<float>(random_.integer(1, 100)) / 100;
        std::vector<double> values = x.values;
        for (int64_t r = 0; r < x.rows; ++r) {
            for (int64_t i = 0; i < half; ++i) {
                const double angle = positions[static_cast<size_t>(r)] * double{frequencies[static_cast<size_t>(i)]};
                const double a = at(x, r, i);
                const double b = at(x, r, i + half);
                values[static_cast<size_t>(r * x.columns + i)] = std::cos(angle) * a - std::sin(angle) * b;
                values[static_cast<size_t>(r * x.columns + i + half)] = std::sin(angle) * a + std::cos(angle) * b;
            }
        }
        const ValueId f = graph_.add_constant(name("f"), Constant(floats({half}, frequencies)));
        const ValueId cos = graph_.add_node(Op::RotaryCache, name("angles"), {add_integers({1, x.rows}, positions), f});
        const ValueId rotated =
            graph_.add_node(Op::RotaryEmbedding, name("rotated"), {reshape(x.id, {1, x.rows, x.columns}), cos, cos + 1},
                            {{"num_heads", int64_t{1}}});
        keep({reshape(rotated, {x.rows, x.columns}), x.rows, x.columns, values, rotated});
    }

    // Writes rows of eight values of x into any value of 32 rows of eight. The old value must not be read from then on.
    void add_update(const Known& x) {
        const auto target = std::ranges::find_if(
            pool_, [&](const Known& each) { return each.values.size() == 256 && each.root != x.root; });
        if (target == pool_.end() || x.values.size() % 8 != 0 || x.values.size() > 256) {
            // A new one comes from repeating rows.
            if (x.columns % 8 == 0) {
                std::vector<int32_t> rows(static_cast<size_t>(256 / x.columns), 0);
                if (256 % x.columns != 0) return;
                std::vector<double> values;
                for (size_t r = 0; r < rows.size(); ++r) {
                    values.insert(values.end(), x.values.begin(), x.values.begin() + x.columns);
                }
                const auto count = static_cast<int64_t>(rows.size());
                keep(make(Op::Gather, {x.id, add_integers({count}, rows)}, count, x.columns, values));
            }
            return;
        }
        const Known old = *target;
        const auto tokens = static_cast<int64_t>(x.values.size()) / 8;
        std::vector<int32_t> slots(32);
        std::iota(slots.begin(), slots.end(), 0);
        for (size_t index = 31; index > 0; --index) {
            std::swap(slots[index], slots[static_cast<size_t>(random_.integer(0, static_cast<int>(index)))]);
        }
        slots.resize(static_cast<size_t>(tokens));
        std::vector<double> values = old.values;
        for (size_t index = 0; index < x.values.size(); ++index) {
            values[static_cast<size_t>(slots[index / 8]) * 8 + index % 8] = x.values[index];
        }
        const ValueId cache = reshape(old.id, {1, 1, 32, 8});
        const ValueId data = reshape(x.id, {1, tokens, 8});
        const ValueId updated = graph_.add_node(
            Op::CacheUpdate, name("updated"),
            {cache, data, add_integers({1, tokens}, slots),
             add_integers({tokens}, std::vector<int32_t>(static_cast<size_t>(tokens), 0)), add_integers({1, 1}, {0})},
            {{"kind", std::string("values")}, {"kv_num_heads", int64_t{1}}});
        std::erase_if(pool_, [&](const Known& each) { return each.root == old.root; });
        pool_.push_back({reshape(updated, {32, 8}), 32, 8, values, old.root});
        ++updates;
    }

    // Some of the rows, at least one.
    void add_compress(const Known& x) {
        std::vector<uint8_t> kept(static_cast<size_t>(x.rows));
        for (uint8_t& each : kept) each = static_cast<uint8_t>(random_.integer(0, 1));
        kept[static_cast<size_t>(random_.integer(0, static_cast<int>(x.rows) - 1))] = 1;
        std::vector<double> values;
        for (int64_t r = 0; r < x.rows; ++r) {
            for (int64_t c = 0; c < x.columns && kept[static_cast<size_t>(r)] != 0; ++c) values.push_back(at(x, r, c));
        }
        inputs_.push_back(tensor_of(DType::Bool, {x.rows}, kept));
        const ValueId condition = graph_.add_input(name("kept"), DType::Bool, dims_of({x.rows}));
        keep(make(Op::Compress, {x.id, condition}, std::ranges::count(kept, uint8_t{1}), x.columns, values,
                  {{"axis", int64_t{0}}}));
        ++compressed;
    }

    static double at(const Known& known, int64_t row, int64_t column) {
        return known.values[static_cast<size_t>(row * known.columns + column)];
    }

    Random random_;
    bool staged_;
    Graph graph_;
    std::vector<Known> pool_;
    std::vector<Tensor> inputs_;
    std::vector<std::vector<double>> wanted_;

public:
    int updates = 0;
    int compressed = 0;
};

struct Totals {
    int in_place = 0;
    int updates = 0;
    int barriers = 0;
};

Totals check_random_graphs(uint32_t first_seed, uint32_t count, int threads) {
    Totals totals;
    const RuntimePtr runtime = make_runtime(threads);
    for (uint32_t seed = first_seed; seed < first_seed + count; ++seed) {
        const RandomGraph made(seed);
        const std::vector<Tensor> inputs = made.inputs();
        INFO("seed " << seed << '\n' << dump(made.graph()));
        const Result<PreparedGraphPtr> prepared = make_ready(made.graph(), {.runtime = runtime});
        INFO(prepared.status().message());
        REQUIRE(prepared.ok());
        std::vector<TensorView> views;
        for (const Tensor& input : inputs) views.push_back(view_of(input));
        const Result<Stage> planned = plan(**prepared, views);
        REQUIRE(planned.ok());
        const Program& program = planned->program;
        INFO(dump(**prepared, program));
        const ProgramCheck check(**prepared, program);
        REQUIRE(check.complaints() == "");
        Session session(*prepared);
        for (size_t index = 0; index < views.size(); ++index) session.set_input(index, views[index]);
        REQUIRE(session.run().ok());
        for (size_t index = 0; index < made.wanted().size(); ++index) {
            INFO("output " << index);
            REQUIRE(largest_error(values_of(copy_of(session.output(index))), made.wanted()[index]) < 1e-3);
        }
        totals.in_place += check.in_place();
        totals.updates += made.updates;
        totals.barriers += program.barriers;
    }
    return totals;
}

TEST_CASE("in random graphs no two living values share bytes and every result is right") {
    const Totals totals = check_random_graphs(1, 500, 1);
    // Or the test would have looked at nothing.
    CHECK(totals.in_place > 100);
    CHECK(totals.updates > 50);
    CHECK(totals.barriers > 500);
}

// Stages of one run, planned again for other graphs only; the second run finds them, with buffers of the caller's for
// its outputs.
void check_staged_graphs(uint32_t first_seed, uint32_t count, int threads) {
    int compressed = 0;
    const RuntimePtr runtime = make_runtime(threads);
    for (uint32_t seed = first_seed; seed < first_seed + count; ++seed) {
        const RandomGraph made(seed, true);
        compressed += made.compressed;
        const std::vector<Tensor> inputs = made.inputs();
        INFO("seed " << seed << '\n' << dump(made.graph()));
        const Result<PreparedGraphPtr> prepared = make_ready(made.graph(), {.runtime = runtime});
        INFO(prepared.status().message());
        REQUIRE(prepared.ok());
        Session session(*prepared);
        for (size_t index = 0; index < inputs.size(); ++index) session.set_input(index, view_of(inputs[index]));
        std::vector<Tensor> bound;
        for (const int round : {0, 1}) {
            const Status status = session.run();
            INFO(status.message());
            REQUIRE(status.ok());
            for (size_t index = 0; index < made.wanted().size(); ++index) {
                INFO("output " << index << " in round " << round);
                const Tensor result = copy_of(session.output(index));
                REQUIRE(largest_error(values_of(result), made.wanted()[index]) < 1e-3);
                if (round == 1) CHECK(session.output(index).data == bound[index].data());
                bound.push_back(floats(result.shape(), std::vector<float>(made.wanted()[index].size())));
                session.bind_output(index, view_of(bound.back()));
            }
        }
    }
    CHECK(compressed > static_cast<int>(count) / 2);
}

TEST_CASE("random graphs whose shapes depend on bytes are right") {
    check_staged_graphs(2001, 300, 1);
}

TEST_CASE("random graphs in stages are right with several threads", "[threaded]") {
    check_staged_graphs(2301, 60, 3);
}

TEST_CASE("random graphs are right with several threads", "[threaded]") {
    check_random_graphs(1001, 60, 2);
    check_random_graphs(1061, 60, 3);
}

}  // namespace
}  // namespace quoin::test
