// libFuzzer over loader, optimizer and a run: any bytes either load, and then make a sound graph that runs or says why
// not, or give a status with a sentence.
//   clang++ -fsanitize=fuzzer,address,undefined ... onnx_fuzz.cpp
// The same bytes go through a mapped source and through a reader, which must agree.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/memory.h"
#include "core/source.h"
#include "graph/graph.h"
#include "llm/model.h"
#include "llm/model_session.h"
#include "load/onnx.h"

namespace {

using namespace quoin;

// Of one run and of what is folded: hostile shapes must meet a limit, not the machine's memory.
constexpr size_t kBudget = size_t{64} << 20;
constexpr int64_t kMostElements = 4096;  // of one input

void require(bool holds, const char* what, const std::string& detail) {
    if (holds) return;
    std::fprintf(stderr, "%s: %s\n", what, detail.c_str());
    std::abort();
}

void check(const Result<LoadedModel>& model) {
    if (!model.ok()) {
        const StatusCode code = model.status().code();
        const bool expected =
            code == StatusCode::InvalidModel || code == StatusCode::Unsupported || code == StatusCode::OutOfMemory;
        require(expected, "unexpected status", model.status().message());
        require(!model.status().message().empty(), "a status without a sentence", "");
        return;
    }
    const Status sound = verify(model->graph);
    require(sound.ok(), "broken graph", sound.message());
    static_cast<void>(dump(model->graph));
    for (const Value& value : model->graph.values()) {
        if (!value.constant) continue;
        const Result<Tensor> tensor = value.constant->load();
        require(tensor.ok(), "a constant without bytes", tensor.status().message());
        require(byte_size(tensor->dtype(), *tensor->shape().element_count()) == tensor->byte_size(),
                "a constant of another size than its shape", value.name);
    }
}

RuntimePtr make_runtime() {
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>(kBudget);
    runtime->team = std::make_unique<Team>(1);
    runtime->isa = effective_isa({});
    return runtime;
}

// Zeros and ones in turn, where the model leaves a dim open two of them; nullopt for what is no small tensor.
std::optional<Tensor> input_for(const TensorSpec& spec, const std::shared_ptr<Memory>& memory) {
    std::vector<int64_t> dims;
    for (const int64_t dim : spec.dims) dims.push_back(dim < 0 ? 2 : dim);
    if (!spec.ranked || dims.size() > Shape::kMaxRank || spec.dtype == DType::String) return std::nullopt;
    const Shape shape{std::span<const int64_t>(dims)};
    const std::optional<int64_t> count = shape.element_count();
    if (!count || *count > kMostElements) return std::nullopt;
    const Result<Tensor> tensor = Tensor::allocate(memory, spec.dtype, shape, spec.name);
    if (!tensor.ok()) return std::nullopt;
    for (size_t index = 0; index < tensor->byte_size(); ++index) {
        tensor->data()[index] =
            static_cast<std::byte>(spec.dtype == DType::F32 ? index % 4 == 3 ? 0x3F : 0 : index % 2);
    }
    return *tensor;
}

// A loop may be told to run for ever, which is no defect.
class Watchdog {
public:
    explicit Watchdog(const ModelSession& session)
        : thread_([this, &session] {
              std::unique_lock lock(mutex_);
              while (!done_.wait_for(lock, std::chrono::seconds(2), [this] { return ended_; })) session.cancel();
          }) {}
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
    ~Watchdog() {
        {
            const std::scoped_lock lock(mutex_);
            ended_ = true;
        }
        done_.notify_one();
        thread_.join();
    }

private:
    std::mutex mutex_;
    std::condition_variable done_;
    bool ended_ = false;
    std::thread thread_;  // last, as it uses the others
};

void run(const SourcePtr& source, bool overridable_initializers) {
    static const RuntimePtr runtime = make_runtime();
    LoadOptions options;
    options.overridable_initializers = overridable_initializers;
    const Result<ModelPtr> model = load(source, runtime, options);
    if (!model.ok()) return;
    Result<std::unique_ptr<ModelSession>> session = ModelSession::create(*model);
    if (!session.ok()) return;
    const std::vector<TensorSpec> specs = input_specs(**model);
    for (size_t index = 0; index < specs.size(); ++index) {
        if (specs[index].has_default && index % 2 == 0) continue;
        const std::optional<Tensor> tensor = input_for(specs[index], runtime->memory);
        if (!tensor) return;
        (*session)->set_input(index, *tensor);
    }
    const Watchdog watchdog(**session);
    const Status status = (*session)->run();
    require(status.ok() || !status.message().empty(), "a status without a sentence", "");
    require(status.code() != StatusCode::Internal, "a defect of the library", status.message());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    const SourcePtr source = wrap_memory(bytes);
    const Result<LoadedModel> mapped = load_onnx(source, {});
    check(mapped);
    const auto read_at = [bytes](uint64_t offset, std::span<std::byte> to) {
        if (!to.empty()) std::memcpy(to.data(), bytes.data() + offset, to.size());
        return true;
    };
    const Result<LoadedModel> read = load_onnx(wrap_reader(size, read_at, std::make_shared<Memory>()), {});
    check(read);
    require(mapped.status().code() == read.status().code(), "mapping and reader disagree", read.status().message());
    if (mapped.ok()) run(source, size % 2 == 1);
    return 0;
}
