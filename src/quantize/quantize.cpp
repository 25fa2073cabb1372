#include "quantize/quantize.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <optional>
#include <vector>

#include "core/log.h"
#include "kernels/kernels.h"
#include "load/gguf.h"
#include "load/quoted.h"
#include "quantize/encoders.h"
#include "quantize/gguf_writer.h"
#include "quantize/mixture.h"
#include "quantize/output_file.h"

namespace quoin {
namespace {

// A task is a multiple of every block; its floats fit the second cache. Pieces are as many tasks as keep a team of
// dozens busy and are written together, so that memory does not depend on the size of tensors.
constexpr int64_t kTaskElements = int64_t{32} << 10;
constexpr int64_t kPieceElements = int64_t{4} << 20;
constexpr uint32_t kQuantizationVersion = 2;  // of the block formats; fixed since 2023

bool is_float(DType dtype) {
    return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
}

using Widen = void (*)(const std::byte* row, int64_t count, float* dst);
Widen widen_from(DType dtype, const KernelTable& kernels) {
    if (dtype == DType::F16) return kernels.dequantize_f16;
    if (dtype == DType::BF16) return kernels.dequantize_bf16;
    return kernels.dequantize_f32;
}

// Index of the first NaN or infinity, or count.
int64_t first_not_finite(const float* values, int64_t count) {
    // All ones in the exponent. Without a way out of the loop it is vectorised.
    constexpr uint32_t kExponent = 0x7F800000;
    uint32_t any = 0;
    for (int64_t i = 0; i < count; ++i) {
        any |= (std::bit_cast<uint32_t>(values[i]) & kExponent) == kExponent ? 1U : 0U;
    }
    if (any == 0) return count;
    for (int64_t i = 0; i < count; ++i) {
        if ((std::bit_cast<uint32_t>(values[i]) & kExponent) == kExponent) return i;
    }
    return count;
}

// A tensor on its way: what it is and what it becomes.
struct Job {
    const GgufTensor* tensor = nullptr;
    TensorChoice choice;
};

class Quantizer {
public:
    Quantizer(const SourcePtr& source, const RuntimePtr& runtime, const QuantizeOptions& options)
        : source_(source), runtime_(runtime), options_(options) {}
    Result<QuantizeResult> run(const std::string& output);

private:
    template <class... Parts>
    Status failure(StatusCode code, const Job& job, const Parts&... parts) const {
        return error(code, source_->name(), ": tensor ", quoted(job.tensor->name), ": ", parts...);
    }
    Status check_single_part(const Metadata& metadata) const;
    Status choose(const FileType& type, const GgufFile& file);
    Status reserve();
    Status write_tensor(const Job& job, OutputFile& out);
    Status write_piece(const Job& job, int64_t begin, int64_t count, OutputFile& out);
    Status advance(int64_t elements);

    const SourcePtr& source_;
    const RuntimePtr& runtime_;
    const QuantizeOptions& options_;
    std::vector<Job> jobs_;
    Buffer floats_;   // a task's elements for each thread
    Buffer encoded_;  // a piece
    int64_t elements_total_ = 0;
    int64_t elements_done_ = 0;
};

Status Quantizer::check_single_part(const Metadata& metadata) const {
    QUOIN_ASSIGN_OR_RETURN(const int64_t parts, metadata.integer("split.count", 1));
    if (parts <= 1) return {};
    return error(StatusCode::Unsupported, source_->name(), ": one of ", parts,
                 " parts of a model; join them to one file first");
}

Status Quantizer::choose(const FileType& type, const GgufFile& file) {
    std::vector<TensorFacts> facts;
    for (const GgufTensor& tensor : file.tensors) facts.push_back({tensor.name, tensor.dtype, tensor.shape});
    QUOIN_ASSIGN_OR_RETURN(const std::vector<TensorChoice> choices, choose_types(type, file.metadata, facts));
    for (size_t i = 0; i < choices.size(); ++i) {
        const Job job{&file.tensors[i], choices[i]};
        const DType have = job.tensor->dtype;
        const DType want = job.choice.dtype;
        if (have != want && !is_float(have)) {
            return failure(StatusCode::Unsupported, job, "it is ", dtype_name(have), " and would become ",
                           dtype_name(want), "; rounding twice loses more than once, begin with a file in f32, f16 or ",
                           "bf16");
        }
        if (have != want && encoder(want, runtime_->isa) == nullptr) {
            return failure(StatusCode::Unsupported, job, dtype_name(want), " cannot be written");
        }
        if (job.choice.unfit != DType::Undefined) {
            log(LogLevel::Warning, source_->name(), ": tensor ", quoted(job.tensor->name), ": rows of ",
                job.tensor->shape.back(), " are not whole blocks of ", dtype_name(job.choice.unfit), "; it gets ",
                dtype_name(want));
        }
        jobs_.push_back(job);
        elements_total_ += job.tensor->shape.element_count().value_or(0);
    }
    return {};
}

Status Quantizer::reserve() {
    size_t piece_bytes = 0;
    for (const Job& job : jobs_) {
        const int64_t elements = std::min(job.tensor->shape.element_count().value_or(0), kPieceElements);
        const DTypeInfo& info = dtype_info(job.choice.dtype);
        piece_bytes = std::max(piece_bytes, static_cast<size_t>(elements / info.block_elements * info.block_bytes));
    }
    const size_t float_bytes = static_cast<size_t>(runtime_->team->size()) * kTaskElements * sizeof(float);
    QUOIN_ASSIGN_OR_RETURN(floats_, Buffer::allocate(runtime_->memory, float_bytes, "weights in work"));
    QUOIN_ASSIGN_OR_RETURN(encoded_, Buffer::allocate(runtime_->memory, piece_bytes, "quantised weights"));
    return {};
}

Status Quantizer::advance(int64_t elements) {
    elements_done_ += elements;
    const double fraction =
        elements_total_ == 0 ? 1.0 : static_cast<double>(elements_done_) / static_cast<double>(elements_total_);
    if (!options_.progress || options_.progress(fraction)) return {};
    return error(StatusCode::Cancelled, "quantising ", source_->name(), " was stopped by the progress callback");
}

// Elements from `begin`, a multiple of kTaskElements.
Status Quantizer::write_piece(const Job& job, int64_t begin, int64_t count, OutputFile& out) {
    const DTypeInfo& from = dtype_info(job.tensor->dtype);
    const DTypeInfo& to = dtype_info(job.choice.dtype);
    const auto source_bytes = static_cast<uint64_t>(count / from.block_elements * from.block_bytes);
    const uint64_t source_offset =
        job.tensor->offset + static_cast<uint64_t>(begin / from.block_elements * from.block_bytes);
    QUOIN_ASSIGN_OR_RETURN(const SourceBytes read, source_->read(source_offset, source_bytes));

    const Widen widen = widen_from(from.dtype, kernels(runtime_->isa));
    const bool convert = from.dtype != to.dtype;
    const EncodeFunction encode = convert ? encoder(to.dtype, runtime_->isa) : nullptr;
    std::atomic<int64_t> next_task{0};
    std::atomic<int64_t> bad_element{std::numeric_limits<int64_t>::max()};
    if (is_float(from.dtype)) {
        runtime_->team->run([&](int thread) {
            float* const floats = reinterpret_cast<float*>(floats_.data()) + thread * kTaskElements;
            for (;;) {
                const int64_t first = next_task.fetch_add(1, std::memory_order_relaxed) * kTaskElements;
                if (first >= count) return;
                const int64_t elements = std::min(kTaskElements, count - first);
                widen(read.bytes.data() + first * from.block_bytes, elements, floats);
                const int64_t bad = first_not_finite(floats, elements);
                if (bad < elements) {
                    // The least index, whoever finds it: messages do not depend on the threads either.
                    int64_t known = bad_element.load();
                    while (first + bad < known && !bad_element.compare_exchange_weak(known, first + bad)) {
                    }
                    continue;
                }
                if (!convert) continue;
                encode(floats, elements, encoded_.data() + first / to.block_elements * to.block_bytes);
            }
        });
    }
    if (bad_element.load() < count) {
        return failure(StatusCode::InvalidModel, job, "element ", begin + bad_element.load(),
                       " is NaN or infinite; the file is damaged or its weights have overflowed");
    }
    const auto bytes = static_cast<size_t>(count / to.block_elements * to.block_bytes);
    const std::span<const std::byte> encoded =
        convert ? std::span<const std::byte>(encoded_.data(), bytes) : read.bytes.first(bytes);
    QUOIN_RETURN_IF_ERROR(out.write(encoded));
    source_->release(source_offset, source_bytes);
    return advance(count);
}

Status Quantizer::write_tensor(const Job& job, OutputFile& out) {
    const int64_t elements = job.tensor->shape.element_count().value_or(0);
    for (int64_t begin = 0; begin < elements; begin += kPieceElements) {
        QUOIN_RETURN_IF_ERROR(write_piece(job, begin, std::min(kPieceElements, elements - begin), out));
    }
    // The pages at the borders of pieces were kept each time.
    source_->release(job.tensor->offset, job.tensor->bytes);
    return {};
}

Result<QuantizeResult> Quantizer::run(const std::string& output) {
    const FileType* const type = find_file_type(options_.type);
    if (type == nullptr) {
        return error(StatusCode::InvalidArgument, "there is no type ", quoted(options_.type), "; known are ",
                     file_type_names());
    }
    if (same_file(source_->name(), output)) {
        return error(StatusCode::InvalidArgument, "'", output,
                     "' is the file that is read; write to another one and replace it afterwards");
    }
    QUOIN_ASSIGN_OR_RETURN(const GgufFile file, parse_gguf(source_));
    QUOIN_RETURN_IF_ERROR(check_single_part(file.metadata));
    if (file.tensors.empty()) {
        return error(StatusCode::Unsupported, source_->name(), ": there are no tensors in it, so nothing to quantise");
    }
    QUOIN_RETURN_IF_ERROR(choose(*type, file));
    std::vector<DType> dtypes;
    for (const Job& job : jobs_) dtypes.push_back(job.choice.dtype);
    QUOIN_ASSIGN_OR_RETURN(
        const GgufLayout layout,
        lay_out_gguf(file, dtypes,
                     {{"general.quantization_version", kQuantizationVersion}, {"general.file_type", type->number}}));
    QUOIN_RETURN_IF_ERROR(reserve());
    QUOIN_RETURN_IF_ERROR(advance(0));
    QUOIN_ASSIGN_OR_RETURN(const std::unique_ptr<OutputFile> out, OutputFile::create(output, layout.file_bytes));
    QUOIN_RETURN_IF_ERROR(out->write(layout.header));

    QuantizeResult result;
    result.source_bytes = source_->size();
    result.output_bytes = layout.file_bytes;
    uint64_t written = layout.header.size();
    for (size_t i = 0; i < jobs_.size(); ++i) {
        const Job& job = jobs_[i];
        QUOIN_RETURN_IF_ERROR(out->write_zeros(layout.offsets[i] - written));
        QUOIN_RETURN_IF_ERROR(write_tensor(job, *out));
        QuantizedTensor done{job.tensor->name, job.tensor->shape, job.tensor->dtype,
                             job.choice.dtype, job.choice.unfit,  job.tensor->bytes};
        done.bytes = byte_size(done.dtype, done.shape.element_count().value_or(0)).value_or(0);
        written = layout.offsets[i] + done.bytes;
        ++result.tensors;
        if (done.dtype != done.source_dtype) ++result.converted;
        if (done.unfit != DType::Undefined) ++result.unfit;
        if (options_.tensor_done && !options_.tensor_done(done)) {
            return error(StatusCode::Cancelled, "quantising ", source_->name(), " was stopped by the tensor callback");
        }
    }
    QUOIN_RETURN_IF_ERROR(out->write_zeros(layout.file_bytes - written));
    QUOIN_RETURN_IF_ERROR(out->commit());
    return result;
}

}  // namespace

Result<QuantizeResult> quantize_file(const SourcePtr& source, const std::string& output, const RuntimePtr& runtime,
                                     const QuantizeOptions& options) {
    return Quantizer(source, runtime, options).run(output);
}

}  // namespace quoin
