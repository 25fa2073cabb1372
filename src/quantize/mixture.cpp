#include "quantize/mixture.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "load/quoted.h"

namespace quoin {
namespace {

constexpr std::string_view kMixtureOfExperts = "mxfp4_moe";

constexpr auto kFileTypes = std::to_array<FileType>({
    {"f32", 0, DType::F32},
    {"f16", 1, DType::F16},
    {"bf16", 32, DType::BF16},
    {"q4_0", 2, DType::Q4_0},
    {"q4_1", 3, DType::Q4_1},
    {"q5_0", 8, DType::Q5_0},
    {"q5_1", 9, DType::Q5_1},
    {"q8_0", 7, DType::Q8_0},
    {"q2_k", 10, DType::Q2_K},
    {"q2_k_s", 21, DType::Q2_K},
    {"q3_k_s", 11, DType::Q3_K},
    {"q3_k_m", 12, DType::Q3_K},
    {"q3_k_l", 13, DType::Q3_K},
    {"q4_k_s", 14, DType::Q4_K},
    {"q4_k_m", 15, DType::Q4_K},
    {"q5_k_s", 16, DType::Q5_K},
    {"q5_k_m", 17, DType::Q5_K},
    {"q6_k", 18, DType::Q6_K},
    {"iq4_nl", 25, DType::IQ4_NL},
    {"iq4_xs", 30, DType::IQ4_XS},
    {"tq1_0", 36, DType::TQ1_0},
    {"tq2_0", 37, DType::TQ2_0},
    {kMixtureOfExperts, 38, DType::MXFP4},  // experts in MXFP4, all else in Q8_0
    // For models without experts: every matrix but the output head, or the embedding that stands for it, which get
    // Q8_0. llama.cpp has no name for it.
    {"mxfp4", 38, DType::MXFP4},
});

struct Alias {
    std::string_view name;
    std::string_view meant;
};
constexpr auto kAliases = std::to_array<Alias>({{"q3_k", "q3_k_m"}, {"q4_k", "q4_k_m"}, {"q5_k", "q5_k_m"}});

// ---- Roles of tensors, by name

enum class Role : uint8_t {
    Other,
    Output,
    TokenEmbedding,
    AttentionValue,
    AttentionKey,
    AttentionOutput,
    FeedForwardDown
};

struct RoleName {
    std::string_view part;
    Role role;
};
// The first part that the name contains decides. Values may come joined with queries and keys, or compressed.
constexpr auto kRoleNames = std::to_array<RoleName>({
    {"attn_qkv.weight", Role::AttentionValue},
    {"attn_kv_b.weight", Role::AttentionValue},
    {"attn_v.weight", Role::AttentionValue},
    {"attn_k.weight", Role::AttentionKey},
    {"attn_q.weight", Role::Other},
    {"attn_output.weight", Role::AttentionOutput},
    {"ffn_up", Role::Other},
    {"ffn_gate", Role::Other},
    {"ffn_down", Role::FeedForwardDown},
});

Role role_of(std::string_view name) {
    if (name == "output.weight") return Role::Output;
    if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return Role::TokenEmbedding;
    const auto* const found =
        std::ranges::find_if(kRoleNames, [name](const RoleName& row) { return name.find(row.part) != name.npos; });
    return found == kRoleNames.end() ? Role::Other : found->role;
}

// Small, or easily harmed: positions, routers, convolutions and recurrences of a few values, relative biases,
// codebooks.
constexpr auto kKeptParts = std::to_array<std::string_view>({
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
});
constexpr auto kKeptNames = std::to_array<std::string_view>({"position_embd.weight", "token_types.weight"});

// Dimensions without leading ones: [1, 4096] is a vector.
size_t rank_of(const Shape& shape) {
    size_t leading = 0;
    while (leading < shape.rank() && shape[leading] == 1) ++leading;
    return shape.rank() - leading;
}

bool is_converted(const TensorFacts& tensor) {
    const std::string_view name = tensor.name;
    if (rank_of(tensor.shape) < 2 || !name.ends_with("weight")) return false;
    if (std::ranges::find(kKeptNames, name) != kKeptNames.end()) return false;
    return std::ranges::none_of(kKeptParts, [name](std::string_view part) { return name.find(part) != name.npos; });
}

// ---- Rules

// Conditions, all of which must hold.
enum Condition : uint32_t {
    kAlways = 0,
    kFalcon = 1U << 0,
    kNotFalcon = 1U << 1,
    kFirstSixteenth = 1U << 2,  // of the layers
    kFirstEighth = 1U << 3,     // of the layers
    kMoreBits = 1U << 4,        // the first and the last eighth, and every third between
    kFirstTwo = 1U << 5,        // tensors of this role
    kFirstFour = 1U << 6,       // tensors of this role
    kGroupedQueries = 1U << 7,  // four or more heads share a key
    kEightExperts = 1U << 8,    // exactly
    kNotEightExperts = 1U << 9,
};

struct Rule {
    std::string_view type;
    Role role;
    uint32_t conditions;
    DType dtype;
};
// The first that matches decides; without one the tensor gets the type's base.
constexpr auto kRules = std::to_array<Rule>({
    {"q2_k", Role::AttentionValue, kGroupedQueries, DType::Q4_K},
    {"q2_k", Role::AttentionValue, kAlways, DType::Q3_K},
    {"q2_k", Role::FeedForwardDown, kAlways, DType::Q3_K},
    {"q2_k", Role::AttentionOutput, kNotFalcon | kEightExperts, DType::Q5_K},
    {"q2_k", Role::AttentionOutput, kNotFalcon, DType::Q3_K},

    {"q2_k_s", Role::AttentionValue, kGroupedQueries, DType::Q4_K},
    {"q2_k_s", Role::FeedForwardDown, kFirstEighth, DType::Q4_K},

    {"q3_k_s", Role::AttentionOutput, kNotFalcon | kEightExperts, DType::Q5_K},

    {"q3_k_m", Role::AttentionValue, kFirstTwo, DType::Q5_K},
    {"q3_k_m", Role::AttentionValue, kAlways, DType::Q4_K},
    {"q3_k_m", Role::FeedForwardDown, kFirstSixteenth, DType::Q5_K},
    {"q3_k_m", Role::FeedForwardDown, kNotFalcon, DType::Q4_K},
    {"q3_k_m", Role::FeedForwardDown, kMoreBits, DType::Q4_K},
    {"q3_k_m", Role::AttentionOutput, kNotFalcon | kEightExperts, DType::Q5_K},
    {"q3_k_m", Role::AttentionOutput, kNotFalcon, DType::Q4_K},

    {"q3_k_l", Role::AttentionValue, kAlways, DType::Q5_K},
    {"q3_k_l", Role::FeedForwardDown, kFalcon, DType::Q4_K},
    {"q3_k_l", Role::FeedForwardDown, kAlways, DType::Q5_K},
    {"q3_k_l", Role::AttentionOutput, kFalcon, DType::Q4_K},
    {"q3_k_l", Role::AttentionOutput, kNotEightExperts, DType::Q5_K},

    {"q4_k_s", Role::AttentionValue, kFirstFour, DType::Q5_K},
    {"q4_k_s", Role::FeedForwardDown, kNotFalcon | kFirstEighth, DType::Q5_K},
    {"q4_k_s", Role::AttentionOutput, kNotFalcon | kEightExperts, DType::Q5_K},

    {"q4_k_m", Role::AttentionValue, kMoreBits, DType::Q6_K},
    {"q4_k_m", Role::FeedForwardDown, kFalcon | kFirstSixteenth, DType::Q6_K},
    {"q4_k_m", Role::FeedForwardDown, kFalcon | kMoreBits, DType::Q5_K},
    {"q4_k_m", Role::FeedForwardDown, kNotFalcon | kMoreBits, DType::Q6_K},
    {"q4_k_m", Role::AttentionOutput, kNotFalcon | kEightExperts, DType::Q5_K},

    {"q5_k_m", Role::AttentionValue, kMoreBits, DType::Q6_K},
    {"q5_k_m", Role::FeedForwardDown, kMoreBits, DType::Q6_K},

    {"iq4_nl", Role::AttentionValue, kGroupedQueries, DType::Q5_K},
    {"iq4_nl", Role::FeedForwardDown, kFirstEighth, DType::Q5_K},
    {"iq4_nl", Role::AttentionOutput, kNotFalcon | kEightExperts, DType::Q5_K},

    {"iq4_xs", Role::AttentionValue, kGroupedQueries, DType::Q5_K},
    {"iq4_xs", Role::FeedForwardDown, kFirstEighth, DType::Q5_K},
    {"iq4_xs", Role::AttentionOutput, kNotFalcon | kEightExperts, DType::Q5_K},

    {"tq1_0", Role::TokenEmbedding, kAlways, DType::Q4_K},
    {"tq2_0", Role::TokenEmbedding, kAlways, DType::Q4_K},
});

struct Fallback {
    DType wanted;
    DType used;
};
// Blocks of 256 to blocks of 32.
constexpr auto kFallbacks = std::to_array<Fallback>({
    {DType::Q2_K, DType::Q4_0},
    {DType::Q3_K, DType::Q4_0},
    {DType::Q4_K, DType::Q5_0},
    {DType::Q5_K, DType::Q5_1},
    {DType::Q6_K, DType::Q8_0},
    {DType::IQ4_XS, DType::IQ4_NL},
    {DType::TQ1_0, DType::Q4_0},
    {DType::TQ2_0, DType::Q4_0},
});

bool fits(DType dtype, int64_t row) {
    return row % dtype_info(dtype).block_elements == 0;
}

// ---- The model

struct ModelFacts {
    std::string_view architecture;
    int64_t layers = 0;
    int64_t experts = 0;
    int64_t heads_per_key = 1;
    bool is_70b = false;  // its values are few, and worth a bit more
    bool tied = false;    // the embedding is the output matrix, too
    int64_t values = 0;   // tensors of that role
};

// A number, or the first of a list with one for each layer.
Result<int64_t> first_integer(const Metadata& metadata, const std::string& key, int64_t fallback) {
    const MetadataValue* const found = metadata.find(key);
    if (found != nullptr) {
        const auto* const list = std::get_if<std::vector<int64_t>>(found);
        if (list != nullptr) return list->empty() ? fallback : list->front();
    }
    return metadata.integer(key, fallback);
}

Result<ModelFacts> facts_of(const Metadata& metadata, const std::vector<TensorFacts>& tensors) {
    ModelFacts facts;
    QUOIN_ASSIGN_OR_RETURN(facts.architecture, metadata.string("general.architecture", ""));
    const std::string prefix = std::string(facts.architecture) + ".";
    QUOIN_ASSIGN_OR_RETURN(facts.layers, metadata.integer(prefix + "block_count", 0));
    // Every layer has a tensor; rules multiply the number.
    if (facts.layers < 0 || facts.layers > static_cast<int64_t>(tensors.size())) {
        return error(StatusCode::InvalidModel, metadata.source_name(), ": key ", quoted(prefix + "block_count"),
                     " promises ", facts.layers, " layers, but the file has ", tensors.size(), " tensors");
    }
    QUOIN_ASSIGN_OR_RETURN(facts.experts, metadata.integer(prefix + "expert_count", 0));
    QUOIN_ASSIGN_OR_RETURN(const int64_t heads, first_integer(metadata, prefix + "attention.head_count", 0));
    QUOIN_ASSIGN_OR_RETURN(const int64_t keys, first_integer(metadata, prefix + "attention.head_count_kv", heads));
    facts.heads_per_key = keys > 0 ? heads / keys : 0;
    struct Large {
        std::string_view architecture;
        int64_t layers;
    };
    constexpr auto kLarge =
        std::to_array<Large>({{"llama", 80}, {"deci", 80}, {"olmo", 80}, {"qwen2", 80}, {"jais2", 68}});
    facts.is_70b = std::ranges::any_of(kLarge, [&facts](const Large& large) {
        return large.architecture == facts.architecture && large.layers == facts.layers;
    });
    if (facts.architecture == "llama" && heads == keys) facts.is_70b = false;  // the first 65B
    facts.tied =
        std::ranges::none_of(tensors, [](const TensorFacts& tensor) { return role_of(tensor.name) == Role::Output; });
    facts.values = std::ranges::count(tensors, Role::AttentionValue,
                                      [](const TensorFacts& tensor) { return role_of(tensor.name); });
    return facts;
}

// The number in "blk.17.ffn_down.weight", -1 without one.
int64_t layer_of(std::string_view name) {
    constexpr std::string_view kPrefix = "blk.";
    if (!name.starts_with(kPrefix)) return -1;
    int64_t layer = -1;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
    return layer;
}

bool wants_more_bits(int64_t index, int64_t count) {
    return index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2;
}

// The conditions that hold for tensor `index` of `count` in its role.
uint32_t conditions_of(const ModelFacts& model, int64_t index, int64_t count) {
    uint32_t held = model.architecture == "falcon" ? kFalcon : kNotFalcon;
    held |= model.experts == 8 ? kEightExperts : kNotEightExperts;
    if (model.heads_per_key >= 4) held |= kGroupedQueries;
    if (index < count / 16) held |= kFirstSixteenth;
    if (index < count / 8) held |= kFirstEighth;
    if (wants_more_bits(index, count)) held |= kMoreBits;
    if (index < 2) held |= kFirstTwo;
    if (index < 4) held |= kFirstFour;
    return held;
}

// How many tensors of a role came before.
struct Counters {
    int64_t values = 0;
    int64_t downs = 0;
};

DType by_rule(const FileType& type, const ModelFacts& model, const TensorFacts& tensor, Counters& counters) {
    Role role = role_of(tensor.name);
    if (role == Role::TokenEmbedding && model.tied) role = Role::Output;
    if (role == Role::Output) {
        if (type.base == DType::MXFP4 || type.base == DType::Q8_0) return DType::Q8_0;
        const bool plain = model.architecture == "falcon" || !fits(type.base, tensor.shape.back());
        return plain ? DType::Q8_0 : DType::Q6_K;
    }
    if (type.name == kMixtureOfExperts) return rank_of(tensor.shape) >= 3 ? DType::MXFP4 : DType::Q8_0;

    int64_t index = 0;
    int64_t count = 0;
    if (role == Role::AttentionValue) {
        index = counters.values++;
        count = model.values;
    } else if (role == Role::FeedForwardDown) {
        index = counters.downs++;
        // Experts are several tensors in a layer, shared ones among them.
        if (model.experts > 1) index = std::max<int64_t>(layer_of(tensor.name), 0);
        count = model.layers;
    }
    const uint32_t held = conditions_of(model, index, count);
    const auto* const rule = std::ranges::find_if(kRules, [&](const Rule& row) {
        return row.type == type.name && row.role == role && (row.conditions & held) == row.conditions;
    });
    DType dtype = rule == kRules.end() ? type.base : rule->dtype;
    if (role == Role::AttentionValue && model.is_70b && (dtype == DType::Q3_K || dtype == DType::Q4_K)) {
        dtype = DType::Q5_K;
    }
    const bool small_beside_experts = role == Role::AttentionValue || role == Role::AttentionKey;
    return small_beside_experts && model.experts == 8 ? DType::Q8_0 : dtype;
}

TensorChoice fitted(DType wanted, int64_t row) {
    if (fits(wanted, row)) return {wanted, DType::Undefined};
    const auto* const fallback = std::ranges::find(kFallbacks, wanted, &Fallback::wanted);
    const bool usable = fallback != kFallbacks.end() && fits(fallback->used, row);
    return {usable ? fallback->used : DType::F16, wanted};
}

}  // namespace

const FileType* find_file_type(std::string_view name) {
    std::string lower(name);
    for (char& letter : lower) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    const auto* const alias = std::ranges::find(kAliases, lower, &Alias::name);
    const std::string_view wanted = alias == kAliases.end() ? std::string_view(lower) : alias->meant;
    const auto* const found = std::ranges::find(kFileTypes, wanted, &FileType::name);
    return found == kFileTypes.end() ? nullptr : found;
}

std::string file_type_names() {
    std::string names;
    for (const FileType& type : kFileTypes) names += (names.empty() ? "" : ", ") + std::string(type.name);
    return names;
}

Result<std::vector<TensorChoice>> choose_types(const FileType& type, const Metadata& metadata,
                                               const std::vector<TensorFacts>& tensors) {
    QUOIN_ASSIGN_OR_RETURN(const ModelFacts model, facts_of(metadata, tensors));
    // Rules that count tensors count them layer by layer, whatever their order in the file.
    std::vector<size_t> order(tensors.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, {},
                      [&tensors](size_t i) { return std::tuple(layer_of(tensors[i].name), tensors[i].name); });
    std::vector<TensorChoice> choices(tensors.size());
    Counters counters;
    for (const size_t i : order) {
        const TensorFacts& tensor = tensors[i];
        if (!is_converted(tensor)) {
            choices[i].dtype = tensor.dtype;
        } else if (!is_block_format(type.base)) {
            choices[i].dtype = type.base;
        } else {
            choices[i] = fitted(by_rule(type, model, tensor, counters), tensor.shape.back());
        }
    }
    return choices;
}

}  // namespace quoin
