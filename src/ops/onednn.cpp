#include "ops/onednn.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <dnnl.hpp>
#include <functional>
#include <memory>
#include <string_view>

namespace quoin::onednn {

using dnnl::memory;

class WeightFormat {
public:
    explicit WeightFormat(memory::desc own) : desc(std::move(own)) {}
    memory::desc desc;
};

namespace {

constexpr bool kVersion3 = DNNL_VERSION_MAJOR >= 3;

// ---- Threads --------------------------------------------------------------------------------------------------

// The OpenMP library that oneDNN brought with it is asked by name: its header is not where every compiler looks, and
// nobody who links Quoin should have to name it.
struct OpenMp {
    int (*get_threads)() = nullptr;
    void (*set_threads)(int) = nullptr;

    static const OpenMp& get() {
        static const OpenMp kFound{reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads")),
                                   reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))};
        return kFound;
    }
};

// As long as it lives, oneDNN has one thread: ours. The number belongs to the calling thread alone, and the host's own
// is put back.
class OneThread {
public:
    OneThread() {
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
        before_ = OpenMp::get().get_threads();
        if (before_ != 1) OpenMp::get().set_threads(1);
#elif DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_THREADPOOL
        before_ = 1;
        dnnl_threadpool_interop_set_max_concurrency(1);
#endif
    }
    ~OneThread() {
        if (before_ != 1) OpenMp::get().set_threads(before_);
    }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

private:
    int before_ = 1;
};

// ---- Words of oneDNN ------------------------------------------------------------------------------------------

// What it throws becomes a Status.
template <class Work>
auto guarded(Work&& work) -> decltype(work()) {
    try {
        return work();
    } catch (const dnnl::error& thrown) {
        const StatusCode code = thrown.status == dnnl_out_of_memory ? StatusCode::OutOfMemory : StatusCode::Unsupported;
        return error(code, "oneDNN: ", thrown.what());
    }
}

// Never destroyed: sessions may outlive what the process destroys at its end.
const dnnl::engine& engine() {
    static const auto* const kEngine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
    return *kEngine;
}

memory::data_type type_of(DType dtype) {
    switch (dtype) {
        case DType::F32: return memory::data_type::f32;
        case DType::BF16: return memory::data_type::bf16;
        case DType::U8: return memory::data_type::u8;
        case DType::I8: return memory::data_type::s8;
        case DType::I32: return memory::data_type::s32;
        default: return memory::data_type::undef;
    }
}

// [N, C, spatial...] with the channels side by side.
memory::desc channels_last(const std::vector<int64_t>& dims, DType dtype) {
    memory::dims strides(dims.size());
    int64_t stride = dims[1];
    strides[1] = 1;
    for (size_t axis = dims.size(); axis-- > 2;) {
        strides[axis] = stride;
        stride *= dims[axis];
    }
    strides[0] = stride;
    return {dims, type_of(dtype), strides};
}

memory::desc vector_of(int64_t size, DType dtype) {
    return {{size}, type_of(dtype), memory::format_tag::a};
}

memory::dims weight_dims(const ConvolutionSpec& spec) {
    memory::dims dims{spec.dst[1] / spec.group, spec.src[1] / spec.group};
    if (spec.group > 1) dims.insert(dims.begin(), spec.group);
    dims.insert(dims.end(), spec.kernel.begin(), spec.kernel.end());
    return dims;
}

struct Eltwise {
    dnnl::algorithm algorithm;
    float alpha;
    float beta;
};

// None for what has no like.
std::vector<Eltwise> eltwise_of(const Activation& activation) {
    using enum dnnl::algorithm;
    const float alpha = activation.alpha;
    const float beta = activation.beta;
    switch (activation.kind) {
        case ActivationKind::Relu: return {{eltwise_relu, 0, 0}};
        case ActivationKind::Clip: return {{eltwise_clip, alpha, beta}};
        case ActivationKind::LeakyRelu: return {{eltwise_relu, alpha, 0}};
        case ActivationKind::Elu: return {{eltwise_elu, alpha, 0}};
        case ActivationKind::Sigmoid: return {{eltwise_logistic, 0, 0}};
        case ActivationKind::HardSigmoid: return {{eltwise_linear, alpha, beta}, {eltwise_clip, 0, 1}};
        // Version 2 has the two numbers built in and wants none.
        case ActivationKind::HardSwish:
            return {{eltwise_hardswish, kVersion3 ? 1.0F / 6 : 0.0F, kVersion3 ? 0.5F : 0.0F}};
        case ActivationKind::Silu: return {{eltwise_swish, alpha, 0}};
        case ActivationKind::Tanh: return {{eltwise_tanh, 0, 0}};
        case ActivationKind::Gelu: return {{eltwise_gelu_erf, 0, 0}};
        case ActivationKind::GeluTanh: return {{eltwise_gelu_tanh, 0, 0}};
        case ActivationKind::Mish: return {{eltwise_mish, 0, 0}};
        default: return {};
    }
}

// An operand of a primitive: ours, its number there, how it lies.
struct Slot {
    Operand operand;
    int number;
    memory::desc desc;
};

// An operand that stays as it is.
struct Fixed {
    int number;
    memory content;
};

struct Epilogue {
    dnnl::primitive_attr attributes;
    std::vector<Slot> slots;
};

void append_eltwise(dnnl::post_ops& ops, const Eltwise& each) {
#if DNNL_VERSION_MAJOR >= 3
    ops.append_eltwise(each.algorithm, each.alpha, each.beta);
#else
    ops.append_eltwise(1.0F, each.algorithm, each.alpha, each.beta);
#endif
}

Epilogue epilogue_of(const ConvolutionSpec& spec) {
    Epilogue result;
    result.attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    dnnl::post_ops ops;
    const auto add_residual = [&] {
        if (spec.residual) ops.append_sum(1.0F);
    };
    if (!spec.residual_last) add_residual();
    if (spec.activation.kind == ActivationKind::PRelu) {
        constexpr int kByChannel = 1 << 1;
        result.slots.push_back({Operand::Slopes, DNNL_ARG_ATTR_MULTIPLE_POST_OP(ops.len()) | DNNL_ARG_WEIGHTS,
                                vector_of(spec.dst[1], DType::F32)});
        ops.append_prelu(kByChannel);
    }
    for (const Eltwise& each : eltwise_of(spec.activation)) append_eltwise(ops, each);
    if (spec.residual_last) add_residual();
    const Requantization& integers = spec.integers;
    if (integers.lowest != 0 || integers.highest != 0) {
        append_eltwise(ops, {dnnl::algorithm::eltwise_clip, integers.lowest, integers.highest});
    }
    result.attributes.set_post_ops(ops);
#if DNNL_VERSION_MAJOR >= 3
    if (!integers.scales.empty()) {
        result.attributes.set_scales_mask(DNNL_ARG_WEIGHTS, spec.group > 1 ? (1 << 0) + (1 << 1) : 1 << 0);
    }
    if (integers.src_zero_point != 0) result.attributes.set_zero_points_mask(DNNL_ARG_SRC, 0);
    if (integers.dst_zero_point != 0) result.attributes.set_zero_points_mask(DNNL_ARG_DST, 0);
#else
    if (!integers.scales.empty()) result.attributes.set_output_scales(1 << 1, integers.scales);
    if (integers.src_zero_point != 0) result.attributes.set_zero_points(DNNL_ARG_SRC, 0, {integers.src_zero_point});
    if (integers.dst_zero_point != 0) result.attributes.set_zero_points(DNNL_ARG_DST, 0, {integers.dst_zero_point});
#endif
    return result;
}

template <class T>
memory filled(const std::vector<T>& values, DType dtype) {
    memory result(vector_of(static_cast<int64_t>(values.size()), dtype), engine());
    std::ranges::copy(values, static_cast<T*>(result.get_data_handle()));
    return result;
}

// What belongs to the primitive itself. Version 2 adds the bias before it scales and knows the rest by its attributes.
std::vector<Fixed> fixed_of(const ConvolutionSpec& spec) {
    const Requantization& integers = spec.integers;
    std::vector<Fixed> result;
    if (!integers.bias.empty()) {
        std::vector<float> bias;
        for (size_t index = 0; index < integers.bias.size(); ++index) {
            const double scale = kVersion3 ? double{integers.scales[index]} : 1.0;
            bias.push_back(static_cast<float>(integers.bias[index] * scale));
        }
        result.push_back({DNNL_ARG_BIAS, filled(bias, DType::F32)});
    }
#if DNNL_VERSION_MAJOR >= 3
    const auto add = [&](int number, int32_t zero_point) {
        if (zero_point == 0) return;
        result.push_back({DNNL_ARG_ATTR_ZERO_POINTS | number, filled(std::vector<int32_t>{zero_point}, DType::I32)});
    };
    if (!integers.scales.empty()) {
        result.push_back({DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, filled(integers.scales, DType::F32)});
    }
    add(DNNL_ARG_SRC, integers.src_zero_point);
    add(DNNL_ARG_DST, integers.dst_zero_point);
#endif
    return result;
}

using ConvolutionChoice = dnnl::convolution_forward::primitive_desc;

ConvolutionChoice choose(const ConvolutionSpec& spec, const memory::desc* format,
                         const dnnl::primitive_attr& attributes) {
    const memory::desc src = channels_last(spec.src, spec.src_dtype);
    const memory::desc dst = channels_last(spec.dst, spec.dst_dtype);
    const memory::desc weights =
        format != nullptr ? *format
                          : memory::desc(weight_dims(spec), type_of(spec.weight_dtype), memory::format_tag::any);
    const bool with_bias = spec.bias || !spec.integers.bias.empty();
    const memory::desc bias = with_bias ? vector_of(spec.dst[1], DType::F32) : memory::desc();
    memory::dims dilation = spec.dilation;
    for (int64_t& each : dilation) --each;
    constexpr auto kKind = dnnl::prop_kind::forward_inference;
    constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    return {engine(),  kKind,    kAlgorithm,     src,          weights,    bias, dst,
            spec.step, dilation, spec.pad_begin, spec.pad_end, attributes, false};
#else
    return {{kKind, kAlgorithm, src, weights, bias, dst, spec.step, dilation, spec.pad_begin, spec.pad_end},
            attributes,
            engine()};
#endif
}

// ---- Primitives -----------------------------------------------------------------------------------------------

bool is_fast(std::string_view name) {
    return !name.starts_with("ref") && !name.starts_with("simple") && name.find("gemm:ref") == name.npos;
}

// Everything that one run at a time needs.
struct Lane {
    std::atomic<bool> busy{false};
    dnnl::stream stream{engine()};
    std::vector<memory> memories;  // by slot, the scratch last
    std::vector<dnnl_exec_arg_t> arguments;
};

// Given back also when something is thrown: the next thread would look for a free one for ever.
struct GiveBack {
    void operator()(Lane* lane) const { lane->busy.store(false, std::memory_order_release); }
};
using TakenLane = std::unique_ptr<Lane, GiveBack>;

class Made final : public Primitive {
public:
    Made(dnnl::primitive primitive, std::vector<Slot> slots, const memory::desc& scratch, std::string name, int runs,
         std::vector<Fixed> fixed = {})
        : primitive_(std::move(primitive)),
          slots_(std::move(slots)),
          fixed_(std::move(fixed)),
          scratch_bytes_(static_cast<int64_t>(scratch.get_size())),
          name_(std::move(name)),
          lanes_(static_cast<size_t>(std::max(runs, 1))) {
        for (Lane& lane : lanes_) {
            for (const Slot& slot : slots_) lane.memories.emplace_back(slot.desc, engine(), nullptr);
            if (scratch_bytes_ != 0) lane.memories.emplace_back(scratch, engine(), nullptr);
            for (size_t index = 0; index < lane.memories.size(); ++index) {
                const int number = index < slots_.size() ? slots_[index].number : DNNL_ARG_SCRATCHPAD;
                lane.arguments.push_back({number, lane.memories[index].get()});
            }
            for (const Fixed& each : fixed_) lane.arguments.push_back({each.number, each.content.get()});
        }
    }

    int64_t scratch_bytes() const override { return scratch_bytes_; }
    std::string name() const override { return name_; }
    bool is_fast() const override { return onednn::is_fast(name_); }

    Status run(const Pointers& pointers, std::byte* dst, std::byte* scratch) const override {
        const TakenLane lane = take_lane();
        return guarded([&]() -> Status {
            const OneThread one;
            for (size_t index = 0; index < slots_.size(); ++index) {
                const Operand operand = slots_[index].operand;
                // oneDNN has no pointers to const; it writes to dst alone.
                void* const place =
                    operand == Operand::Dst ? dst : const_cast<std::byte*>(pointers[static_cast<size_t>(operand)]);
                memory& content = lane->memories[index];
                if (content.get_data_handle() != place) content.set_data_handle(place);
            }
            if (scratch_bytes_ != 0) lane->memories.back().set_data_handle(scratch);
            const dnnl_status_t done = dnnl_primitive_execute(
                primitive_.get(), lane->stream.get(), static_cast<int>(lane->arguments.size()), lane->arguments.data());
            if (done == dnnl_success) return {};
            return error(done == dnnl_out_of_memory ? StatusCode::OutOfMemory : StatusCode::Internal, "oneDNN: ", name_,
                         " failed with status ", static_cast<int>(done));
        });
    }

private:
    TakenLane take_lane() const {
        while (true) {
            for (Lane& lane : lanes_) {
                if (!lane.busy.exchange(true, std::memory_order_acquire)) return TakenLane(&lane);
            }
        }
    }

    dnnl::primitive primitive_;
    std::vector<Slot> slots_;
    std::vector<Fixed> fixed_;
    int64_t scratch_bytes_;
    std::string name_;
    mutable std::vector<Lane> lanes_;
};

}  // namespace

// ---- The interface --------------------------------------------------------------------------------------------

Status check_available() {
    static_assert(DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_TBB, "a oneDNN with TBB has no way to run on one thread");
    if (dnnl_version()->major != DNNL_VERSION_MAJOR) {
        return error(StatusCode::Unsupported, version(), " was found where Quoin was compiled for version ",
                     DNNL_VERSION_MAJOR);
    }
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
    if (OpenMp::get().get_threads == nullptr || OpenMp::get().set_threads == nullptr) {
        return error(StatusCode::Unsupported, "the OpenMP library of oneDNN cannot be told to use one thread");
    }
#endif
    return {};
}

std::string version() {
    const dnnl_version_t* const found = dnnl_version();
    return "oneDNN " + std::to_string(found->major) + "." + std::to_string(found->minor) + "." +
           std::to_string(found->patch);
}

bool has_activation(const Activation& activation) {
    return activation.kind == ActivationKind::None || activation.kind == ActivationKind::PRelu ||
           !eltwise_of(activation).empty();
}

Result<Choice> choose_convolution(const ConvolutionSpec& spec) {
    return guarded([&]() -> Result<Choice> {
        const OneThread one;
        const ConvolutionChoice chosen = choose(spec, nullptr, epilogue_of(spec).attributes);
        const std::string name = chosen.impl_info_str();
        return Choice{std::make_shared<const WeightFormat>(chosen.weights_desc()), name, is_fast(name)};
    });
}

Result<PrimitivePtr> make_convolution(const ConvolutionSpec& spec, const WeightFormatPtr& format, int runs) {
    return guarded([&]() -> Result<PrimitivePtr> {
        const OneThread one;
        Epilogue epilogue = epilogue_of(spec);
        const ConvolutionChoice chosen = choose(spec, &format->desc, epilogue.attributes);
        const std::string name = chosen.impl_info_str();
        std::vector<Slot> slots = std::move(epilogue.slots);
        slots.push_back({Operand::Src, DNNL_ARG_SRC, chosen.src_desc()});
        slots.push_back({Operand::Weights, DNNL_ARG_WEIGHTS, chosen.weights_desc()});
        slots.push_back({Operand::Dst, DNNL_ARG_DST, chosen.dst_desc()});
        if (spec.bias) slots.push_back({Operand::Bias, DNNL_ARG_BIAS, chosen.bias_desc()});
        return PrimitivePtr(std::make_shared<Made>(dnnl::convolution_forward(chosen), std::move(slots),
                                                   chosen.scratchpad_desc(), name, runs, fixed_of(spec)));
    });
}

Result<PrimitivePtr> make_pool(const PoolSpec& spec, int runs) {
    return guarded([&]() -> Result<PrimitivePtr> {
        using enum dnnl::algorithm;
        const OneThread one;
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        const memory::desc src = channels_last(spec.src, spec.dtype);
        const memory::desc dst = channels_last(spec.dst, spec.dtype);
        memory::dims dilation = spec.dilation;
        for (int64_t& each : dilation) --each;
        constexpr auto kKind = dnnl::prop_kind::forward_inference;
        const auto algorithm = spec.maximum         ? pooling_max
                               : spec.count_padding ? pooling_avg_include_padding
                                                    : pooling_avg_exclude_padding;
#if DNNL_VERSION_MAJOR >= 3
        using Pooling = dnnl::pooling_forward;
        const Pooling::primitive_desc chosen(engine(), kKind, algorithm, src, dst, spec.step, spec.kernel, dilation,
                                             spec.pad_begin, spec.pad_end, attributes);
#else
        using Pooling = dnnl::pooling_v2_forward;
        const Pooling::primitive_desc chosen(
            {kKind, algorithm, src, dst, spec.step, spec.kernel, dilation, spec.pad_begin, spec.pad_end}, attributes,
            engine());
#endif
        std::vector<Slot> slots{{Operand::Src, DNNL_ARG_SRC, src}, {Operand::Dst, DNNL_ARG_DST, dst}};
        return PrimitivePtr(std::make_shared<Made>(Pooling(chosen), std::move(slots), chosen.scratchpad_desc(),
                                                   chosen.impl_info_str(), runs));
    });
}

Result<PrimitivePtr> make_product(const ProductSpec& spec, int runs) {
    return guarded([&]() -> Result<PrimitivePtr> {
        const OneThread one;
        constexpr auto kFloat = memory::data_type::f32;
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        const memory::desc src({spec.rows, spec.inner}, kFloat, memory::format_tag::ab);
        const memory::desc weights({spec.inner, spec.columns}, kFloat,
                                   spec.transposed ? memory::format_tag::ba : memory::format_tag::ab);
        const memory::desc dst({spec.rows, spec.columns}, kFloat, memory::format_tag::ab);
        const memory::desc bias =
            spec.bias ? memory::desc({1, spec.columns}, kFloat, memory::format_tag::ab) : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
        const dnnl::matmul::primitive_desc chosen(engine(), src, weights, bias, dst, attributes);
#else
        const dnnl::matmul::primitive_desc chosen({src, weights, bias, dst}, attributes, engine());
#endif
        std::vector<Slot> slots{{Operand::Src, DNNL_ARG_SRC, src},
                                {Operand::Weights, DNNL_ARG_WEIGHTS, weights},
                                {Operand::Dst, DNNL_ARG_DST, dst}};
        if (spec.bias) slots.push_back({Operand::Bias, DNNL_ARG_BIAS, bias});
        return PrimitivePtr(std::make_shared<Made>(dnnl::matmul(chosen), std::move(slots), chosen.scratchpad_desc(),
                                                   chosen.impl_info_str(), runs));
    });
}

Result<PrimitivePtr> make_rounding(int64_t count, int runs) {
    return guarded([&]() -> Result<PrimitivePtr> {
        const OneThread one;
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        const memory::desc src = vector_of(count, DType::F32);
        const memory::desc dst = vector_of(count, DType::BF16);
        const dnnl::reorder::primitive_desc chosen(engine(), src, engine(), dst, attributes);
        std::vector<Slot> slots{{Operand::Src, DNNL_ARG_FROM, src}, {Operand::Dst, DNNL_ARG_TO, dst}};
        return PrimitivePtr(std::make_shared<Made>(dnnl::reorder(chosen), std::move(slots), chosen.scratchpad_desc(),
                                                   chosen.impl_info_str(), runs));
    });
}

int64_t weight_bytes(const WeightFormatPtr& format) {
    return static_cast<int64_t>(format->desc.get_size());
}

namespace {

Status reorder(const memory::desc& from, const std::byte* src, const memory::desc& to, std::byte* dst) {
    return guarded([&]() -> Status {
        const OneThread one;
        dnnl::stream stream(engine());
        memory source(from, engine(), const_cast<std::byte*>(src));
        memory target(to, engine(), dst);
        dnnl::reorder(source, target).execute(stream, source, target);
        stream.wait();
        return {};
    });
}

}  // namespace

Status reorder_weights(const ConvolutionSpec& spec, DType dtype, const std::byte* weights,
                       const WeightFormatPtr& format, std::byte* dst) {
    const memory::dims dims = weight_dims(spec);
    memory::dims strides(dims.size());
    int64_t stride = 1;
    for (size_t axis = dims.size(); axis-- > 0;) {
        strides[axis] = stride;
        stride *= dims[axis];
    }
    return reorder({dims, type_of(dtype), strides}, weights, format->desc, dst);
}

Status reorder_weights(const WeightFormatPtr& from, const std::byte* weights, const WeightFormatPtr& to,
                       std::byte* dst) {
    return reorder(from->desc, weights, to->desc, dst);
}

}  // namespace quoin::onednn
