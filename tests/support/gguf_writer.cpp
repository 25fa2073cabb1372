#include "support/gguf_writer.h"

#include <algorithm>
#include <type_traits>

namespace quoin::test {
namespace {

template <class T>
constexpr uint32_t type_of() {
    if constexpr (std::is_same_v<T, bool>) return kBool;
    if constexpr (std::is_same_v<T, uint8_t>) return kU8;
    if constexpr (std::is_same_v<T, int8_t>) return kI8;
    if constexpr (std::is_same_v<T, uint16_t>) return kU16;
    if constexpr (std::is_same_v<T, int16_t>) return kI16;
    if constexpr (std::is_same_v<T, uint32_t>) return kU32;
    if constexpr (std::is_same_v<T, int32_t>) return kI32;
    if constexpr (std::is_same_v<T, float>) return kF32;
    if constexpr (std::is_same_v<T, uint64_t>) return kU64;
    if constexpr (std::is_same_v<T, int64_t>) return kI64;
    return kF64;
}

uint64_t data_size(uint32_t type, const std::vector<int64_t>& ne) {
    uint64_t elements = 1;
    for (const int64_t each : ne) elements *= static_cast<uint64_t>(each);
    switch (type) {
        case kGgmlF16:
        case kGgmlBF16: return elements * 2;
        case kGgmlQ4_0: return elements / 32 * 18;
        case kGgmlQ8_0: return elements / 32 * 34;
        default: return elements * 4;
    }
}

}  // namespace

Bytes& Bytes::put_raw(std::string_view text) {
    for (const char each : text) bytes_.push_back(static_cast<std::byte>(each));
    return *this;
}

Bytes& Bytes::put_string(std::string_view text) {
    return put<uint64_t>(text.size()).put_raw(text);
}

Bytes& Bytes::append(const std::vector<std::byte>& more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
}

void Bytes::pad(size_t alignment) {
    while (alignment != 0 && bytes_.size() % alignment != 0) bytes_.push_back(std::byte{0});
}

template <class T>
GgufWriter& GgufWriter::key(std::string name, T value) {
    return raw_key(std::move(name), type_of<T>(), Bytes().put(value).get());
}

template <class T>
GgufWriter& GgufWriter::array(std::string name, const std::vector<T>& values) {
    Bytes bytes;
    bytes.put(type_of<T>()).template put<uint64_t>(values.size());
    for (const T value : values) bytes.put(value);
    return raw_key(std::move(name), kArray, bytes.get());
}

#define QUOIN_INSTANTIATE(T)                                            \
    template GgufWriter& GgufWriter::key<T>(std::string name, T value); \
    template GgufWriter& GgufWriter::array<T>(std::string name, const std::vector<T>& values);
QUOIN_INSTANTIATE(bool)
QUOIN_INSTANTIATE(uint8_t)
QUOIN_INSTANTIATE(int8_t)
QUOIN_INSTANTIATE(uint16_t)
QUOIN_INSTANTIATE(int16_t)
QUOIN_INSTANTIATE(uint32_t)
QUOIN_INSTANTIATE(int32_t)
QUOIN_INSTANTIATE(float)
QUOIN_INSTANTIATE(uint64_t)
QUOIN_INSTANTIATE(int64_t)
QUOIN_INSTANTIATE(double)
#undef QUOIN_INSTANTIATE

GgufWriter& GgufWriter::key(std::string name, std::string_view value) {
    return raw_key(std::move(name), kString, Bytes().put_string(value).get());
}

GgufWriter& GgufWriter::strings(std::string name, const std::vector<std::string>& values) {
    Bytes bytes;
    bytes.put<uint32_t>(kString).put<uint64_t>(values.size());
    for (const std::string& value : values) bytes.put_string(value);
    return raw_key(std::move(name), kArray, bytes.get());
}

// A key that is there already is replaced in its place, so that a test can change one thing of a whole model.
GgufWriter& GgufWriter::raw_key(std::string name, uint32_t type, std::vector<std::byte> value) {
    const auto found = std::ranges::find(keys, name, &Key::name);
    if (found == keys.end()) {
        keys.push_back({std::move(name), type, std::move(value)});
    } else {
        found->type = type;
        found->value = std::move(value);
    }
    return *this;
}

GgufWriter& GgufWriter::tensor(std::string name, std::vector<int64_t> ne, uint32_t type) {
    const uint64_t bytes = data_size(type, ne);
    tensors.push_back({std::move(name), std::move(ne), type, bytes, {}, std::nullopt});
    return *this;
}

GgufWriter& GgufWriter::floats(std::string name, const std::vector<float>& values) {
    Bytes data;
    for (const float value : values) data.put(value);
    tensors.push_back({std::move(name), {static_cast<int64_t>(values.size())}, kGgmlF32, data.size(), data.get(), {}});
    return *this;
}

void GgufWriter::remove_key(std::string_view name) {
    std::erase_if(keys, [&](const Key& each) { return each.name == name; });
}

void GgufWriter::remove_tensor(std::string_view name) {
    std::erase_if(tensors, [&](const Tensor& each) { return each.name == name; });
}

GgufWriter::Tensor& GgufWriter::find_tensor(std::string_view name) {
    return *std::ranges::find(tensors, name, &Tensor::name);
}

std::vector<std::byte> GgufWriter::header() const {
    Bytes file;
    file.put_raw("GGUF").put(version).put(tensor_count.value_or(tensors.size())).put(key_count.value_or(keys.size()));
    for (const Key& each : keys) file.put_string(each.name).put(each.type).append(each.value);
    uint64_t offset = 0;
    for (const Tensor& each : tensors) {
        file.put_string(each.name).put(static_cast<uint32_t>(each.ne.size()));
        for (const int64_t dim : each.ne) file.put(dim);
        file.put(each.type).put(each.offset.value_or(offset));
        offset = (offset + each.data_bytes + alignment - 1) / alignment * alignment;
    }
    return file.get();
}

std::vector<std::byte> GgufWriter::write() const {
    Bytes file;
    file.append(header());
    for (const Tensor& each : tensors) {
        file.pad(alignment);
        file.append(each.data);
        // 0x2C00 and 0x2C002C00 are small positive numbers as f16, bf16 and f32; as quants they are as good as any.
        for (uint64_t byte = each.data.size(); byte < each.data_bytes; ++byte) {
            file.put<uint8_t>(byte % 2 == 0 ? 0x00 : 0x2C);
        }
    }
    return file.get();
}

uint64_t GgufWriter::file_bytes() const {
    uint64_t size = header().size();
    for (const Tensor& each : tensors) size = (size + alignment - 1) / alignment * alignment + each.data_bytes;
    return size;
}

GgufWriter make_model(const ModelShape& shape) {
    GgufWriter file;
    const std::string name = shape.architecture;
    const int64_t query = shape.heads * shape.head_size;
    const int64_t key_value = shape.kv_heads * shape.head_size;
    file.key("general.architecture", name.c_str())
        .key("general.alignment", uint32_t{32})
        .key(name + ".block_count", static_cast<uint32_t>(shape.layers))
        .key(name + ".context_length", uint32_t{128})
        .key(name + ".embedding_length", static_cast<uint32_t>(shape.width))
        .key(name + ".feed_forward_length", static_cast<uint32_t>(shape.inner))
        .key(name + ".attention.head_count", static_cast<uint32_t>(shape.heads))
        .key(name + ".attention.head_count_kv", static_cast<uint32_t>(shape.kv_heads))
        .key(name + ".attention.key_length", static_cast<uint32_t>(shape.head_size))
        .key(name + ".attention.layer_norm_rms_epsilon", 1e-5F)
        .key(name + ".rope.freq_base", shape.rotary_base);
    file.tensor("token_embd.weight", {shape.width, shape.vocabulary}, shape.type);
    file.tensor("output_norm.weight", {shape.width});
    if (!shape.tied) file.tensor("output.weight", {shape.width, shape.vocabulary}, shape.type);
    for (int64_t layer = 0; layer < shape.layers; ++layer) {
        const std::string block = "blk." + std::to_string(layer) + ".";
        file.tensor(block + "attn_norm.weight", {shape.width})
            .tensor(block + "attn_q.weight", {shape.width, query}, shape.type)
            .tensor(block + "attn_k.weight", {shape.width, key_value}, shape.type)
            .tensor(block + "attn_v.weight", {shape.width, key_value}, shape.type)
            .tensor(block + "attn_output.weight", {query, shape.width}, shape.type)
            .tensor(block + "ffn_norm.weight", {shape.width})
            .tensor(block + "ffn_gate.weight", {shape.width, shape.inner}, shape.type)
            .tensor(block + "ffn_up.weight", {shape.width, shape.inner}, shape.type)
            .tensor(block + "ffn_down.weight", {shape.inner, shape.width}, shape.type);
        if (name == "qwen2") {
            file.tensor(block + "attn_q.bias", {query})
                .tensor(block + "attn_k.bias", {key_value})
                .tensor(block + "attn_v.bias", {key_value});
        }
        if (name == "qwen3") {
            file.tensor(block + "attn_q_norm.weight", {shape.head_size})
                .tensor(block + "attn_k_norm.weight", {shape.head_size});
        }
    }
    return file;
}

GgufWriter smallest_model(std::string_view architecture) {
    GgufWriter file = make_model({.architecture = std::string(architecture),
                                  .width = 2,
                                  .heads = 1,
                                  .kv_heads = 1,
                                  .head_size = 2,
                                  .inner = 2,
                                  .vocabulary = 2});
    file.alignment = 8;
    file.key("general.alignment", uint32_t{8});
    return file;
}

GgufWriter vocabulary_file() {
    GgufWriter file;
    file.key("general.architecture", "gpt2")
        .key("u8", uint8_t{200})
        .key("i8", int8_t{-100})
        .key("u16", uint16_t{60000})
        .key("i16", int16_t{-30000})
        .key("u32", uint32_t{4000000000})
        .key("i32", int32_t{-2000000000})
        .key("u64", uint64_t{1} << 40)
        .key("i64", -(int64_t{1} << 40))
        .key("f32", 0.5F)
        .key("f64", -0.25)
        .key("bool", true)
        .array("bools", std::vector<bool>{true, false})
        .array("u8s", std::vector<uint8_t>{1, 200})
        .array("i8s", std::vector<int8_t>{-1, 0, 1})
        .array("u16s", std::vector<uint16_t>{60000})
        .array("i16s", std::vector<int16_t>{-30000})
        .array("u32s", std::vector<uint32_t>{4000000000})
        .array("i32s", std::vector<int32_t>{})
        .array("u64s", std::vector<uint64_t>{1, 2})
        .array("i64s", std::vector<int64_t>{-1})
        .array("f32s", std::vector<float>{0.5F})
        .array("f64s", std::vector<double>{0.25})
        .strings("tokenizer.ggml.tokens", {"a", "b", "", "c"});
    return file;
}

}  // namespace quoin::test
