#include "load/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/byte_reader.h"
#include "load/quoted.h"

namespace quoin {
namespace {

constexpr uint64_t kMagicBytes = 4;
constexpr uint64_t kDefaultAlignment = 32;
// Least bytes of an entry: a key is length, one letter, type, one byte of value; a tensor is length, one letter, rank,
// one dimension, type, offset. Counts are held against them before anything is believed.
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

// Limits no honest file comes near: the largest vocabularies make headers of some 20 MB, the longest models have a
// few ten thousand tensors. The format itself limits keys to 65,535 bytes.
constexpr uint64_t kMostHeaderBytes = uint64_t{256} << 20;
constexpr uint64_t kMostKeys = uint64_t{1} << 16;
constexpr uint64_t kMostTensors = uint64_t{1} << 18;
constexpr uint64_t kMostNameBytes = 65535;
constexpr uint64_t kLeastAlignment = 8;  // elements of every dtype stay aligned in a mapped file
constexpr uint64_t kMostAlignment = uint64_t{1} << 20;
constexpr uint32_t kMostDimensions = 4;

// Enough for the header of a small model in one read.
constexpr uint64_t kFirstWindow = uint64_t{64} << 10;

enum class ValueType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

// The plain types; of block formats the number is 100 less than that of the dtype.
struct PlainType {
    uint32_t type;
    DType dtype;
};
constexpr auto kPlainTypes = std::to_array<PlainType>({
    {0, DType::F32},
    {1, DType::F16},
    {24, DType::I8},
    {25, DType::I16},
    {26, DType::I32},
    {27, DType::I64},
    {28, DType::F64},
    {30, DType::BF16},
});
constexpr uint32_t kFirstBlockFormat = 100;
// From here on dtypes are formats of our own, which no file has.
constexpr uint32_t kEndOfBlockFormats = 200;

std::optional<DType> dtype_of_ggml(uint32_t type) {
    const auto* const plain = std::ranges::find(kPlainTypes, type, &PlainType::type);
    if (plain != kPlainTypes.end()) return plain->dtype;
    if (type >= kEndOfBlockFormats - kFirstBlockFormat) return std::nullopt;
    return dtype_from_number(kFirstBlockFormat + type);
}

// One pass over the header. When the bytes at hand end before the header does, wanted_end() says how many are needed.
class HeaderParser {
public:
    HeaderParser(const Source& source, const SourceBytes& window)
        : source_(source), window_(window), reader_(window.bytes) {}

    Result<GgufFile> parse();
    // 0 unless parse() failed only because the window was too small.
    uint64_t wanted_end() const { return wanted_end_; }

private:
    template <class... Parts>
    Status invalid(const Parts&... parts) const {
        return error(StatusCode::InvalidModel, source_.name(), ": ", parts...);
    }
    template <class... Parts>
    Status unsupported(const Parts&... parts) const {
        return error(StatusCode::Unsupported, source_.name(), ": ", parts...);
    }
    // "key 'x': " while one is read, for messages.
    std::string place() const { return kind_.empty() ? "" : std::string(kind_) + " " + quoted(name_) + ": "; }

    uint64_t file_bytes_left() const { return source_.size() - reader_.position(); }
    Status need(uint64_t bytes, std::string_view what);
    template <class T>
    Result<T> number(std::string_view what);
    Result<std::string_view> string(std::string_view what);
    Result<std::string_view> name(std::string_view kind);

    Status check_version();
    Status read_keys(uint64_t count, GgufFile& file);
    template <class T>
    Result<MetadataValue> scalar();
    template <class T, class Stored>
    Result<MetadataValue> array_of(uint64_t count);
    Result<MetadataValue> bool_value();
    Result<MetadataValue> value(ValueType type);
    Result<MetadataValue> array();
    Result<uint64_t> alignment(const Metadata& metadata) const;
    Result<GgufTensor> tensor(uint64_t alignment);
    Status place_tensors(uint64_t alignment, std::vector<GgufTensor>& tensors) const;
    Status check_overlaps(const std::vector<GgufTensor>& tensors) const;
    Status check_names(const std::vector<GgufTensor>& tensors) const;

    const Source& source_;
    const SourceBytes& window_;
    ByteReader reader_;
    uint64_t wanted_end_ = 0;
    std::string_view kind_;  // "key" or "tensor" while one is read
    std::string_view name_;
};

Status HeaderParser::need(uint64_t bytes, std::string_view what) {
    if (bytes > file_bytes_left()) {
        return invalid(place(), what, " of ", bytes, " bytes at offset ", reader_.position(),
                       " reaches past the end of the file (", source_.size(), " bytes); is the file complete?");
    }
    if (bytes > kMostHeaderBytes || reader_.position() > kMostHeaderBytes - bytes) {
        return unsupported(place(), what, " reaches past the first ", kMostHeaderBytes,
                           " bytes of the file, which no header does");
    }
    if (bytes <= reader_.remaining()) return {};
    wanted_end_ = reader_.position() + bytes;
    return invalid(place(), what, " lies behind the window");
}

template <class T>
Result<T> HeaderParser::number(std::string_view what) {
    QUOIN_RETURN_IF_ERROR(need(sizeof(T), what));
    return *reader_.read<T>();
}

Result<std::string_view> HeaderParser::string(std::string_view what) {
    QUOIN_ASSIGN_OR_RETURN(const uint64_t length, number<uint64_t>(what));
    QUOIN_RETURN_IF_ERROR(need(length, what));
    return *reader_.read_string(length);
}

Result<std::string_view> HeaderParser::name(std::string_view kind) {
    kind_ = {};
    QUOIN_ASSIGN_OR_RETURN(const uint64_t length, number<uint64_t>(kind));
    if (length == 0) return invalid("a ", kind, " without a name at offset ", reader_.position());
    QUOIN_RETURN_IF_ERROR(need(length, kind));
    if (length > kMostNameBytes) {
        return invalid("a ", kind, " whose name has ", length, " bytes at offset ", reader_.position(), "; at most ",
                       kMostNameBytes, " are allowed");
    }
    kind_ = kind;
    name_ = *reader_.read_string(length);
    return name_;
}

Status HeaderParser::check_version() {
    if (source_.size() < kMagicBytes || window_.bytes.size() < kMagicBytes ||
        *reader_.read_string(kMagicBytes) != "GGUF") {
        return invalid("not a GGUF file");
    }
    QUOIN_ASSIGN_OR_RETURN(const uint32_t version, number<uint32_t>("version number"));
    if (version == 2 || version == 3) return {};
    if (version == 0) return invalid("GGUF version 0 does not exist");
    // A small number in the upper half is a small number of the other byte order.
    if ((version & 0xFFFFU) == 0) {
        return unsupported("a big-endian GGUF; this library reads little-endian files only, convert it first");
    }
    if (version == 1) {
        return unsupported("GGUF version 1, which was replaced in 2023; convert the model to version 3");
    }
    return unsupported("GGUF version ", version, "; versions 2 and 3 are known");
}

template <class T>
Result<MetadataValue> HeaderParser::scalar() {
    QUOIN_ASSIGN_OR_RETURN(const T found, number<T>("value"));
    if constexpr (std::is_floating_point_v<T>) {
        return MetadataValue(static_cast<double>(found));
    } else if constexpr (std::is_signed_v<T>) {
        return MetadataValue(static_cast<int64_t>(found));
    } else {
        return MetadataValue(static_cast<uint64_t>(found));
    }
}

Result<MetadataValue> HeaderParser::bool_value() {
    QUOIN_ASSIGN_OR_RETURN(const uint8_t found, number<uint8_t>("value"));
    if (found > 1) return invalid(place(), "a bool holds ", static_cast<int>(found));
    return MetadataValue(found == 1);
}

// The caller has checked that `count` elements are there, so the reservation is backed by bytes of the file.
template <class T, class Stored>
Result<MetadataValue> HeaderParser::array_of(uint64_t count) {
    std::vector<Stored> items;
    items.reserve(count);
    for (uint64_t index = 0; index < count; ++index) {
        const T item = *reader_.read<T>();
        if constexpr (std::is_same_v<T, uint64_t>) {
            if (item > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
                return invalid(place(), "element ", index, " of the array is too large");
            }
        }
        if constexpr (std::is_same_v<Stored, bool>) {
            if (item > 1) return invalid(place(), "element ", index, " of the array of bools holds ", +item);
            items.push_back(item == 1);
        } else {
            items.push_back(static_cast<Stored>(item));
        }
    }
    return MetadataValue(std::move(items));
}

Result<MetadataValue> HeaderParser::array() {
    QUOIN_ASSIGN_OR_RETURN(const uint32_t type, number<uint32_t>("element type"));
    QUOIN_ASSIGN_OR_RETURN(const uint64_t count, number<uint64_t>("array length"));
    uint64_t least = 0;  // bytes of one element
    switch (static_cast<ValueType>(type)) {
        case ValueType::U8:
        case ValueType::I8:
        case ValueType::Bool: least = 1; break;
        case ValueType::U16:
        case ValueType::I16: least = 2; break;
        case ValueType::U32:
        case ValueType::I32:
        case ValueType::F32: least = 4; break;
        case ValueType::U64:
        case ValueType::I64:
        case ValueType::F64:
        case ValueType::String: least = 8; break;
        case ValueType::Array: return unsupported(place(), "arrays of arrays are not supported");
    }
    if (least == 0) return invalid(place(), "unknown array element type ", type);
    if (count > file_bytes_left() / least) {
        return invalid(place(), "an array of ", count, " elements cannot lie in the remaining ", file_bytes_left(),
                       " bytes of the file");
    }
    QUOIN_RETURN_IF_ERROR(need(count * least, "array"));
    switch (static_cast<ValueType>(type)) {
        case ValueType::U8: return array_of<uint8_t, int64_t>(count);
        case ValueType::I8: return array_of<int8_t, int64_t>(count);
        case ValueType::U16: return array_of<uint16_t, int64_t>(count);
        case ValueType::I16: return array_of<int16_t, int64_t>(count);
        case ValueType::U32: return array_of<uint32_t, int64_t>(count);
        case ValueType::I32: return array_of<int32_t, int64_t>(count);
        case ValueType::U64: return array_of<uint64_t, int64_t>(count);
        case ValueType::I64: return array_of<int64_t, int64_t>(count);
        case ValueType::F32: return array_of<float, double>(count);
        case ValueType::F64: return array_of<double, double>(count);
        case ValueType::Bool: return array_of<uint8_t, bool>(count);
        default: break;
    }
    std::vector<std::string_view> items;
    items.reserve(count);
    for (uint64_t index = 0; index < count; ++index) {
        QUOIN_ASSIGN_OR_RETURN(const std::string_view item, string("string in an array"));
        items.push_back(item);
    }
    return MetadataValue(std::move(items));
}

Result<MetadataValue> HeaderParser::value(ValueType type) {
    switch (type) {
        case ValueType::U8: return scalar<uint8_t>();
        case ValueType::I8: return scalar<int8_t>();
        case ValueType::U16: return scalar<uint16_t>();
        case ValueType::I16: return scalar<int16_t>();
        case ValueType::U32: return scalar<uint32_t>();
        case ValueType::I32: return scalar<int32_t>();
        case ValueType::F32: return scalar<float>();
        case ValueType::U64: return scalar<uint64_t>();
        case ValueType::I64: return scalar<int64_t>();
        case ValueType::F64: return scalar<double>();
        case ValueType::Bool: return bool_value();
        case ValueType::Array: return array();
        case ValueType::String: {
            QUOIN_ASSIGN_OR_RETURN(const std::string_view text, string("string"));
            return MetadataValue(text);
        }
    }
    return invalid(place(), "unknown value type ", static_cast<uint32_t>(type));
}

Status HeaderParser::read_keys(uint64_t count, GgufFile& file) {
    for (uint64_t index = 0; index < count; ++index) {
        const size_t begin = reader_.position();
        QUOIN_ASSIGN_OR_RETURN(const std::string_view key, name("key"));
        QUOIN_ASSIGN_OR_RETURN(const uint32_t type, number<uint32_t>("value type"));
        QUOIN_ASSIGN_OR_RETURN(MetadataValue found, value(static_cast<ValueType>(type)));
        if (!file.metadata.add(key, std::move(found))) return invalid("key ", quoted(key), " stands in the file twice");
        file.key_bytes.push_back(window_.bytes.subspan(begin, reader_.position() - begin));
    }
    kind_ = {};
    return {};
}

Result<uint64_t> HeaderParser::alignment(const Metadata& metadata) const {
    QUOIN_ASSIGN_OR_RETURN(const int64_t found, metadata.integer("general.alignment", kDefaultAlignment));
    const auto alignment = static_cast<uint64_t>(found);
    if (!std::has_single_bit(alignment) || alignment < kLeastAlignment || alignment > kMostAlignment) {
        return invalid("key 'general.alignment' holds ", found, ", not a power of two from ", kLeastAlignment, " to ",
                       kMostAlignment);
    }
    return alignment;
}

Result<GgufTensor> HeaderParser::tensor(uint64_t alignment) {
    GgufTensor tensor;
    QUOIN_ASSIGN_OR_RETURN(tensor.name, name("tensor"));
    QUOIN_ASSIGN_OR_RETURN(const uint32_t rank, number<uint32_t>("number of dimensions"));
    if (rank == 0 || rank > kMostDimensions) return invalid(place(), rank, " dimensions; 1 to 4 are possible");
    std::vector<int64_t> dims;
    for (uint32_t axis = 0; axis < rank; ++axis) {
        QUOIN_ASSIGN_OR_RETURN(const int64_t dim, number<int64_t>("dimension"));
        if (dim <= 0) return invalid(place(), "dimension ", axis, " is ", dim);
        dims.push_back(dim);
    }
    std::ranges::reverse(dims);  // the file names the fastest dimension first
    tensor.shape = Shape(dims);

    QUOIN_ASSIGN_OR_RETURN(const uint32_t type, number<uint32_t>("tensor type"));
    const std::optional<DType> dtype = dtype_of_ggml(type);
    if (!dtype) return unsupported(place(), "tensor type ", type, " is not known");
    tensor.dtype = *dtype;
    const std::optional<int64_t> elements = tensor.shape.element_count();
    if (!elements) return invalid(place(), "shape ", to_string(tensor.shape), " has more elements than can be counted");
    const int32_t block = dtype_info(*dtype).block_elements;
    if (tensor.shape.back() % block != 0) {
        return invalid(place(), "rows of ", tensor.shape.back(), " elements are not whole blocks of ", block, " (",
                       dtype_name(*dtype), ")");
    }
    // No format packs eight elements into a byte, so whatever has more than that is too large without further sums.
    const bool possible = static_cast<uint64_t>(*elements) / 8 <= source_.size();
    const std::optional<size_t> bytes = possible ? byte_size(*dtype, *elements) : std::nullopt;
    if (!bytes || *bytes > source_.size()) {
        return invalid(place(), to_string(tensor.shape), " ", dtype_name(*dtype), " is larger than the file (",
                       source_.size(), " bytes)");
    }
    tensor.bytes = *bytes;

    QUOIN_ASSIGN_OR_RETURN(tensor.offset, number<uint64_t>("offset"));
    if (tensor.offset % alignment != 0) {
        return invalid(place(), "offset ", tensor.offset, " is no multiple of the alignment ", alignment);
    }
    return tensor;
}

// Offsets count from the data section, which begins at the next aligned byte after the header.
Status HeaderParser::place_tensors(uint64_t alignment, std::vector<GgufTensor>& tensors) const {
    // Cannot overflow: the position is at most kMostHeaderBytes.
    const uint64_t data = (reader_.position() + alignment - 1) / alignment * alignment;
    for (GgufTensor& tensor : tensors) {
        if (data > source_.size() || tensor.offset > source_.size() - data ||
            tensor.bytes > source_.size() - data - tensor.offset) {
            return invalid("tensor ", quoted(tensor.name), ": ", tensor.bytes, " bytes at offset ", tensor.offset,
                           " of the data section reach past the end of the file (", source_.size(),
                           " bytes); is the file complete?");
        }
        tensor.offset += data;
    }
    return {};
}

Status HeaderParser::check_overlaps(const std::vector<GgufTensor>& tensors) const {
    std::vector<const GgufTensor*> order;
    order.reserve(tensors.size());
    for (const GgufTensor& tensor : tensors) order.push_back(&tensor);
    std::ranges::sort(order, {}, &GgufTensor::offset);
    for (size_t index = 1; index < order.size(); ++index) {
        const GgufTensor& before = *order[index - 1];
        if (before.offset + before.bytes > order[index]->offset) {
            return invalid("tensors ", quoted(before.name), " and ", quoted(order[index]->name), " overlap");
        }
    }
    return {};
}

Status HeaderParser::check_names(const std::vector<GgufTensor>& tensors) const {
    std::vector<std::string_view> names;
    names.reserve(tensors.size());
    for (const GgufTensor& tensor : tensors) names.push_back(tensor.name);
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice == names.end()) return {};
    return invalid("tensor ", quoted(*twice), " stands in the file twice");
}

Result<GgufFile> HeaderParser::parse() {
    QUOIN_RETURN_IF_ERROR(check_version());
    QUOIN_ASSIGN_OR_RETURN(const uint64_t tensor_count, number<uint64_t>("number of tensors"));
    QUOIN_ASSIGN_OR_RETURN(const uint64_t key_count, number<uint64_t>("number of keys"));
    const uint64_t rest = file_bytes_left();
    if (key_count > rest / kLeastKeyBytes || tensor_count > rest / kLeastTensorBytes) {
        return invalid(key_count, " keys and ", tensor_count, " tensors cannot be described in ", rest, " bytes");
    }
    if (key_count > kMostKeys || tensor_count > kMostTensors) {
        return unsupported(key_count, " keys and ", tensor_count, " tensors; at most ", kMostKeys, " and ",
                           kMostTensors, " are supported");
    }
    GgufFile file{.metadata = Metadata(source_.name(), window_.owner)};
    QUOIN_RETURN_IF_ERROR(read_keys(key_count, file));
    QUOIN_ASSIGN_OR_RETURN(file.alignment, alignment(file.metadata));
    for (uint64_t index = 0; index < tensor_count; ++index) {
        QUOIN_ASSIGN_OR_RETURN(GgufTensor found, tensor(file.alignment));
        file.tensors.push_back(found);
    }
    kind_ = {};
    QUOIN_RETURN_IF_ERROR(place_tensors(file.alignment, file.tensors));
    QUOIN_RETURN_IF_ERROR(check_names(file.tensors));
    QUOIN_RETURN_IF_ERROR(check_overlaps(file.tensors));
    return file;
}

}  // namespace

std::optional<uint32_t> gguf_type(DType dtype) {
    const auto* const plain = std::ranges::find(kPlainTypes, dtype, &PlainType::dtype);
    if (plain != kPlainTypes.end()) return plain->type;
    const auto number = static_cast<uint32_t>(dtype);
    if (number < kFirstBlockFormat || number >= kEndOfBlockFormats) return std::nullopt;
    return number - kFirstBlockFormat;
}

Result<GgufFile> parse_gguf(const SourcePtr& source) {
    uint64_t size = source->is_mapped() ? source->size() : std::min(source->size(), kFirstWindow);
    while (true) {
        QUOIN_ASSIGN_OR_RETURN(const SourceBytes window, source->read(0, size));
        HeaderParser parser(*source, window);
        Result<GgufFile> file = parser.parse();
        if (file.ok() || parser.wanted_end() == 0) return file;
        // At least doubled, so that all passes together cost no more than two over the last window.
        size = std::min(source->size(), std::max(parser.wanted_end(), 2 * size));
    }
}

}  // namespace quoin
