#include "load/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "core/half.h"
#include "load/architectures.h"
#include "load/quoted.h"
#include "load/rotary.h"

namespace quoin {
namespace {

// A layer's numbers as the keys give them, before any tensor has confirmed them.
struct LayerSizes {
    int64_t heads = 0;
    int64_t kv_heads = 0;
    int64_t feed_forward = 0;
};

struct Sizes {
    int64_t embedding = 0;
    int64_t vocabulary = 0;
    int64_t context = 0;
    int64_t head = 0;    // elements of one head
    int64_t rotary = 0;  // elements of it that rotate
    double epsilon = 0;
    std::vector<LayerSizes> layers;
};

class DecoderBuilder {
public:
    DecoderBuilder(const Architecture& architecture, const GgufFile& file, const SourcePtr& source)
        : architecture_(architecture), metadata_(file.metadata), prefix_(architecture.name), source_(source) {
        for (const GgufTensor& tensor : file.tensors) tensors_.emplace(tensor.name, FileTensor{&tensor, kNoValue});
    }

    Result<Decoder> build();

private:
    struct FileTensor {
        const GgufTensor* tensor;
        ValueId value;  // kNoValue until the graph has it
    };
    struct Rotation {
        ValueId cosines = kNoValue;
        ValueId sines = kNoValue;
    };

    template <class... Parts>
    Status invalid(const Parts&... parts) const {
        return error(StatusCode::InvalidModel, source_->name(), ": ", parts...);
    }
    template <class... Parts>
    Status unsupported(const Parts&... parts) const {
        return error(StatusCode::Unsupported, source_->name(), ": ", parts...);
    }

    // ---- keys
    std::string key(std::string_view name) const { return prefix_ + "." + std::string(name); }
    Result<int64_t> size_key(std::string_view name, std::optional<int64_t> fallback) const;
    Result<std::vector<int64_t>> layer_key(std::string_view name, std::span<const int64_t> fallbacks) const;
    Status refuse_experts() const;
    Status read_sizes();
    Status read_head_sizes(const std::vector<int64_t>& heads);

    // ---- tensors
    bool has(const std::string& name) const { return tensors_.contains(name); }
    Result<const GgufTensor*> find(const std::string& name, const Shape& wanted) const;
    Result<ValueId> weight(const std::string& name, const Shape& wanted);
    Result<ValueId> vector(const std::string& name, int64_t elements);
    Result<std::vector<float>> read_floats(const std::string& name, int64_t elements) const;
    Status check_all_used() const;

    // ---- blocks
    Dim symbol(std::string_view name) { return {.size = -1, .symbol = graph_.add_symbol(name)}; }
    ValueId shape_constant(int64_t heads, int64_t head_size);
    void add_inputs();
    Result<ValueId> embedding();
    Result<Rotation> rotation();
    Result<ValueId> norm(ValueId input, const std::string& name, int64_t size);
    Result<ValueId> linear(ValueId input, const std::string& name, int64_t rows, int64_t columns,
                           bool needs_bias = false);
    Result<ValueId> rotated_heads(ValueId input, const std::string& name, int64_t heads, Rotation rotation);
    ValueId wanted_rows(ValueId input, const std::string& name);
    Result<ValueId> attention(ValueId input, size_t layer, Rotation rotation);
    Result<ValueId> feed_forward(ValueId input, size_t layer);
    Result<ValueId> head(ValueId input);

    const Architecture& architecture_;
    const Metadata& metadata_;
    const std::string prefix_;
    const SourcePtr& source_;
    std::map<std::string_view, FileTensor> tensors_;  // ordered: no name can make it slow
    std::map<std::pair<int64_t, int64_t>, ValueId> shapes_;
    Sizes sizes_;
    Graph graph_;
    ValueId token_ids_ = kNoValue;
    ValueId positions_ = kNoValue;
    ValueId token_sequences_ = kNoValue;
    ValueId page_table_ = kNoValue;
    ValueId output_rows_ = kNoValue;
    std::vector<std::pair<ValueId, ValueId>> caches_;  // keys, values
};

std::string layer_prefix(size_t layer) {
    return "blk." + std::to_string(layer) + ".";
}

// [1, 64] in a file is the vector of 64: ggml does not tell them apart.
std::span<const int64_t> without_leading_ones(const Shape& shape) {
    std::span<const int64_t> dims = shape.dims();
    while (dims.size() > 1 && dims.front() == 1) dims = dims.subspan(1);
    return dims;
}

// Weights may come in any floating-point or block format, never in integers.
bool is_weight_dtype(DType dtype) {
    return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16 || is_block_format(dtype);
}

// ---- keys ------------------------------------------------------------------------------------------------------

// A count of something: 1 to 2^31 - 1, so that sums and a few products cannot overflow.
Result<int64_t> DecoderBuilder::size_key(std::string_view name, std::optional<int64_t> fallback) const {
    const std::string full = key(name);
    QUOIN_ASSIGN_OR_RETURN(const int64_t found,
                           fallback ? metadata_.integer(full, *fallback) : metadata_.require_integer(full));
    if (found >= 1 && found <= INT32_MAX) return found;
    return invalid("key '", full, "' holds ", found, ", which is not possible");
}

// One number for all layers, or an array of one for each. Without the key the fallbacks.
Result<std::vector<int64_t>> DecoderBuilder::layer_key(std::string_view name,
                                                       std::span<const int64_t> fallbacks) const {
    const std::string full = key(name);
    const MetadataValue* const found = metadata_.find(full);
    const auto* const array = found == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(found);
    if (found == nullptr) return std::vector<int64_t>(fallbacks.begin(), fallbacks.end());
    if (array == nullptr) {
        QUOIN_ASSIGN_OR_RETURN(const int64_t same, size_key(name, std::nullopt));
        return std::vector<int64_t>(fallbacks.size(), same);
    }
    if (array->size() != fallbacks.size()) {
        return invalid("key '", full, "' has ", array->size(), " elements for ", fallbacks.size(), " layers");
    }
    const auto impossible = std::ranges::find_if(*array, [](int64_t each) { return each < 1 || each > INT32_MAX; });
    if (impossible == array->end()) return *array;
    return invalid("key '", full, "' holds ", *impossible, " for layer ", impossible - array->begin(),
                   ", which is not possible");
}

// Said first and by name, because such a file would otherwise fail with a missing ffn_gate.weight.
Status DecoderBuilder::refuse_experts() const {
    QUOIN_ASSIGN_OR_RETURN(const int64_t experts, metadata_.integer(key("expert_count"), 0));
    if (experts != 0) {
        return unsupported("key '", key("expert_count"), "' is ", experts,
                           "; models with experts are not supported yet");
    }
    for (const auto& [name, tensor] : tensors_) {
        if (name.find("_exps.") != std::string_view::npos || name.find(".ffn_gate_inp.") != std::string_view::npos) {
            return unsupported("tensor ", quoted(name), ": models with experts are not supported yet");
        }
    }
    return {};
}

Status DecoderBuilder::read_sizes() {
    QUOIN_ASSIGN_OR_RETURN(const int64_t layers, size_key("block_count", std::nullopt));
    // Every layer has several tensors, and they are in the file already.
    if (layers > static_cast<int64_t>(tensors_.size())) {
        return invalid("key '", key("block_count"), "' promises ", layers, " layers, but the file has only ",
                       tensors_.size(), " tensors");
    }
    QUOIN_ASSIGN_OR_RETURN(sizes_.embedding, size_key("embedding_length", std::nullopt));
    QUOIN_ASSIGN_OR_RETURN(sizes_.context, size_key("context_length", std::nullopt));
    QUOIN_ASSIGN_OR_RETURN(sizes_.epsilon, metadata_.require_number(key("attention.layer_norm_rms_epsilon")));
    if (!(sizes_.epsilon >= 0 && sizes_.epsilon < 1)) {
        return invalid("key '", key("attention.layer_norm_rms_epsilon"), "' holds ", sizes_.epsilon,
                       ", which must be from 0 to 1");
    }
    QUOIN_RETURN_IF_ERROR(metadata_.find(key("attention.head_count")) == nullptr
                              ? invalid("key '", key("attention.head_count"), "' is missing")
                              : Status());
    const std::vector<int64_t> none(static_cast<size_t>(layers), 0);
    QUOIN_ASSIGN_OR_RETURN(const std::vector<int64_t> heads, layer_key("attention.head_count", none));
    QUOIN_ASSIGN_OR_RETURN(const std::vector<int64_t> kv_heads, layer_key("attention.head_count_kv", heads));
    QUOIN_ASSIGN_OR_RETURN(const std::vector<int64_t> feed_forward, layer_key("feed_forward_length", none));
    for (size_t layer = 0; layer < heads.size(); ++layer) {
        if (heads[layer] % kv_heads[layer] != 0) {
            return invalid("layer ", layer, ": ", heads[layer], " attention heads cannot share ", kv_heads[layer],
                           " key/value heads evenly (key '", key("attention.head_count_kv"), "')");
        }
        sizes_.layers.push_back({heads[layer], kv_heads[layer], feed_forward[layer]});
    }
    return read_head_sizes(heads);
}

Status DecoderBuilder::read_head_sizes(const std::vector<int64_t>& heads) {
    if (metadata_.find(key("attention.key_length")) == nullptr && sizes_.embedding % heads.front() != 0) {
        return invalid("key '", key("attention.head_count"), "': ", heads.front(), " heads do not divide the ",
                       sizes_.embedding, " elements of an embedding, and '", key("attention.key_length"),
                       "' is missing");
    }
    QUOIN_ASSIGN_OR_RETURN(sizes_.head, size_key("attention.key_length", sizes_.embedding / heads.front()));
    QUOIN_ASSIGN_OR_RETURN(const int64_t value_size, size_key("attention.value_length", sizes_.head));
    if (value_size != sizes_.head) {
        return unsupported("values of ", value_size, " elements beside keys of ", sizes_.head, " (keys '",
                           key("attention.value_length"), "' and '", key("attention.key_length"), "')");
    }
    QUOIN_ASSIGN_OR_RETURN(sizes_.rotary, size_key("rope.dimension_count", sizes_.head));
    if (sizes_.rotary % 2 != 0 || sizes_.rotary > sizes_.head) {
        return invalid("key '", key("rope.dimension_count"), "': ", sizes_.rotary, " of the ", sizes_.head,
                       " elements of a head cannot rotate in pairs");
    }
    return {};
}

// ---- tensors ---------------------------------------------------------------------------------------------------

Result<const GgufTensor*> DecoderBuilder::find(const std::string& name, const Shape& wanted) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
        return invalid("tensor '", name, "' of shape ", to_string(wanted), " is missing");
    }
    const GgufTensor& tensor = *found->second.tensor;
    if (std::ranges::equal(without_leading_ones(tensor.shape), without_leading_ones(wanted))) return &tensor;
    return invalid("tensor '", name, "' has shape ", to_string(tensor.shape), " where ", to_string(wanted),
                   " is needed");
}

Result<ValueId> DecoderBuilder::weight(const std::string& name, const Shape& wanted) {
    QUOIN_ASSIGN_OR_RETURN(const GgufTensor* const tensor, find(name, wanted));
    if (!is_weight_dtype(tensor->dtype)) {
        return invalid("tensor '", name, "' holds ", dtype_name(tensor->dtype), ", which no weight does");
    }
    ValueId& value = tensors_.find(name)->second.value;
    if (value == kNoValue) {
        value = graph_.add_constant(name, Constant(tensor->dtype, wanted, source_, tensor->offset, tensor->bytes));
    }
    return value;
}

// A norm's or bias's elements; kernels read these as f32 only.
Result<ValueId> DecoderBuilder::vector(const std::string& name, int64_t elements) {
    QUOIN_ASSIGN_OR_RETURN(const GgufTensor* const tensor, find(name, {elements}));
    if (is_block_format(tensor->dtype)) {
        return invalid("tensor '", name, "' holds ", dtype_name(tensor->dtype), " where f32, f16 or bf16 is needed");
    }
    QUOIN_ASSIGN_OR_RETURN(const ValueId value, weight(name, {elements}));
    if (tensor->dtype == DType::F32) return value;
    return graph_.add_node(Op::Cast, name + ".f32", {value}, {{"to", static_cast<int64_t>(DType::F32)}});
}

Result<std::vector<float>> DecoderBuilder::read_floats(const std::string& name, int64_t elements) const {
    QUOIN_ASSIGN_OR_RETURN(const GgufTensor* const tensor, find(name, {elements}));
    if (tensor->dtype != DType::F32) {
        return invalid("tensor '", name, "' holds ", dtype_name(tensor->dtype), " where f32 is needed");
    }
    QUOIN_ASSIGN_OR_RETURN(const SourceBytes bytes, source_->read(tensor->offset, tensor->bytes));
    std::vector<float> floats(static_cast<size_t>(elements));
    std::memcpy(floats.data(), bytes.bytes.data(), bytes.bytes.size());
    return floats;
}

// A tensor without a place in the graph means that the model is another than we compute.
Status DecoderBuilder::check_all_used() const {
    for (const auto& [name, tensor] : tensors_) {
        // Early converters wrote the frequencies of every layer; they follow from the keys.
        const bool redundant = name == "rope_freqs.weight" || name.ends_with(".attn_rot_embd.weight");
        if (tensor.value == kNoValue && !redundant) {
            return unsupported("tensor ", quoted(name), " has no place in the architecture '", prefix_,
                               "' as this version computes it");
        }
    }
    return {};
}

// ---- blocks ----------------------------------------------------------------------------------------------------

Tensor owned_tensor(DType dtype, const Shape& shape, const auto& elements) {
    const auto owner = std::make_shared<std::remove_cvref_t<decltype(elements)>>(elements);
    auto* const data = reinterpret_cast<std::byte*>(owner->data());
    return {dtype, shape, data, owner->size() * sizeof(elements[0]), owner};
}

// Zero copies the input's dimension; a head size of 0 stands for heads side by side in one dimension.
ValueId DecoderBuilder::shape_constant(int64_t heads, int64_t head_size) {
    const auto [place, added] = shapes_.try_emplace({heads, head_size}, kNoValue);
    if (added) {
        std::vector<int64_t> dims = {0, 0, heads};
        if (head_size != 0) dims.push_back(head_size);
        const Shape shape{static_cast<int64_t>(dims.size())};
        place->second =
            graph_.add_constant("shape" + to_string(Shape(dims)), Constant(owned_tensor(DType::I64, shape, dims)));
    }
    return place->second;
}

void DecoderBuilder::add_inputs() {
    const Dim one{.size = 1};
    const Dim tokens = symbol("tokens");
    const Dim pages = symbol("pages");
    const Dim page_tokens{.size = kCachePageTokens};
    const Dim head_size{.size = sizes_.head};
    token_ids_ = graph_.add_input("token_ids", DType::I32, {one, tokens});
    positions_ = graph_.add_input("positions", DType::I32, {one, tokens});
    token_sequences_ = graph_.add_input("token_sequences", DType::I32, {tokens});
    page_table_ = graph_.add_input("page_table", DType::I32, {symbol("sequences"), symbol("pages_per_sequence")});
    output_rows_ = graph_.add_input("output_rows", DType::I32, {symbol("rows")});
    for (size_t layer = 0; layer < sizes_.layers.size(); ++layer) {
        const Dim heads{.size = sizes_.layers[layer].kv_heads};
        const std::string number = std::to_string(layer);
        const ValueId keys =
            graph_.add_input("key_cache." + number, DType::Undefined, {pages, heads, head_size, page_tokens});
        const ValueId values =
            graph_.add_input("value_cache." + number, DType::Undefined, {pages, heads, page_tokens, head_size});
        caches_.emplace_back(keys, values);
    }
}

Result<ValueId> DecoderBuilder::embedding() {
    const auto found = tensors_.find("token_embd.weight");
    if (found == tensors_.end()) return invalid("tensor 'token_embd.weight' is missing");
    sizes_.vocabulary = found->second.tensor->shape[0];  // any wrong rank fails in weight()
    if (sizes_.vocabulary > INT32_MAX) return unsupported("a vocabulary of ", sizes_.vocabulary, " tokens");
    QUOIN_ASSIGN_OR_RETURN(const ValueId table, weight("token_embd.weight", {sizes_.vocabulary, sizes_.embedding}));
    // A tokenizer that knows more tokens than the table would send ids past its end.
    QUOIN_ASSIGN_OR_RETURN(const auto* const tokens, metadata_.strings("tokenizer.ggml.tokens"));
    if (tokens != nullptr && static_cast<int64_t>(tokens->size()) > sizes_.vocabulary) {
        return invalid("key 'tokenizer.ggml.tokens' has ", tokens->size(), " tokens, but 'token_embd.weight' only ",
                       sizes_.vocabulary, " rows");
    }
    return graph_.add_node(Op::Embedding, "token_embd", {table, token_ids_});
}

Result<DecoderBuilder::Rotation> DecoderBuilder::rotation() {
    // Before anything is sized by it: the head size is true because a tensor has it.
    const int64_t rows = sizes_.layers.front().heads * sizes_.head;
    QUOIN_RETURN_IF_ERROR(find("blk.0.attn_q.weight", {rows, sizes_.embedding}).status());
    std::vector<float> factors;
    if (has("rope_freqs.weight")) {
        QUOIN_ASSIGN_OR_RETURN(factors, read_floats("rope_freqs.weight", sizes_.rotary / 2));
        // Real ones lie between 1 and a few hundred; the limits keep every frequency an ordinary number.
        const auto bad = std::ranges::find_if_not(factors, [](float each) { return each >= 1e-6F && each <= 1e6F; });
        if (bad != factors.end()) return invalid("tensor 'rope_freqs.weight' holds ", *bad, ", which divides nothing");
    }
    QUOIN_ASSIGN_OR_RETURN(const Rotary rotary,
                           read_rotary(metadata_, prefix_, sizes_.rotary, sizes_.context, factors));
    const ValueId frequencies = graph_.add_constant(
        "inverse_frequencies", Constant(owned_tensor(DType::F32, {sizes_.rotary / 2}, rotary.inverse_frequencies)));
    const ValueId cosines =
        graph_.add_node(Op::RotaryCache, "rotary_cache", {positions_, frequencies}, {{"scale", rotary.magnitude}});
    return Rotation{cosines, graph_.nodes().back().outputs[1]};
}

Result<ValueId> DecoderBuilder::norm(ValueId input, const std::string& name, int64_t size) {
    QUOIN_ASSIGN_OR_RETURN(const ValueId scale, vector(name + ".weight", size));
    return graph_.add_node(Op::RMSNormalization, name, {input, scale},
                           {{"axis", int64_t{-1}}, {"epsilon", sizes_.epsilon}});
}

Result<ValueId> DecoderBuilder::linear(ValueId input, const std::string& name, int64_t rows, int64_t columns,
                                       bool needs_bias) {
    std::vector<ValueId> inputs = {input};
    QUOIN_ASSIGN_OR_RETURN(inputs.emplace_back(), weight(name + ".weight", {rows, columns}));
    if (needs_bias || has(name + ".bias")) {
        QUOIN_ASSIGN_OR_RETURN(inputs.emplace_back(), vector(name + ".bias", rows));
    }
    return graph_.add_node(Op::Linear, name, std::move(inputs));
}

// Query or key: normalised by head where the architecture does so, then rotated.
Result<ValueId> DecoderBuilder::rotated_heads(ValueId input, const std::string& name, int64_t heads,
                                              Rotation rotation) {
    if (architecture_.query_key_norms) {
        input = graph_.add_node(Op::Reshape, name + ".heads", {input, shape_constant(heads, sizes_.head)});
        QUOIN_ASSIGN_OR_RETURN(input, norm(input, name + "_norm", sizes_.head));
        input = graph_.add_node(Op::Reshape, name + ".joined", {input, shape_constant(heads * sizes_.head, 0)});
    }
    const int64_t interleaved = architecture_.rotary_pairs == RotaryPairs::Interleaved ? 1 : 0;
    return graph_.add_node(
        Op::RotaryEmbedding, name + ".rotated", {input, rotation.cosines, rotation.sines},
        {{"num_heads", heads}, {"interleaved", interleaved}, {"rotary_embedding_dim", sizes_.rotary}});
}

// The rows of the tokens whose logits are wanted.
ValueId DecoderBuilder::wanted_rows(ValueId input, const std::string& name) {
    return graph_.add_node(Op::Gather, "output_rows." + name, {input, output_rows_}, {{"axis", int64_t{1}}});
}

Result<ValueId> DecoderBuilder::attention(ValueId input, size_t layer, Rotation rotation) {
    const std::string prefix = layer_prefix(layer);
    const int64_t heads = sizes_.layers[layer].heads;
    const int64_t kv_heads = sizes_.layers[layer].kv_heads;
    const bool biases = architecture_.needs_qkv_biases;
    const int64_t width = sizes_.embedding;
    QUOIN_ASSIGN_OR_RETURN(const ValueId x, norm(input, prefix + "attn_norm", width));
    QUOIN_ASSIGN_OR_RETURN(ValueId query, linear(x, prefix + "attn_q", heads * sizes_.head, width, biases));
    QUOIN_ASSIGN_OR_RETURN(ValueId key, linear(x, prefix + "attn_k", kv_heads * sizes_.head, width, biases));
    QUOIN_ASSIGN_OR_RETURN(const ValueId value, linear(x, prefix + "attn_v", kv_heads * sizes_.head, width, biases));
    QUOIN_ASSIGN_OR_RETURN(query, rotated_heads(query, prefix + "attn_q", heads, rotation));
    QUOIN_ASSIGN_OR_RETURN(key, rotated_heads(key, prefix + "attn_k", kv_heads, rotation));

    const auto update = [&](ValueId cache, ValueId fresh, const std::string& kind) {
        return graph_.add_node(Op::CacheUpdate, prefix + kind,
                               {cache, fresh, positions_, token_sequences_, page_table_},
                               {{"kind", kind}, {"kv_num_heads", kv_heads}});
    };
    const ValueId keys = update(caches_[layer].first, key, "keys");
    const ValueId values = update(caches_[layer].second, value, "values");
    ValueId mixed = graph_.add_node(Op::CachedAttention, prefix + "attention",
                                    {query, keys, values, positions_, token_sequences_, page_table_},
                                    {{"num_heads", heads},
                                     {"kv_num_heads", kv_heads},
                                     {"scale", 1 / std::sqrt(static_cast<double>(sizes_.head))},
                                     {"softcap", 0.0},
                                     {"window", int64_t{0}}});
    if (layer + 1 == sizes_.layers.size()) {
        // Other tokens are behind this point of no use to anyone.
        mixed = wanted_rows(mixed, "attention");
        input = wanted_rows(input, "hidden");
    }
    QUOIN_ASSIGN_OR_RETURN(const ValueId output, linear(mixed, prefix + "attn_output", width, heads * sizes_.head));
    return graph_.add_node(Op::Add, prefix + "attn_residual", {input, output});
}

Result<ValueId> DecoderBuilder::feed_forward(ValueId input, size_t layer) {
    const std::string prefix = layer_prefix(layer);
    const int64_t width = sizes_.embedding;
    int64_t inner = sizes_.layers[layer].feed_forward;
    if (inner == 0) {  // no key: the tensor knows
        const auto gate = tensors_.find(prefix + "ffn_gate.weight");
        if (gate == tensors_.end()) return invalid("tensor '", prefix, "ffn_gate.weight' is missing");
        inner = gate->second.tensor->shape[0];
    }
    QUOIN_ASSIGN_OR_RETURN(const ValueId x, norm(input, prefix + "ffn_norm", width));
    QUOIN_ASSIGN_OR_RETURN(const ValueId gate, linear(x, prefix + "ffn_gate", inner, width));
    QUOIN_ASSIGN_OR_RETURN(const ValueId up, linear(x, prefix + "ffn_up", inner, width));
    const ValueId active = graph_.add_node(Op::Swish, prefix + "ffn_swish", {gate}, {{"alpha", 1.0}});
    const ValueId gated = graph_.add_node(Op::Mul, prefix + "ffn_gated", {active, up});
    QUOIN_ASSIGN_OR_RETURN(const ValueId output, linear(gated, prefix + "ffn_down", width, inner));
    return graph_.add_node(Op::Add, prefix + "ffn_residual", {input, output});
}

Result<ValueId> DecoderBuilder::head(ValueId input) {
    QUOIN_ASSIGN_OR_RETURN(const ValueId x, norm(input, "output_norm", sizes_.embedding));
    // Models with tied weights use the embedding table a second time.
    const std::string name = has("output.weight") ? "output" : "token_embd";
    std::vector<ValueId> inputs = {x};
    QUOIN_ASSIGN_OR_RETURN(inputs.emplace_back(), weight(name + ".weight", {sizes_.vocabulary, sizes_.embedding}));
    if (has("output.bias")) {
        QUOIN_ASSIGN_OR_RETURN(inputs.emplace_back(), vector("output.bias", sizes_.vocabulary));
    }
    return graph_.add_node(Op::Linear, "logits", std::move(inputs));
}

Result<Decoder> DecoderBuilder::build() {
    QUOIN_RETURN_IF_ERROR(refuse_experts());
    QUOIN_RETURN_IF_ERROR(read_sizes());
    add_inputs();
    QUOIN_ASSIGN_OR_RETURN(ValueId x, embedding());
    QUOIN_ASSIGN_OR_RETURN(const Rotation rotated, rotation());
    for (size_t layer = 0; layer < sizes_.layers.size(); ++layer) {
        QUOIN_ASSIGN_OR_RETURN(x, attention(x, layer, rotated));
        QUOIN_ASSIGN_OR_RETURN(x, feed_forward(x, layer));
    }
    QUOIN_ASSIGN_OR_RETURN(const ValueId logits, head(x));
    graph_.add_output(logits);
    QUOIN_RETURN_IF_ERROR(check_all_used());

    DecoderInfo info{prefix_, sizes_.context, sizes_.vocabulary, sizes_.embedding, {}};
    for (const LayerSizes& layer : sizes_.layers) info.layers.push_back({layer.kv_heads, sizes_.head});
    return Decoder{std::move(graph_), std::move(info)};
}

}  // namespace

Result<Decoder> build_decoder(const GgufFile& file, const SourcePtr& source) {
    QUOIN_ASSIGN_OR_RETURN(const std::string_view name, file.metadata.require_string("general.architecture"));
    const Architecture* const architecture = find_architecture(name);
    if (architecture == nullptr) {
        return error(StatusCode::Unsupported, source->name(), ": architecture ", quoted(name),
                     " is not known; known are ", known_architectures());
    }
    return DecoderBuilder(*architecture, file, source).build();
}

}  // namespace quoin
