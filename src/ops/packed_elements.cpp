#include "ops/packed_elements.h"

#include <algorithm>

namespace quoin {

std::vector<uint8_t> unpack_elements(const Tensor& tensor) {
    const auto per_byte = static_cast<size_t>(dtype_info(tensor.dtype()).block_elements);
    const size_t bits = 8 / per_byte;
    std::vector<uint8_t> elements(static_cast<size_t>(tensor.shape().element_count().value_or(0)));
    const auto packed = tensor.as<const uint8_t>();
    for (size_t index = 0; index < elements.size(); ++index) {
        const auto shifted = static_cast<unsigned>(packed[index / per_byte]) >> (index % per_byte * bits);
        elements[index] = static_cast<uint8_t>(shifted & ((1U << bits) - 1));
    }
    return elements;
}

void pack_elements(const std::vector<uint8_t>& elements, const Tensor& tensor) {
    const auto per_byte = static_cast<size_t>(dtype_info(tensor.dtype()).block_elements);
    const size_t bits = 8 / per_byte;
    const auto packed = tensor.as<uint8_t>();
    std::ranges::fill(packed, uint8_t{0});
    for (size_t index = 0; index < elements.size(); ++index) {
        const auto shifted = static_cast<unsigned>(elements[index]) << (index % per_byte * bits);
        packed[index / per_byte] = static_cast<uint8_t>(packed[index / per_byte] | shifted);
    }
}

Status move_packed(ComputeContext& context, const Tensor& input, const Tensor& output, const BoxCopy& box) {
    if (!shares_bytes(input.dtype())) {
        return context.fail(StatusCode::Unsupported, "no implementation for the element type ",
                            dtype_name(input.dtype()));
    }
    const std::vector<uint8_t> elements = unpack_elements(input);
    std::vector<uint8_t> moved(static_cast<size_t>(output.shape().element_count().value_or(0)));
    box.run_all(reinterpret_cast<const std::byte*>(elements.data()), reinterpret_cast<std::byte*>(moved.data()));
    pack_elements(moved, output);
    return {};
}

}  // namespace quoin
