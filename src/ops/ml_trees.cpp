// Ensembles of decision trees (ai.onnx.ml): TreeEnsemble, TreeEnsembleClassifier, TreeEnsembleRegressor.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "ops/ml_common.h"

namespace quoin {
namespace {

using namespace ml;

enum class Mode : uint8_t { LessOrEqual, Less, GreaterOrEqual, Greater, Equal, NotEqual, Member, Leaf };
enum class Aggregate : uint8_t { Average, Sum, Min, Max };

struct Vote {
    size_t target;
    double weight;
};
struct TreeNode {
    Mode mode = Mode::Leaf;
    size_t feature = 0;
    double split = 0;
    bool missing_is_true = false;
    size_t if_true = 0;  // nodes
    size_t if_false = 0;
    std::vector<double> members;
    std::vector<Vote> votes;  // of a leaf
};
struct Forest {
    std::vector<TreeNode> nodes;
    std::vector<size_t> roots;
    size_t targets = 0;
    Aggregate aggregate = Aggregate::Sum;
    std::vector<double> base;  // for each target, or empty
};

bool goes_true(const TreeNode& node, double value) {
    if (std::isnan(value)) return node.missing_is_true;
    switch (node.mode) {
        case Mode::LessOrEqual: return value <= node.split;
        case Mode::Less: return value < node.split;
        case Mode::GreaterOrEqual: return value >= node.split;
        case Mode::Greater: return value > node.split;
        case Mode::Equal: return value == node.split;
        case Mode::NotEqual: return value != node.split;
        default: return std::ranges::find(node.members, value) != node.members.end();
    }
}

struct Score {
    double value = 0;
    bool voted = false;
};

// The scores of one row. Fails where the nodes of a tree lead in a circle.
Status score_row(const ComputeContext& context, const Forest& forest, std::span<const double> row,
                 std::span<Score> scores) {
    std::ranges::fill(scores, Score{});
    for (const size_t root : forest.roots) {
        size_t at = root;
        for (size_t steps = 0; forest.nodes[at].mode != Mode::Leaf; ++steps) {
            if (steps > forest.nodes.size()) return context.fail("the nodes of a tree lead in a circle");
            const TreeNode& node = forest.nodes[at];
            if (node.feature >= row.size()) return context.fail("there is no feature ", node.feature);
            at = goes_true(node, row[node.feature]) ? node.if_true : node.if_false;
        }
        for (const Vote& vote : forest.nodes[at].votes) {
            Score& score = scores[vote.target];
            switch (forest.aggregate) {
                case Aggregate::Min:
                    score.value = score.voted ? std::min(score.value, vote.weight) : vote.weight;
                    break;
                case Aggregate::Max:
                    score.value = score.voted ? std::max(score.value, vote.weight) : vote.weight;
                    break;
                default: score.value += vote.weight; break;
            }
            score.voted = true;
        }
    }
    for (size_t target = 0; target < scores.size(); ++target) {
        if (forest.aggregate == Aggregate::Average) scores[target].value /= static_cast<double>(forest.roots.size());
        if (target < forest.base.size()) scores[target].value += forest.base[target];
    }
    return {};
}

// ---- The form with one list of nodes, leaves among them

std::optional<Mode> mode_of(std::string_view name) {
    constexpr std::array<std::string_view, 8> kNames = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",    "BRANCH_GT",
                                                        "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"};
    const auto* const found = std::ranges::find(kNames, name);
    if (found == kNames.end()) return std::nullopt;
    return static_cast<Mode>(found - kNames.begin());
}

// `votes` is "class" or "target": the prefix of the attributes of the leaves.
Result<Forest> read_forest(const ComputeContext& context, const std::string& votes, size_t targets) {
    const Node& node = context.node();
    const auto trees = integers(node, "nodes_treeids");
    const auto ids = integers(node, "nodes_nodeids");
    const auto features = integers(node, "nodes_featureids");
    const auto modes = strings(node, "nodes_modes");
    const auto if_true = integers(node, "nodes_truenodeids");
    const auto if_false = integers(node, "nodes_falsenodeids");
    const auto missing = integers(node, "nodes_missing_value_tracks_true");
    const std::vector<double> splits = numbers_or_tensor(node, "nodes_values", "nodes_values_as_tensor");
    const size_t count = trees.size();
    for (const size_t size :
         {ids.size(), features.size(), modes.size(), if_true.size(), if_false.size(), splits.size()}) {
        if (size != count) return context.fail("the lists of nodes have different lengths, ", count, " and ", size);
    }
    if (!missing.empty() && missing.size() != count) return context.fail("the list of missing values is too short");
    std::map<std::pair<int64_t, int64_t>, size_t> places;
    for (size_t index = 0; index < count; ++index) {
        if (!places.emplace(std::pair(trees[index], ids[index]), index).second) {
            return context.fail("node ", ids[index], " of tree ", trees[index], " stands there twice");
        }
    }
    Forest forest;
    forest.targets = targets;
    forest.nodes.resize(count);
    std::set<int64_t> seen;
    for (size_t index = 0; index < count; ++index) {
        TreeNode& each = forest.nodes[index];
        if (seen.insert(trees[index]).second) forest.roots.push_back(index);
        const std::optional<Mode> mode = mode_of(modes[index]);
        if (!mode || *mode == Mode::Member) return context.fail("the mode '", modes[index], "' is not known");
        each.mode = *mode;
        if (*mode == Mode::Leaf) continue;
        if (features[index] < 0) return context.fail("a node has the feature ", features[index]);
        each.feature = static_cast<size_t>(features[index]);
        each.split = splits[index];
        each.missing_is_true = !missing.empty() && missing[index] != 0;
        const auto yes = places.find({trees[index], if_true[index]});
        const auto no = places.find({trees[index], if_false[index]});
        if (yes == places.end() || no == places.end()) {
            return context.fail("node ", ids[index], " of tree ", trees[index], " leads to one that is not there");
        }
        each.if_true = yes->second;
        each.if_false = no->second;
    }
    const auto vote_trees = integers(node, votes + "_treeids");
    const auto vote_nodes = integers(node, votes + "_nodeids");
    const auto vote_ids = integers(node, votes + "_ids");
    const std::vector<double> weights = numbers_or_tensor(node, votes + "_weights", votes + "_weights_as_tensor");
    if (vote_nodes.size() != vote_trees.size() || vote_ids.size() != vote_trees.size() ||
        weights.size() != vote_trees.size()) {
        return context.fail("the lists of votes have different lengths");
    }
    for (size_t index = 0; index < vote_trees.size(); ++index) {
        const auto place = places.find({vote_trees[index], vote_nodes[index]});
        if (place == places.end() || vote_ids[index] < 0 || vote_ids[index] >= static_cast<int64_t>(targets)) {
            return context.fail("vote ", index, " is of no node or for no target");
        }
        forest.nodes[place->second].votes.push_back({static_cast<size_t>(vote_ids[index]), weights[index]});
    }
    forest.base = numbers_or_tensor(node, "base_values", "base_values_as_tensor");
    return forest;
}

// ---- TreeEnsembleRegressor

Status infer_targets(InferContext& context, DType dtype) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    const int64_t targets = context.node().integer("n_targets", 1);
    if (targets < 1 || targets > (int64_t{1} << 31)) return context.fail("there are ", targets, " targets");
    context.set_output(0, dtype, std::vector<Dim>{row_dim(context.input(0)), {.size = targets}});
    return {};
}

// Scores of every row, transformed, to output 0.
Status compute_targets(ComputeContext& context, const Forest& forest, PostTransform post, DType dtype) {
    const Tensor& input = context.input(0);
    QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, input));
    QUOIN_ASSIGN_OR_RETURN(const Tensor output,
                           context.output(0, dtype, Shape{rows.count, static_cast<int64_t>(forest.targets)}));
    const std::vector<double> values = ml::values_of(input);
    std::vector<Score> scores(forest.targets);
    std::vector<double> results(forest.targets);
    for (int64_t row = 0; row < rows.count; ++row) {
        const auto features = static_cast<size_t>(rows.features);
        const auto number = static_cast<size_t>(row);
        QUOIN_RETURN_IF_ERROR(
            score_row(context, forest, std::span(values).subspan(number * features, features), scores));
        std::ranges::transform(scores, results.begin(), &Score::value);
        transform(post, results);
        visit_floats(dtype, [&]<class T>() {
            T* const to = output.as<T>().data() + number * forest.targets;
            for (size_t target = 0; target < results.size(); ++target) {
                to[target] = static_cast<T>(static_cast<Arithmetic<T>>(results[target]));
            }
        });
    }
    return {};
}

Status infer_regressor(InferContext& context) {
    return infer_targets(context, DType::F32);
}

Status compute_regressor(ComputeContext& context) {
    const auto targets = static_cast<size_t>(context.node().integer("n_targets", 1));
    QUOIN_ASSIGN_OR_RETURN(Forest forest, read_forest(context, "target", targets));
    QUOIN_ASSIGN_OR_RETURN(const PostTransform post, post_transform_of(context.node()));
    constexpr std::array<std::string_view, 4> kAggregates = {"AVERAGE", "SUM", "MIN", "MAX"};
    const auto* const found = std::ranges::find(kAggregates, context.node().string("aggregate_function", "SUM"));
    if (found == kAggregates.end()) return context.fail("the aggregate_function is not known");
    forest.aggregate = static_cast<Aggregate>(found - kAggregates.begin());
    return compute_targets(context, forest, post, DType::F32);
}

// ---- TreeEnsemble: inner nodes and leaves in lists of their own

Status infer_ensemble(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(context.expect_dtype(0, {DType::F32, DType::F64, DType::F16}));
    return infer_targets(context, context.input(0).dtype);
}

Result<std::vector<double>> tensor_attribute(const ComputeContext& context, std::string_view key) {
    const Attribute* const found = context.node().attribute(key);
    if (found == nullptr) return std::vector<double>();
    if (!std::holds_alternative<Tensor>(*found)) return context.fail("the attribute '", key, "' is no tensor");
    return ml::values_of(std::get<Tensor>(*found));
}

Result<Forest> read_ensemble(const ComputeContext& context) {
    const Node& node = context.node();
    const auto features = integers(node, "nodes_featureids");
    const auto if_true = integers(node, "nodes_truenodeids");
    const auto if_false = integers(node, "nodes_falsenodeids");
    const auto true_leaf = integers(node, "nodes_trueleafs");
    const auto false_leaf = integers(node, "nodes_falseleafs");
    const auto missing = integers(node, "nodes_missing_value_tracks_true");
    const auto leaf_targets = integers(node, "leaf_targetids");
    QUOIN_ASSIGN_OR_RETURN(const std::vector<double> modes, tensor_attribute(context, "nodes_modes"));
    QUOIN_ASSIGN_OR_RETURN(const std::vector<double> splits, tensor_attribute(context, "nodes_splits"));
    QUOIN_ASSIGN_OR_RETURN(const std::vector<double> weights, tensor_attribute(context, "leaf_weights"));
    QUOIN_ASSIGN_OR_RETURN(const std::vector<double> members, tensor_attribute(context, "membership_values"));
    const size_t count = features.size();
    for (const size_t size :
         {if_true.size(), if_false.size(), true_leaf.size(), false_leaf.size(), modes.size(), splits.size()}) {
        if (size != count) return context.fail("the lists of nodes have different lengths, ", count, " and ", size);
    }
    if (leaf_targets.size() != weights.size()) return context.fail("the lists of leaves have different lengths");
    if (!missing.empty() && missing.size() != count) return context.fail("the list of missing values is too short");
    Forest forest;
    forest.targets = static_cast<size_t>(node.integer("n_targets", 1));
    forest.nodes.resize(count + weights.size());  // the leaves stand behind the nodes
    // What a branch leads to; nullopt when that is not there.
    const auto place = [&](int64_t id, bool leaf) -> std::optional<size_t> {
        const auto limit = static_cast<int64_t>(leaf ? weights.size() : count);
        if (id < 0 || id >= limit) return std::nullopt;
        return static_cast<size_t>(id) + (leaf ? count : 0);
    };
    size_t member = 0;
    for (size_t index = 0; index < count; ++index) {
        TreeNode& each = forest.nodes[index];
        const auto yes = place(if_true[index], true_leaf[index] != 0);
        const auto no = place(if_false[index], false_leaf[index] != 0);
        const bool known = modes[index] >= 0 && modes[index] <= static_cast<double>(Mode::Member);
        if (!yes || !no || !known || features[index] < 0) return context.fail("node ", index, " cannot be right");
        each.mode = static_cast<Mode>(static_cast<uint8_t>(modes[index]));
        each.feature = static_cast<size_t>(features[index]);
        each.split = splits[index];
        each.missing_is_true = !missing.empty() && missing[index] != 0;
        each.if_true = *yes;
        each.if_false = *no;
        if (each.mode != Mode::Member) continue;
        for (; member < members.size() && !std::isnan(members[member]); ++member) {
            each.members.push_back(members[member]);
        }
        ++member;
    }
    for (size_t leaf = 0; leaf < weights.size(); ++leaf) {
        if (leaf_targets[leaf] < 0 || leaf_targets[leaf] >= static_cast<int64_t>(forest.targets)) {
            return context.fail("leaf ", leaf, " is for no target");
        }
        forest.nodes[count + leaf].votes.push_back({static_cast<size_t>(leaf_targets[leaf]), weights[leaf]});
    }
    for (const int64_t root : integers(node, "tree_roots")) {
        const auto at = place(root, false);
        if (!at) return context.fail("the root ", root, " is no node");
        forest.roots.push_back(*at);
    }
    return forest;
}

Status compute_ensemble(ComputeContext& context) {
    QUOIN_ASSIGN_OR_RETURN(Forest forest, read_ensemble(context));
    const int64_t aggregate = context.node().integer("aggregate_function", 1);
    if (aggregate < 0 || aggregate > 3) return context.fail("the aggregate_function is not known");
    forest.aggregate = static_cast<Aggregate>(aggregate);
    const int64_t post = context.node().integer("post_transform", 0);
    if (post < 0 || post > static_cast<int64_t>(PostTransform::Probit)) {
        return context.fail("the post_transform is not known");
    }
    return compute_targets(context, forest, static_cast<PostTransform>(post), context.input(0).dtype());
}

// ---- TreeEnsembleClassifier

Status infer_classifier(InferContext& context) {
    QUOIN_RETURN_IF_ERROR(expect_numbers(context, 0));
    const Labels labels = labels_of(context.node(), "classlabels_int64s");
    if (labels.count() == 0) return context.fail("there are no labels");
    const Dim rows = row_dim(context.input(0));
    context.set_output(0, labels.dtype(), std::vector<Dim>{rows});
    const size_t columns = labels.count();
    context.set_output(1, DType::F32, std::vector<Dim>{rows, {.size = static_cast<int64_t>(columns)}});
    return {};
}

Status compute_classifier(ComputeContext& context) {
    const Labels labels = labels_of(context.node(), "classlabels_int64s");
    if (labels.count() == 0) return context.fail("there are no labels");
    QUOIN_ASSIGN_OR_RETURN(const PostTransform post, post_transform_of(context.node()));
    QUOIN_ASSIGN_OR_RETURN(Forest forest, read_forest(context, "class", labels.count()));
    QUOIN_ASSIGN_OR_RETURN(const Rows rows, rows_of(context, context.input(0)));
    QUOIN_ASSIGN_OR_RETURN(const Tensor chosen, context.output(0, labels.dtype(), Shape{rows.count}));
    const auto columns = static_cast<int64_t>(labels.count());
    QUOIN_ASSIGN_OR_RETURN(const Tensor output, context.output(1, DType::F32, Shape{rows.count, columns}));
    // Two classes of which only one is voted for: its score decides alone.
    std::set<size_t> voted;
    bool positive = true;
    for (const TreeNode& node : forest.nodes) {
        for (const Vote& vote : node.votes) {
            voted.insert(vote.target);
            positive = positive && vote.weight >= 0;
        }
    }
    const bool binary = labels.count() == 2 && voted.size() == 1;
    if (binary && forest.base.size() == 1) forest.base.assign(2, forest.base[0]);
    const std::vector<double> values = ml::values_of(context.input(0));
    std::vector<Score> scores(labels.count());
    std::vector<double> results(labels.count());
    for (int64_t row = 0; row < rows.count; ++row) {
        const auto features = static_cast<size_t>(rows.features);
        const auto number = static_cast<size_t>(row);
        QUOIN_RETURN_IF_ERROR(
            score_row(context, forest, std::span(values).subspan(number * features, features), scores));
        size_t best = 0;
        if (binary) {
            // In the precision of the file: a sum of weights that is one half is no more than that.
            const auto score = static_cast<double>(static_cast<float>(scores[*voted.begin()].value));
            best = score > (positive ? 0.5 : 0) ? 1 : 0;
            if (post == PostTransform::Logistic) {
                results = {1 / (1 + std::exp(score)), 1 / (1 + std::exp(-score))};
            } else if (post == PostTransform::Probit) {
                results = {-score, score};
                transform(post, std::span(results).last(1));
                results[0] = 1 - results[1];
            } else {
                results = {positive ? 1 - score : -score, score};
            }
        } else {
            std::ranges::transform(scores, results.begin(), &Score::value);
            best = static_cast<size_t>(std::ranges::max_element(results) - results.begin());
            transform(post, results);
        }
        put_label(labels, best, chosen, number);
        for (size_t each = 0; each < results.size(); ++each) {
            output.as<float>()[number * results.size() + each] = static_cast<float>(results[each]);
        }
    }
    return {};
}

}  // namespace

extern const OpImplementation kTreeEnsembleOp{infer_ensemble, nullptr, compute_ensemble};
extern const OpImplementation kTreeEnsembleRegressorOp{infer_regressor, nullptr, compute_regressor};
extern const OpImplementation kTreeEnsembleClassifierOp{infer_classifier, nullptr, compute_classifier};

}  // namespace quoin
