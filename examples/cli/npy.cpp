#include "npy.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "text_utf32.h"

namespace {

constexpr size_t kPrefix = 10;  // magic, version, length
constexpr size_t kAlignment = 64;
constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);

struct ElementType {
    int32_t dtype;
    std::string_view name;
    size_t bytes;
};
constexpr std::array<ElementType, 12> kTypes = {{
    {QUOIN_DTYPE_F32, "<f4", 4},
    {QUOIN_DTYPE_F64, "<f8", 8},
    {QUOIN_DTYPE_F16, "<f2", 2},
    {QUOIN_DTYPE_I8, "|i1", 1},
    {QUOIN_DTYPE_I16, "<i2", 2},
    {QUOIN_DTYPE_I32, "<i4", 4},
    {QUOIN_DTYPE_I64, "<i8", 8},
    {QUOIN_DTYPE_U8, "|u1", 1},
    {QUOIN_DTYPE_U16, "<u2", 2},
    {QUOIN_DTYPE_U32, "<u4", 4},
    {QUOIN_DTYPE_U64, "<u8", 8},
    {QUOIN_DTYPE_BOOL, "|b1", 1},
}};

// NumPy has no types for these: each element is a byte in the file, as it also is in arrays of ml_dtypes.
struct SmallType {
    int32_t dtype;
    unsigned bits;
    bool is_signed;
};
constexpr std::array<SmallType, 10> kSmallTypes = {{
    {QUOIN_DTYPE_F8E4M3FN, 8, false},
    {QUOIN_DTYPE_F8E4M3FNUZ, 8, false},
    {QUOIN_DTYPE_F8E5M2, 8, false},
    {QUOIN_DTYPE_F8E5M2FNUZ, 8, false},
    {QUOIN_DTYPE_F8E8M0, 8, false},
    {QUOIN_DTYPE_F4E2M1, 4, false},
    {QUOIN_DTYPE_U4, 4, false},
    {QUOIN_DTYPE_I4, 4, true},
    {QUOIN_DTYPE_U2, 2, false},
    {QUOIN_DTYPE_I2, 2, true},
}};

const SmallType* find_small(int32_t dtype) {
    const auto* const found = std::find_if(kSmallTypes.begin(), kSmallTypes.end(),
                                           [dtype](const SmallType& each) { return each.dtype == dtype; });
    return found == kSmallTypes.end() ? nullptr : found;
}

size_t count_of(const std::vector<int64_t>& dims) {
    size_t count = 1;
    for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
    return count;
}

void write_strings(const std::string& path, const quoin::TensorView& tensor) {
    const std::vector<int64_t> dims = tensor.dims();
    const size_t count = count_of(dims);
    std::vector<std::u32string> texts;
    size_t longest = 1;  // NumPy has no type for no characters
    for (size_t index = 0; index < count; ++index) {
        texts.push_back(to_utf32(tensor.string(index)));
        longest = std::max(longest, texts.back().size());
    }
    NpyWriter file(path, "<U" + std::to_string(longest), dims);
    for (std::u32string& text : texts) {
        text.resize(longest);
        file.write(static_cast<const void*>(text.data()), longest * sizeof(char32_t));
    }
    file.finish();
}

void write_bf16(const std::string& path, const quoin::TensorView& tensor) {
    const auto* const halves = tensor.data_as<uint16_t>();
    std::vector<float> values(count_of(tensor.dims()));
    for (size_t index = 0; index < values.size(); ++index) {
        const uint32_t bits = static_cast<uint32_t>(halves[index]) << 16;
        std::memcpy(&values[index], &bits, sizeof(bits));
    }
    NpyWriter file(path, "<f4", tensor.dims());
    file.write(values.data(), values.size());
    file.finish();
}

// The first element is in the lowest bits.
void write_small(const std::string& path, const quoin::TensorView& tensor, const SmallType& type) {
    const auto* const packed = tensor.data_as<uint8_t>();
    const size_t each_byte = 8 / type.bits;
    const unsigned mask = (1U << type.bits) - 1;
    const std::vector<int64_t> dims = tensor.dims();
    std::vector<uint8_t> values(count_of(dims));
    for (size_t index = 0; index < values.size(); ++index) {
        const size_t shift = index % each_byte * type.bits;
        const unsigned value = static_cast<unsigned>(packed[index / each_byte]) >> shift & mask;
        const bool negative = type.is_signed && (value >> (type.bits - 1)) != 0;
        values[index] = static_cast<uint8_t>(negative ? value | ~mask : value);
    }
    NpyWriter file(path, type.is_signed ? "|i1" : "|u1", dims);
    file.write(static_cast<const void*>(values.data()), values.size());
    file.finish();
}

quoin::Tensor pack_small(std::string_view bytes, const std::vector<int64_t>& dims, const SmallType& type) {
    quoin::Tensor tensor(type.dtype, dims);
    const size_t each_byte = 8 / type.bits;
    const unsigned mask = (1U << type.bits) - 1;
    auto* const packed = tensor.data_as<uint8_t>();
    if (tensor.byte_size() > 0) std::memset(packed, 0, tensor.byte_size());
    for (size_t index = 0; index < bytes.size(); ++index) {
        const unsigned value = static_cast<unsigned char>(bytes[index]) & mask;
        packed[index / each_byte] |= static_cast<uint8_t>(value << (index % each_byte * type.bits));
    }
    return tensor;
}

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
    throw std::runtime_error("'" + path + "' " + what);
}

// What follows `'key':` in the header, which is a Python dictionary.
std::string_view entry(const std::string& path, std::string_view header, std::string_view key) {
    const size_t found = header.find("'" + std::string(key) + "'");
    const size_t colon = found == std::string_view::npos ? found : header.find(':', found);
    if (colon == std::string_view::npos) refuse(path, "has no '" + std::string(key) + "' in its header");
    const size_t begin = header.find_first_not_of(' ', colon + 1);
    return begin == std::string_view::npos ? std::string_view() : header.substr(begin);
}

std::vector<int64_t> read_dims(const std::string& path, std::string_view text) {
    const size_t end = text.find(')');
    if (text.empty() || text[0] != '(' || end == std::string_view::npos) refuse(path, "has no shape in its header");
    std::vector<int64_t> dims;
    for (size_t at = 1; at < end;) {
        at = std::min(text.find_first_not_of(" ,", at), end);
        if (at == end) break;
        int64_t dim = -1;
        const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, dim);
        if (error != std::errc() || dim < 0) refuse(path, "has a shape that cannot be read");
        dims.push_back(dim);
        at = static_cast<size_t>(stop - text.data());
    }
    return dims;
}

}  // namespace

NpyWriter::NpyWriter(std::string path, std::string_view type, const std::vector<int64_t>& dims)
    : path_(std::move(path)), file_(path_, std::ios::binary | std::ios::trunc) {
    if (!file_) fail();
    std::string header = "{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (";
    for (size_t axis = 0; axis < dims.size(); ++axis) {
        if (axis > 0) header += ", ";
        header += std::to_string(dims[axis]);
    }
    header += dims.size() == 1 ? ",), }" : "), }";
    const size_t padded = (kPrefix + header.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
    header.resize(padded - kPrefix - 1, ' ');
    header += '\n';
    const auto length = static_cast<uint16_t>(header.size());
    file_.write(kMagic.data(), static_cast<std::streamsize>(kMagic.size()));
    file_.put(static_cast<char>(length & 0xff));
    file_.put(static_cast<char>(length >> 8));
    file_ << header;
}

NpyWriter::~NpyWriter() {
    if (finished_) return;
    file_.close();
    std::error_code ignored;  // a device or pipe is left alone
    if (std::filesystem::is_regular_file(path_, ignored)) std::filesystem::remove(path_, ignored);
}

void NpyWriter::write(const void* bytes, size_t count) {
    if (count > 0) file_.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
    if (!file_) fail();
}

void NpyWriter::finish() {
    file_.close();
    if (!file_) fail();
    finished_ = true;
}

void NpyWriter::fail() const {
    throw std::runtime_error("cannot write '" + path_ + "': " + std::strerror(errno));
}

void write_npy(const std::string& path, const quoin::TensorView& tensor) {
    const int32_t dtype = tensor.dtype();
    if (dtype == QUOIN_DTYPE_STRING) return write_strings(path, tensor);
    if (dtype == QUOIN_DTYPE_BF16) return write_bf16(path, tensor);
    if (const SmallType* const small = find_small(dtype)) return write_small(path, tensor, *small);
    const auto* const type =
        std::find_if(kTypes.begin(), kTypes.end(), [dtype](const ElementType& each) { return each.dtype == dtype; });
    if (type == kTypes.end()) {
        throw std::runtime_error("cannot write '" + path + "': NumPy has no type for " + quoin_dtype_name(dtype));
    }
    NpyWriter file(path, type->name, tensor.dims());
    file.write(tensor.data(), tensor.byte_size());
    file.finish();
}

quoin::Tensor read_npy(const std::string& path, int32_t dtype) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read '" + path + "': " + std::strerror(errno));
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (bytes.size() < kPrefix || std::string_view(bytes).substr(0, 6) != kMagic.substr(0, 6)) {
        refuse(path, "is no .npy file");
    }
    if (bytes[6] != 1) refuse(path, "is written in a version of the .npy format other than 1");
    const size_t length = static_cast<unsigned char>(bytes[8]) | size_t{static_cast<unsigned char>(bytes[9])} << 8;
    if (bytes.size() - kPrefix < length) refuse(path, "ends inside its header");
    const std::string_view header = std::string_view(bytes).substr(kPrefix, length);
    if (entry(path, header, "fortran_order").substr(0, 5) != "False") {
        refuse(path, "holds columns first; save numpy.ascontiguousarray(array)");
    }
    const std::vector<int64_t> dims = read_dims(path, entry(path, header, "shape"));
    const std::string_view quoted = entry(path, header, "descr");
    const std::string type(
        quoted.substr(0, std::min(quoted.size(), quoted.find('\'', 1))).substr(quoted.empty() ? 0 : 1));
    const std::string_view data = std::string_view(bytes).substr(kPrefix + length);

    if (type.rfind("<U", 0) == 0) {
        size_t characters = 0;
        std::from_chars(type.data() + 2, type.data() + type.size(), characters);
        const size_t size = characters * sizeof(char32_t);
        if (size == 0 || size > data.size() || data.size() / size != count_of(dims)) refuse(path, "is cut off");
        std::vector<std::string> texts;
        for (size_t at = 0; at < data.size(); at += size) texts.push_back(from_utf32(data.substr(at, size)));
        return quoin::Tensor::strings(texts, dims);
    }
    const bool opaque = type.size() == 3 && type[1] == 'V';  // a type of somebody else
    const bool is_byte = type == "|u1" || type == "|i1" || type == "<f1" || (opaque && type[2] == '1');
    if (const SmallType* const small = find_small(dtype); small != nullptr && is_byte) {
        if (data.size() != count_of(dims)) refuse(path, "holds more or fewer elements than its shape says");
        return pack_small(data, dims, *small);
    }
    const ElementType bf16{QUOIN_DTYPE_BF16, type, 2};
    const bool is_bf16 = dtype == QUOIN_DTYPE_BF16 && (type == "<u2" || (opaque && type[2] == '2'));
    const auto* const known = is_bf16 ? &bf16
                                      : std::find_if(kTypes.begin(), kTypes.end(),
                                                     [&type](const ElementType& each) { return each.name == type; });
    if (known == kTypes.end()) refuse(path, "holds elements of the type " + type + ", which cannot be read");
    quoin::Tensor tensor(known->dtype, dims);
    if (tensor.byte_size() != data.size()) refuse(path, "holds more or fewer elements than its shape says");
    if (!data.empty()) std::memcpy(tensor.data(), data.data(), data.size());
    return tensor;
}
