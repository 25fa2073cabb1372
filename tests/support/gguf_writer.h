// Writes small GGUF files for tests, honest ones and deliberate lies. Independent of src/load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quoin::test {

// Little-endian bytes, appended.
class Bytes {
public:
    template <class T>
    Bytes& put(T value) {
        const auto* const first = reinterpret_cast<const std::byte*>(&value);
        bytes_.insert(bytes_.end(), first, first + sizeof(T));
        return *this;
    }
    Bytes& put_raw(std::string_view text);
    Bytes& put_string(std::string_view text);  // length, then letters
    Bytes& append(const std::vector<std::byte>& more);
    void pad(size_t alignment);
    size_t size() const { return bytes_.size(); }
    const std::vector<std::byte>& get() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

// The format's numbers of value types.
enum GgufType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };
// The format's numbers of some tensor types.
enum GgmlType : uint32_t { kGgmlF32 = 0, kGgmlF16 = 1, kGgmlQ4_0 = 2, kGgmlQ8_0 = 8, kGgmlI32 = 26, kGgmlBF16 = 30 };

// Everything written is taken from the public fields and may be changed before write() for a file that lies.
class GgufWriter {
public:
    struct Key {
        std::string name;
        uint32_t type;
        std::vector<std::byte> value;
    };
    struct Tensor {
        std::string name;
        std::vector<int64_t> ne;  // as in the file: fastest dimension first
        uint32_t type;
        uint64_t data_bytes;             // in the file
        std::vector<std::byte> data;     // empty: a repeated pattern of ordinary numbers
        std::optional<uint64_t> offset;  // instead of the true one
    };

    uint32_t version = 3;
    uint64_t alignment = 32;
    std::optional<uint64_t> key_count;     // instead of the true one
    std::optional<uint64_t> tensor_count;  // instead of the true one
    std::vector<Key> keys;
    std::vector<Tensor> tensors;

    // Any scalar; the type follows from T.
    template <class T>
    GgufWriter& key(std::string name, T value);
    GgufWriter& key(std::string name, std::string_view value);
    GgufWriter& key(std::string name, const char* value) { return key(std::move(name), std::string_view(value)); }
    GgufWriter& strings(std::string name, const std::vector<std::string>& values);
    template <class T>
    GgufWriter& array(std::string name, const std::vector<T>& values);
    GgufWriter& raw_key(std::string name, uint32_t type, std::vector<std::byte> value);
    // The size of the data follows from type and dimensions.
    GgufWriter& tensor(std::string name, std::vector<int64_t> ne, uint32_t type = kGgmlF32);
    GgufWriter& floats(std::string name, const std::vector<float>& values);
    void remove_key(std::string_view name);
    void remove_tensor(std::string_view name);
    Tensor& find_tensor(std::string_view name);

    // The last tensor ends the file: no padding behind it, so that every byte of the file is needed.
    std::vector<std::byte> write() const;
    // The same without the data, and the size of the whole file: for models too large to write.
    std::vector<std::byte> header() const;
    uint64_t file_bytes() const;
};

// What a model's keys and shapes follow from.
struct ModelShape {
    std::string architecture = "llama";  // or qwen2, qwen3, with the biases and norms that belong to it
    uint32_t type = kGgmlF32;            // of the matrices
    int64_t width = 64;
    int64_t layers = 1;
    int64_t heads = 4;
    int64_t kv_heads = 2;
    int64_t head_size = 16;
    int64_t inner = 96;
    int64_t vocabulary = 32;
    bool tied = true;
    float rotary_base = 10000;
};
GgufWriter make_model(const ModelShape& shape);

// The smallest model there can be, 1 KB: for tests of every byte.
GgufWriter smallest_model(std::string_view architecture);
// Keys of every type and no tensors.
GgufWriter vocabulary_file();

}  // namespace quoin::test
