// ai.onnx.ml: values of its specification, and of ONNX Runtime 1.32 where they are not plain to see.
#include "op_test.h"
#include "ops/evaluate.h"

namespace quoin::test {
namespace {

template <class T>
std::vector<T> elements_of(const Tensor& tensor) {
    const auto values = tensor.as<T>();
    return {values.begin(), values.end()};
}
std::vector<Tensor> results_of(Op op, const std::vector<Operand>& operands, const Attributes& attributes) {
    Graph graph;
    std::vector<ValueId> ids;
    std::vector<Tensor> inputs;
    for (const Operand& operand : operands) {
        ids.push_back(graph.add_input("in" + std::to_string(ids.size()), operand.tensor.dtype(),
                                      dims_of(operand.tensor.shape())));
        inputs.push_back(operand.tensor);
    }
    graph.add_node(op, "node", ids, attributes);
    for (const ValueId id : graph.node(0).outputs) graph.add_output(id);
    auto outputs = run_graph(std::move(graph), inputs);
    INFO(outputs.status().message());
    REQUIRE(outputs.ok());
    return *std::move(outputs);
}
bool close(const Tensor& got, const std::vector<double>& wanted) {
    return largest_error(values_of(got), wanted) < 1e-6;
}

using Integers = std::vector<int64_t>;
using Numbers = std::vector<double>;
using Words = std::vector<std::string>;

Tensor three_rows() {
    return floats({3, 2}, {1, 2, -1, 0.5F, 0.25F, -3});
}

TEST_CASE("linear models choose and weigh classes") {
    const auto three = results_of(Op::LinearClassifier, {given(three_rows())},
                                  {{"coefficients", Numbers{1, -0.5, 0.25, 0.75, -1, 0.1}},
                                   {"intercepts", Numbers{0.1, 0.2, 0.3}},
                                   {"classlabels_ints", Integers{7, 8, 9}},
                                   {"post_transform", std::string("SOFTMAX")}});
    CHECK(elements_of<int64_t>(three[0]) == Integers{8, 9, 7});
    CHECK(close(three[1], {0.126444131, 0.804161847, 0.069394007, 0.0569686, 0.249011815, 0.694019616, 0.874122918,
                           0.018835077, 0.107041977}));
    const auto two = results_of(Op::LinearClassifier, {given(three_rows())},
                                {{"coefficients", Numbers{1, -0.5}},
                                 {"intercepts", Numbers{0.1}},
                                 {"classlabels_ints", Integers{7, 8}},
                                 {"post_transform", std::string("LOGISTIC")}});
    CHECK(elements_of<int64_t>(two[0]) == Integers{8, 7, 8});
    CHECK(close(two[1], {0.475020826, 0.524979174, 0.759510875, 0.240489125, 0.1358729, 0.8641271}));
    const auto plane = results_of(Op::LinearRegressor, {given(three_rows())},
                                  {{"coefficients", Numbers{1, 2}}, {"intercepts", Numbers{0.5}}});
    CHECK(close(plane[0], {5.5, 0.5, -5.25}));
    CHECK_THAT(run_op(Op::LinearRegressor, {given(three_rows())}, {{"coefficients", Numbers{1}}}).status().message(),
               contains("there are 1 coefficients"));
}

TEST_CASE("support vector machines agree with ONNX Runtime") {
    const Numbers vectors = {0, 1, 1, 0, -1, 0.5, 0.5, -1};
    const Attributes shared = {
        {"kernel_type", std::string("RBF")}, {"kernel_params", Numbers{0.5, 0, 0}}, {"support_vectors", vectors}};
    Attributes regressor = shared;
    regressor.insert(regressor.end(),
                     {{"n_supports", int64_t{4}}, {"coefficients", Numbers{1, -2, 0.5, 0.75}}, {"rho", Numbers{0.3}}});
    CHECK(close(results_of(Op::SVMRegressor, {given(three_rows())}, regressor)[0],
                {0.426530123, 1.175444961, 0.382433474}));
    Attributes classifier = shared;
    classifier.insert(classifier.end(), {{"vectors_per_class", Integers{2, 1, 1}},
                                         {"coefficients", Numbers{1, 0.5, -1, -0.25, 0.75, 0.5, -0.5, -1}},
                                         {"rho", Numbers{0.1, -0.2, 0.05}},
                                         {"classlabels_ints", Integers{3, 4, 5}},
                                         {"prob_a", Numbers{-1, -1.5, -2}},
                                         {"prob_b", Numbers{0, 0.1, -0.1}}});
    const auto outputs = results_of(Op::SVMClassifier, {given(three_rows())}, classifier);
    CHECK(elements_of<int64_t>(outputs[0]) == Integers{3, 3, 5});
    const std::vector<double> wanted = {0.401329815, 0.289406598, 0.309263676, 0.344727784, 0.255543411,
                                        0.399728805, 0.291252762, 0.318790197, 0.389957190};
    CHECK(largest_error(values_of(outputs[1]), wanted) < 1e-4);  // an iteration with a bound of its own
}

const Attributes kStump = {{"nodes_treeids", Integers{0, 0, 0}},
                           {"nodes_nodeids", Integers{0, 1, 2}},
                           {"nodes_featureids", Integers{0, 0, 0}},
                           {"nodes_values", Numbers{0.5, 0, 0}},
                           {"nodes_modes", Words{"BRANCH_LEQ", "LEAF", "LEAF"}},
                           {"nodes_truenodeids", Integers{1, 0, 0}},
                           {"nodes_falsenodeids", Integers{2, 0, 0}}};

TEST_CASE("trees regress and classify") {
    Attributes regressor = kStump;
    regressor.insert(regressor.end(), {{"target_treeids", Integers{0, 0}},
                                       {"target_nodeids", Integers{1, 2}},
                                       {"target_ids", Integers{0, 0}},
                                       {"target_weights", Numbers{-2, 3}},
                                       {"base_values", Numbers{0.5}},
                                       {"n_targets", int64_t{1}}});
    CHECK(close(results_of(Op::TreeEnsembleRegressor, {given(three_rows())}, regressor)[0], {3.5, -1.5, -1.5}));
    Attributes classifier = kStump;
    classifier.insert(classifier.end(), {{"class_treeids", Integers{0, 0}},
                                         {"class_nodeids", Integers{1, 2}},
                                         {"class_ids", Integers{0, 0}},
                                         {"class_weights", Numbers{-0.75, 0.5}},
                                         {"classlabels_int64s", Integers{4, 5}},
                                         {"post_transform", std::string("LOGISTIC")}});
    const auto outputs = results_of(Op::TreeEnsembleClassifier, {given(three_rows())}, classifier);
    CHECK(elements_of<int64_t>(outputs[0]) == Integers{5, 4, 4});
    CHECK(close(outputs[1], {0.377540648, 0.622459352, 0.679178715, 0.320821285, 0.679178715, 0.320821285}));
}

TEST_CASE("a tree that leads in a circle or to nowhere is refused") {
    Attributes circle = kStump;
    circle[4].second = Words{"BRANCH_LEQ", "BRANCH_LEQ", "LEAF"};
    CHECK_THAT(run_op(Op::TreeEnsembleRegressor, {given(three_rows())}, circle).status().message(),
               contains("in a circle"));
    Attributes nowhere = kStump;
    nowhere[5].second = Integers{9, 0, 0};
    CHECK_THAT(run_op(Op::TreeEnsembleRegressor, {given(three_rows())}, nowhere).status().message(),
               contains("leads to one that is not there"));
}

TEST_CASE("features are scaled, normalised, imputed and joined") {
    const Operand x = given(floats({2, 2}, {3, 4, 0, NAN}));
    const Attributes scale = {{"scale", Numbers{2, 10}}, {"offset", Numbers{1, 0}}};
    CHECK(values_of(result_of(Op::Scaler, {given(floats({1, 2}, {3, 4}))}, scale)) == std::vector<float>{4, 40});
    CHECK(close(result_of(Op::Normalizer, {given(floats({1, 2}, {3, 4}))}, {{"norm", std::string("L2")}}), {0.6, 0.8}));
    const Attributes impute = {{"imputed_value_floats", Numbers{7}}, {"replaced_value_float", double{NAN}}};
    CHECK(values_of(result_of(Op::Imputer, {x}, impute)) == std::vector<float>{3, 4, 0, 7});
    CHECK(values_of(result_of(Op::FeatureVectorizer, {given(longs({2, 1}, {1, 2})), given(floats({2, 1}, {3, 4}))})) ==
          std::vector<float>{1, 3, 2, 4});
    CHECK(values_of(result_of(Op::Binarizer, {given(floats({3}, {-1, 1, 2}))}, {{"threshold", 1.0}})) ==
          std::vector<float>{0, 0, 1});
    CHECK(values_of(result_of(Op::ArrayFeatureExtractor, {given(three_rows()), given(longs({1}, {1}))})) ==
          std::vector<float>{2, 0.5F, -3});
    CHECK_THAT(run_op(Op::ArrayFeatureExtractor, {given(three_rows()), given(longs({1}, {2}))}).status().message(),
               contains("index 2 is none of 2 features"));
    CHECK(values_of(result_of(Op::OneHotEncoder, {given(longs({2}, {5, 9}))}, {{"cats_int64s", Integers{4, 5}}})) ==
          std::vector<float>{0, 1, 0, 0});
}

TEST_CASE("labels and categories are looked up") {
    const Attributes table = {
        {"keys_int64s", Integers{5, 6}}, {"values_floats", Numbers{0.5, 0.6}}, {"default_float", -3.0}};
    CHECK(values_of(result_of(Op::LabelEncoder, {given(longs({2}, {6, 8}))}, table)) == std::vector<float>{0.6F, -3});
    const Attributes categories = {{"cats_strings", Words{"a", "b"}}, {"cats_int64s", Integers{5, 6}}};
    const Operand words = given(tensor_of<std::string>(DType::String, {2}, {"b", "x"}));
    CHECK(elements_of<int64_t>(result_of(Op::CategoryMapper, {words}, categories)) == Integers{6, -1});
}

// ---- maps: no tensors, so the nodes are evaluated by themselves

RuntimeValue evaluated(Op op, const RuntimeValue& input, const Attributes& attributes) {
    Graph graph;
    const ValueId in = graph.add_value("in", input.dtype(), std::nullopt);
    graph.add_node(op, "node", {in}, attributes);
    const auto outputs = evaluate(graph, graph.node(0), nullptr, std::vector<RuntimeValue>{input}, *make_runtime());
    INFO(outputs.status().message());
    REQUIRE(outputs.ok());
    return (*outputs)[0];
}

TEST_CASE("scores become maps and maps become tensors") {
    const RuntimeValue zipped =
        evaluated(Op::ZipMap, floats({2, 2}, {1, 2, 3, 4}), {{"classlabels_int64s", Integers{10, 30}}});
    REQUIRE(zipped.items().size() == 2);
    const RuntimeValue& second = zipped.items()[1];
    CHECK(second.kind() == RuntimeValue::Kind::Map);
    CHECK(elements_of<int64_t>(second.items()[0].tensor()) == Integers{10, 30});
    CHECK(values_of(second.items()[1].tensor()) == std::vector<float>{3, 4});
    const RuntimeValue vector = evaluated(Op::DictVectorizer, second, {{"int64_vocabulary", Integers{30, 20, 10}}});
    CHECK(values_of(vector.tensor()) == std::vector<float>{4, 0, 3});
    CHECK(values_of(evaluated(Op::CastMap, second, {}).tensor()) == std::vector<float>{3, 4});
    const RuntimeValue small = RuntimeValue::map(longs({2}, {2, 0}), floats({2}, {5, 6}));
    const Attributes sparse = {
        {"map_form", std::string("SPARSE")}, {"max_map", int64_t{4}}, {"cast_to", std::string("TO_INT64")}};
    CHECK(elements_of<int64_t>(evaluated(Op::CastMap, small, sparse).tensor()) == Integers{6, 0, 5, 0});
}

}  // namespace
}  // namespace quoin::test
