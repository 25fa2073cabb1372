#include "graph_inputs.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <locale>
#include <optional>
#include <sstream>
#include <utility>

#include "npy.h"

namespace {

constexpr int64_t kMostElements = int64_t{1} << 40;

// As bits of the dtype. Halves take what they hold exactly; a fill needs no more.
uint16_t to_f16(float value) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    const uint32_t sign = (bits >> 16) & 0x8000U;
    const int32_t exponent = static_cast<int32_t>((bits >> 23) & 0xFFU) - 127 + 15;
    if (exponent <= 0) return static_cast<uint16_t>(sign);
    if (exponent >= 31) return static_cast<uint16_t>(sign | 0x7C00U);
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent) << 10 | ((bits >> 13) & 0x3FFU));
}

uint16_t to_bf16(float value) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<uint16_t>(bits >> 16);
}

class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
    // In [0, 1).
    double next() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
        return static_cast<double>(state_ >> 40) / static_cast<double>(uint64_t{1} << 24);
    }

private:
    uint64_t state_;
};

template <class Element, class Value>
void fill_as(quoin::Tensor& tensor, Value&& value) {
    auto* const data = tensor.data_as<Element>();
    const size_t count = tensor.byte_size() / sizeof(Element);
    for (size_t index = 0; index < count; ++index) data[index] = value();
}

// False for dtypes that can only come from a file.
bool fill(quoin::Tensor& tensor, std::optional<double> constant, uint64_t seed) {
    Random random(seed);
    const auto real = [&] { return constant ? *constant : random.next(); };
    const double whole = constant.value_or(0);
    switch (tensor.dtype()) {
        case QUOIN_DTYPE_F32: fill_as<float>(tensor, [&] { return static_cast<float>(real()); }); return true;
        case QUOIN_DTYPE_F64: fill_as<double>(tensor, real); return true;
        case QUOIN_DTYPE_F16:
            fill_as<uint16_t>(tensor, [&] { return to_f16(static_cast<float>(real())); });
            return true;
        case QUOIN_DTYPE_BF16:
            fill_as<uint16_t>(tensor, [&] { return to_bf16(static_cast<float>(real())); });
            return true;
        case QUOIN_DTYPE_I8: fill_as<int8_t>(tensor, [&] { return static_cast<int8_t>(whole); }); return true;
        case QUOIN_DTYPE_I16: fill_as<int16_t>(tensor, [&] { return static_cast<int16_t>(whole); }); return true;
        case QUOIN_DTYPE_I32: fill_as<int32_t>(tensor, [&] { return static_cast<int32_t>(whole); }); return true;
        case QUOIN_DTYPE_I64: fill_as<int64_t>(tensor, [&] { return static_cast<int64_t>(whole); }); return true;
        case QUOIN_DTYPE_U8: fill_as<uint8_t>(tensor, [&] { return static_cast<uint8_t>(whole); }); return true;
        case QUOIN_DTYPE_U16: fill_as<uint16_t>(tensor, [&] { return static_cast<uint16_t>(whole); }); return true;
        case QUOIN_DTYPE_U32: fill_as<uint32_t>(tensor, [&] { return static_cast<uint32_t>(whole); }); return true;
        case QUOIN_DTYPE_U64: fill_as<uint64_t>(tensor, [&] { return static_cast<uint64_t>(whole); }); return true;
        case QUOIN_DTYPE_BOOL: fill_as<uint8_t>(tensor, [&] { return uint8_t{whole != 0}; }); return true;
        default: return false;
    }
}

double parse_fill(const std::string& text, const std::string& what) {
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    double value = 0;
    const bool read = static_cast<bool>(stream >> value);
    if (!read || stream.peek() != std::istringstream::traits_type::eof()) {
        throw UsageError(what + " needs a number, not '" + text + "'");
    }
    return value;
}

std::vector<int64_t> parse_dims(const std::string& text, const std::string& what) {
    std::vector<int64_t> dims;
    size_t begin = 0;
    int64_t elements = 1;
    while (begin <= text.size() && !text.empty()) {
        const size_t end = std::min(text.find('x', begin), text.size());
        dims.push_back(parse_integer(std::string_view(text).substr(begin, end - begin), 0, kMostElements, what));
        if (dims.back() != 0 && elements > kMostElements / dims.back()) throw UsageError(what + " is too large");
        elements *= dims.back();
        begin = end + 1;
    }
    return dims;
}

quoin::Tensor filled(const quoin::ValueInfo& info, const std::vector<int64_t>& dims, std::optional<double> value,
                     uint64_t seed) {
    quoin::Tensor tensor(info.dtype, dims);
    if (!fill(tensor, value, seed)) {
        throw UsageError(std::string("--input ") + info.name + ": elements of " + quoin_dtype_name(info.dtype) +
                         " can only come from a file");
    }
    return tensor;
}

quoin::Tensor parse(const quoin::ValueInfo& info, const std::string& value, uint64_t seed) {
    const std::string what = std::string("--input ") + info.name;
    const bool is_file = value.size() > 4 && value.compare(value.size() - 4, 4, ".npy") == 0;
    if (is_file || std::filesystem::is_regular_file(value)) return read_npy(value, info.dtype);
    const size_t colon = std::min(value.find(':'), value.size());
    std::optional<double> constant;
    if (colon < value.size()) constant = parse_fill(value.substr(colon + 1), what);
    if (info.rank == 0 && colon == value.size()) return filled(info, {}, parse_fill(value, what), seed);
    return filled(info, parse_dims(value.substr(0, colon), what), constant, seed);
}

std::string names_of(const quoin::Model& model) {
    std::string names;
    for (size_t index = 0; index < model.input_count(); ++index) {
        names += (index == 0 ? "" : ", ") + std::string(model.input_info(index).name);
    }
    return names;
}

}  // namespace

std::string describe_tensor(int32_t dtype, const std::vector<int64_t>& dims) {
    std::string text = std::string(quoin_dtype_name(dtype)) + "[";
    for (size_t axis = 0; axis < dims.size(); ++axis) text += (axis == 0 ? "" : ", ") + std::to_string(dims[axis]);
    return text + "]";
}

std::string describe_value(const quoin_value_info& info) {
    std::string text = quoin_dtype_name(info.dtype);
    if (info.rank < 0) {
        text += "[...]";
    } else {
        text += "[";
        for (int32_t axis = 0; axis < info.rank; ++axis) {
            if (axis > 0) text += ", ";
            const std::string name = info.dim_names[axis];
            text += info.dims[axis] >= 0 ? std::to_string(info.dims[axis]) : name.empty() ? "?" : name;
        }
        text += "]";
    }
    if (info.kind == QUOIN_VALUE_SEQUENCE) text = "sequence of " + text;
    if (info.kind == QUOIN_VALUE_MAP) text = "map to " + text;
    if (info.optional != 0) text += ", optional";
    if (info.has_default != 0) text += ", has a default value";
    return text;
}

GraphInputs::GraphInputs(const quoin::Model& model, const std::vector<std::string>& specs, uint64_t seed) {
    std::vector<bool> given(model.input_count());
    for (const std::string& spec : specs) {
        // Names may have an equals sign in them: the longest that fits is meant.
        size_t index = model.input_count();
        size_t equals = spec.size();
        for (size_t at = spec.find('='); at != std::string::npos; at = spec.find('=', at + 1)) {
            for (size_t input = 0; input < model.input_count(); ++input) {
                if (spec.compare(0, at, model.input_info(input).name) != 0) continue;
                index = input;
                equals = at;
            }
        }
        if (index == model.input_count()) {
            throw UsageError("--input needs NAME=VALUE with the name of an input, not '" + spec + "'; the model has " +
                             names_of(model));
        }
        given[index] = true;
        add(model, index, parse(model.input_info(index), spec.substr(equals + 1), seed + index));
    }
    for (size_t index = 0; index < model.input_count(); ++index) {
        const quoin::ValueInfo info = model.input_info(index);
        if (given[index] || info.optional != 0 || info.has_default != 0) continue;
        if (info.kind == QUOIN_VALUE_SEQUENCE) {
            throw UsageError(std::string("input ") + info.name + " is " + describe_value(info) + ": give --input " +
                             info.name + "=VALUE for each of its elements, in their order");
        }
        const std::string missing = std::string("input ") + info.name + " is " + describe_value(info) +
                                    ": give --input " + info.name + "=" + (info.rank < 0 ? "DIMS" : "");
        if (info.kind != QUOIN_VALUE_TENSOR || info.rank < 0) throw UsageError(missing);
        std::vector<int64_t> dims(info.dims, info.dims + info.rank);
        if (std::any_of(dims.begin(), dims.end(), [](int64_t dim) { return dim < 0; })) {
            std::string example;
            for (const int64_t dim : dims)
                example += (example.empty() ? "" : "x") + std::to_string(std::max<int64_t>(dim, 1));
            throw UsageError(missing + example);
        }
        add(model, index, filled(info, dims, std::nullopt, seed + index));
    }
    gather_sequences(model);
}

void GraphInputs::add(const quoin::Model& model, size_t index, quoin::Tensor tensor) {
    descriptions_.push_back(std::string(model.input_info(index).name) + " " +
                            describe_tensor(tensor.dtype(), tensor.dims()));
    tensors_.emplace_back(index, std::move(tensor));
}

void GraphInputs::set_on(quoin::Session& session) const {
    for (const auto& [index, tensor] : tensors_) session.set_input(index, tensor);
    for (const auto& [index, sequence] : sequences_) session.set_input(index, sequence);
}

// Out of the tensors that were given for one input, its sequence.
void GraphInputs::gather_sequences(const quoin::Model& model) {
    for (size_t index = 0; index < model.input_count(); ++index) {
        const quoin::ValueInfo info = model.input_info(index);
        if (info.kind != QUOIN_VALUE_SEQUENCE) continue;
        std::vector<const quoin::Tensor*> elements;
        for (const auto& [input, tensor] : tensors_) {
            if (input == index) elements.push_back(&tensor);
        }
        if (elements.empty()) continue;
        sequences_.emplace_back(index, quoin::Value::sequence(elements[0]->dtype(), elements));
    }
    const auto is_element = [&](const auto& given) {
        return model.input_info(given.first).kind == QUOIN_VALUE_SEQUENCE;
    };
    tensors_.erase(std::remove_if(tensors_.begin(), tensors_.end(), is_element), tensors_.end());
}
