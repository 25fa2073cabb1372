// Which type each tensor gets: a file "in q4_k_m" holds several, and the rules are those that the names stand for in
// llama.cpp, so that files of both have the same tensors in the same types.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/metadata.h"
#include "core/shape.h"
#include "core/status.h"

namespace quoin {

// A row of the table of type names.
struct FileType {
    std::string_view name;  // "q4_k_m"
    uint32_t number;        // general.file_type
    DType base;             // what a tensor gets that no rule speaks of
};

// "q4_k_m" in any case; nullptr when there is no such name.
const FileType* find_file_type(std::string_view name);
// "f32, f16, ..., q4_k_m, ...": for messages.
std::string file_type_names();

struct TensorFacts {
    std::string_view name;
    DType dtype = DType::Undefined;
    Shape shape;  // row-major: the last dimension is a row
};

struct TensorChoice {
    DType dtype = DType::Undefined;
    // What the rules say, where rows are no multiple of its block and `dtype` stands in for it; else Undefined.
    DType unfit = DType::Undefined;
};

// One choice for each tensor, in the order given. Norms, biases and small or delicate tensors keep the dtype they have.
// `metadata` tells architecture, layers, heads and experts; InvalidModel when these keys are of the wrong type
// or promise more layers than there are tensors.
Result<std::vector<TensorChoice>> choose_types(const FileType& type, const Metadata& metadata,
                                               const std::vector<TensorFacts>& tensors);

}  // namespace quoin
