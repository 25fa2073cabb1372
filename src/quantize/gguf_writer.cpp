#include "quantize/gguf_writer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>

#include "core/rounding.h"
#include "load/quoted.h"

namespace quoin {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint32_t kNumberType = 4;  // u32

// Appends little-endian numbers and text.
class ByteWriter {
public:
    template <class T>
    void number(T value) {
        const size_t begin = bytes_.size();
        bytes_.resize(begin + sizeof(T));
        std::memcpy(bytes_.data() + begin, &value, sizeof(T));
    }
    void bytes(std::span<const std::byte> text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
    void string(std::string_view text) {
        number<uint64_t>(text.size());
        bytes(std::as_bytes(std::span(text)));
    }
    void number_key(const NumberKey& key) {
        string(key.name);
        number(kNumberType);
        number(key.value);
    }
    void pad(uint64_t alignment) { bytes_.resize(align_up(bytes_.size(), alignment)); }
    std::vector<std::byte> take() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

void write_keys(const GgufFile& source, const std::vector<NumberKey>& keys, ByteWriter& out) {
    const auto& entries = source.metadata.entries();
    for (size_t i = 0; i < entries.size(); ++i) {
        const auto replaced = std::ranges::find(keys, entries[i].key, &NumberKey::name);
        if (replaced == keys.end()) {
            out.bytes(source.key_bytes[i]);
        } else {
            out.number_key(*replaced);
        }
    }
    for (const NumberKey& key : keys) {
        if (source.metadata.find(key.name) == nullptr) out.number_key(key);
    }
}

}  // namespace

Result<GgufLayout> lay_out_gguf(const GgufFile& source, const std::vector<DType>& dtypes,
                                const std::vector<NumberKey>& keys) {
    const auto added = std::ranges::count_if(
        keys, [&source](const NumberKey& key) { return source.metadata.find(key.name) == nullptr; });
    ByteWriter out;
    out.bytes(std::as_bytes(std::span("GGUF", 4)));
    out.number(kVersion);
    out.number<uint64_t>(source.tensors.size());
    out.number<uint64_t>(source.metadata.entries().size() + static_cast<size_t>(added));
    write_keys(source, keys, out);

    GgufLayout layout;
    uint64_t offset = 0;  // in the data section
    for (size_t i = 0; i < source.tensors.size(); ++i) {
        const GgufTensor& tensor = source.tensors[i];
        const std::optional<uint32_t> type = gguf_type(dtypes[i]);
        const std::optional<int64_t> elements = tensor.shape.element_count();
        const std::optional<size_t> bytes = elements ? byte_size(dtypes[i], *elements) : std::nullopt;
        if (!type || !bytes || *bytes > std::numeric_limits<int64_t>::max() - offset - source.alignment) {
            return error(StatusCode::Unsupported, "tensor ", quoted(tensor.name), ": ", to_string(tensor.shape),
                         " elements of ", dtype_name(dtypes[i]), " cannot be written");
        }
        out.string(tensor.name);
        out.number(static_cast<uint32_t>(tensor.shape.rank()));
        for (size_t axis = tensor.shape.rank(); axis-- > 0;) out.number(tensor.shape[axis]);
        out.number(*type);
        out.number(offset);
        layout.offsets.push_back(offset);
        offset += align_up(*bytes, source.alignment);
    }
    out.pad(source.alignment);
    layout.header = out.take();
    for (uint64_t& place : layout.offsets) place += layout.header.size();
    layout.file_bytes = layout.header.size() + offset;
    return layout;
}

}  // namespace quoin
