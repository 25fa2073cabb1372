// Who computes convolutions: the one that was asked for where it can, and a clear no where there is none.
#include "ops/providers.h"

#include <cstdlib>

#include "core/half.h"
#include "ops/op_test.h"

namespace quoin::test {
namespace {

const std::vector<Provider> kAll = {Provider::Best, Provider::Native, Provider::OneDnn, Provider::Eigen,
                                    Provider::Reference};

// A ChannelsLastConv 3x3 with bias, made ready for a provider.
struct Ready {
    Random random{71};
    Tensor x = random_floats({2, 9, 8, 16}, random);
    Tensor weight = random_floats({24, 16, 3, 3}, random);
    Tensor bias = random_floats({24}, random);

    PreparedGraphPtr prepare(const RunOptions& options, DType arithmetic = DType::F32) const {
        Result<PreparedGraphPtr> prepared = try_to_prepare(options, arithmetic);
        REQUIRE(prepared.status().message() == "");
        return *prepared;
    }

    std::vector<float> run(const PreparedGraphPtr& prepared) const {
        Session session(prepared);
        session.set_input(0, view_of(x));
        REQUIRE(session.run().message() == "");
        return values_of(copy_of(session.output(0)));
    }

    std::vector<double> expected() const {
        std::vector<double> sums;
        for (int64_t n = 0; n < 2; ++n) {
            for (int64_t row = 0; row < 9; ++row) {
                for (int64_t column = 0; column < 8; ++column) {
                    for (int64_t out = 0; out < 24; ++out) sums.push_back(sum_at(n, row, column, out));
                }
            }
        }
        return sums;
    }

private:
    Result<PreparedGraphPtr> try_to_prepare(const RunOptions& options, DType arithmetic) const {
        Graph graph;
        const ValueId input = graph.add_input("x", DType::F32, dims_of(x.shape()));
        const ValueId w = graph.add_constant("w", Constant(weight));
        const ValueId b = graph.add_constant("b", Constant(bias));
        graph.add_node(Op::ChannelsLastConv, "node", {input, w, b}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
        graph.add_output(graph.node(0).outputs[0]);
        QUOIN_ASSIGN_OR_RETURN(const Provider provider, effective_provider(options.provider, *options.runtime));
        QUOIN_RETURN_IF_ERROR(optimize(graph, {*options.runtime, provider, {}, arithmetic}));
        return quoin::prepare(std::move(graph), options.runtime, provider);
    }

    double sum_at(int64_t n, int64_t row, int64_t column, int64_t out) const {
        double sum = double{bias.as<float>()[static_cast<size_t>(out)]};
        for (int64_t h = 0; h < 3; ++h) {
            for (int64_t w = 0; w < 3; ++w) {
                const int64_t y = row + h - 1;
                const int64_t z = column + w - 1;
                if (y < 0 || y >= 9 || z < 0 || z >= 8) continue;
                for (int64_t c = 0; c < 16; ++c) {
                    sum += double{x.as<float>()[static_cast<size_t>(((n * 9 + y) * 8 + z) * 16 + c)]} *
                           double{weight.as<float>()[static_cast<size_t>(((out * 16 + c) * 3 + h) * 3 + w)]};
                }
            }
        }
        return sum;
    }
};

Tensor to_bf16(const Tensor& tensor) {
    std::vector<float> values = values_of(tensor);
    for (float& value : values) value = bf16_to_f32(f32_to_bf16(value));
    return floats(tensor.shape(), values);
}

// The provider that a label names.
std::string named_by(const PreparedGraphPtr& prepared) {
    const std::string label = prepared->nodes.at(0)->label();
    for (const char* const name : {"onednn", "eigen", "reference"}) {
        if (label.find(name) != label.npos) return name;
    }
    return label.find("convolution_f32") != label.npos ? "native" : label;
}

}  // namespace

TEST_CASE("the provider that was asked for computes, and computes the same") {
    const Ready ready;
    for (const Provider provider : kAll) {
        for (const int threads : {1, 3}) {
            const RunOptions options{make_runtime(threads), provider};
            if (!check_provider(provider, *options.runtime).ok()) continue;
            CAPTURE(std::string(provider_name(provider)), threads);
            const PreparedGraphPtr prepared = ready.prepare(options);
            const Provider effective = effective_provider(provider, *options.runtime).value();
            if (effective != Provider::Best) CHECK(named_by(prepared) == provider_name(effective));
            CHECK(largest_error(ready.run(prepared), ready.expected()) < 1e-5);
        }
    }
}

TEST_CASE("bf16 arithmetic changes a convolution a little where there is oneDNN, else not at all") {
    const Ready ready;
    const RunOptions options{make_runtime(2)};
    if (!check_arithmetic(DType::BF16, *options.runtime).ok()) return;
    const PreparedGraphPtr prepared = ready.prepare(options, DType::BF16);
    Ready rounded;
    if (check_provider(Provider::OneDnn, *options.runtime).ok()) {
        CHECK(named_by(prepared) == "onednn");
        rounded.x = to_bf16(rounded.x);
        rounded.weight = to_bf16(rounded.weight);
        CHECK(largest_error(ready.run(prepared), ready.expected()) > 1e-4);
    }
    CHECK(largest_error(ready.run(prepared), rounded.expected()) < 1e-5);
}

TEST_CASE("bf16 arithmetic is refused by an instruction set without it") {
    const RuntimePtr runtime = make_runtime(1, Isa::Baseline);
    CHECK(check_arithmetic(DType::F32, *runtime).ok());
    const Status status = check_arithmetic(DType::BF16, *runtime);
    CHECK(status.code() == StatusCode::Unsupported);
    CHECK(status.message().find("baseline") != status.message().npos);
}

TEST_CASE("a runtime below the machine's instruction set has no oneDNN") {
    const RuntimePtr runtime = make_runtime(1, Isa::Baseline);
    if (detected_isa() == Isa::Baseline) return;
    CHECK(check_provider(Provider::OneDnn, *runtime).code() == StatusCode::Unsupported);
    CHECK(effective_provider(Provider::OneDnn, *runtime).status().code() == StatusCode::Unsupported);
    CHECK(named_by(Ready().prepare({runtime, Provider::Native})) == "native");
}

TEST_CASE("rows of thousands stay with the own kernels, for which nothing is compiled") {
    if (std::getenv("QUOIN_PROVIDER") != nullptr) return;  // which decides alone
    Ready ready;
    const RunOptions options{make_runtime()};
    const bool first = check_provider(Provider::OneDnn, *options.runtime).ok() && detected_isa() >= Isa::Avx512;
    if (first) CHECK(named_by(ready.prepare(options)) == "onednn");
    ready.x = random_floats({1, 4, 3000, 16}, ready.random);
    CHECK(named_by(ready.prepare(options)) == "native");
}

TEST_CASE("large products of many rows go to oneDNN, others stay with the own kernel") {
    if (std::getenv("QUOIN_PROVIDER") != nullptr) return;  // which decides alone
    const RuntimePtr runtime = make_runtime();
    const bool first = check_provider(Provider::OneDnn, *runtime).ok() && detected_isa() >= Isa::Avx512;
    const auto label_of = [&](int64_t rows, int64_t inner) {
        Graph graph;
        const ValueId a = graph.add_input("a", DType::F32, dims_of({rows, inner}));
        const ValueId b = graph.add_input("b", DType::F32, dims_of({inner, 1024}));
        graph.add_output(graph.add_node(Op::MatMul, "y", {a, b}, {}));
        REQUIRE(infer_types(graph).ok());
        const Result<PreparedGraphPtr> prepared = prepare(std::move(graph), runtime);
        REQUIRE(prepared.ok());
        return (*prepared)->nodes.at(0)->label();
    };
    CHECK((label_of(384, 1024).find("onednn") != std::string::npos) == first);
    CHECK(label_of(383, 1024).find("onednn") == std::string::npos);
    CHECK(label_of(384, 1023).find("onednn") == std::string::npos);
}

TEST_CASE("providers have names") {
    for (const Provider provider : kAll) CHECK(provider_from_name(provider_name(provider)) == provider);
    CHECK(!provider_from_name("abacus"));
    CHECK(!provider_from_name(""));
    CHECK(provider_names().find("native") != std::string::npos);
}

TEST_CASE("the environment asks for a provider where the caller does not") {
    const char* const before = std::getenv("QUOIN_PROVIDER");
    const std::string saved = before == nullptr ? "" : before;
    const RuntimePtr runtime = make_runtime();
    REQUIRE(setenv("QUOIN_PROVIDER", "reference", 1) == 0);
    CHECK(effective_provider(Provider::Best, *runtime).value() == Provider::Reference);
    CHECK(effective_provider(Provider::Native, *runtime).value() == Provider::Native);
    REQUIRE(setenv("QUOIN_PROVIDER", "abacus", 1) == 0);
    const Status status = effective_provider(Provider::Best, *runtime).status();
    CHECK(status.code() == StatusCode::InvalidArgument);
    CHECK(status.message().find("abacus") != status.message().npos);
    REQUIRE(setenv("QUOIN_PROVIDER", saved.c_str(), 1) == 0);
    if (saved.empty()) CHECK(effective_provider(Provider::Best, *runtime).value() == Provider::Best);
}

}  // namespace quoin::test
