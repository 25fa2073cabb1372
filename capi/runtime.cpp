#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "core/message.h"
#include "exec/machine_limits.h"
#include "handles.h"
#include "runtime_of.h"
#include "support.h"

using namespace quoin;
using namespace quoin::capi;

namespace {

constexpr int32_t kMostThreads = 1024;

// `source` begins the message: where the name was found, when that is not an option.
Result<Isa> isa_named(std::string_view name, std::string_view source) {
    if (const std::optional<Isa> isa = isa_from_name(name)) return *isa;
    return error(StatusCode::InvalidArgument, source, "there is no instruction set '", name, "'; known are ",
                 sentence_of(isa_names()));
}

Result<RuntimePtr> make_runtime(const quoin_runtime_options& options) {
    if (options.threads < 0 || options.threads > kMostThreads) {
        return error(StatusCode::InvalidArgument, "threads = ", options.threads, " is not between 0 and ",
                     kMostThreads);
    }
    if ((options.allocate == nullptr) != (options.release == nullptr)) {
        return error(StatusCode::InvalidArgument, "allocate and release must both be given or both be NULL");
    }
    if (options.affinity == nullptr && options.affinity_count != 0) {
        return error(StatusCode::InvalidArgument, "affinity is NULL, but affinity_count is ", options.affinity_count);
    }
    std::optional<Isa> cap;
    std::string_view isa;
    QUOIN_RETURN_IF_ERROR(read_text(options.isa, options.isa == nullptr ? 0 : options.isa_length, "isa", isa));
    if (options.isa != nullptr) {
        QUOIN_ASSIGN_OR_RETURN(cap, isa_named(isa, ""));
    }
    if (const char* const name = std::getenv("QUOIN_ISA"); name != nullptr && *name != '\0') {
        QUOIN_RETURN_IF_ERROR(isa_named(name, "QUOIN_ISA: ").status());
    }
    Memory::AllocateFunction allocate;
    Memory::FreeFunction release;
    if (options.allocate != nullptr) {
        void* const user_data = options.allocator_user_data;
        allocate = [function = options.allocate, user_data](size_t bytes, size_t alignment) {
            return function(bytes, alignment, user_data);
        };
        release = [function = options.release, user_data](void* block, size_t bytes) {
            function(block, bytes, user_data);
        };
    }
    std::vector<int> processors;
    for (size_t index = 0; index < options.affinity_count; ++index) {
        if (options.affinity[index] < 0 || options.affinity[index] >= 1024) {
            return error(StatusCode::InvalidArgument, "there is no processor ", options.affinity[index]);
        }
        processors.push_back(options.affinity[index]);
    }
    auto runtime = std::make_shared<Runtime>();
    runtime->memory = std::make_shared<Memory>(options.memory_budget_bytes, std::move(allocate), std::move(release));
    runtime->team =
        std::make_unique<Team>(options.threads == 0 ? available_processors() : options.threads, std::move(processors));
    runtime->isa = effective_isa(cap);
    return RuntimePtr(std::move(runtime));
}

}  // namespace

Result<RuntimePtr> quoin::capi::runtime_of(const quoin_runtime* runtime) {
    return runtime != nullptr ? Result<RuntimePtr>(runtime->runtime) : make_runtime({});
}

quoin_status quoin_runtime_create(const quoin_runtime_options* options, quoin_runtime** out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        quoin_runtime_options read;
        QUOIN_RETURN_IF_ERROR(read_options(options, read));
        QUOIN_ASSIGN_OR_RETURN(RuntimePtr runtime, make_runtime(read));
        *out = std::make_unique<quoin_runtime>(quoin_runtime{std::move(runtime)}).release();
        return {};
    });
}

void quoin_runtime_destroy(quoin_runtime* runtime) {
    const std::unique_ptr<quoin_runtime> owner(runtime);
}

int32_t quoin_runtime_threads(const quoin_runtime* runtime) {
    return runtime == nullptr ? 0 : runtime->runtime->team->size();
}

const char* quoin_runtime_isa(const quoin_runtime* runtime) {
    return isa_name(runtime == nullptr ? effective_isa(std::nullopt) : runtime->runtime->isa).data();
}

uint64_t quoin_runtime_memory_bytes(const quoin_runtime* runtime) {
    return runtime == nullptr ? 0 : runtime->runtime->memory->used_bytes();
}

quoin_status quoin_runtime_measure_limits(const quoin_runtime* runtime, quoin_limits* out) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(out, "out"));
        QUOIN_ASSIGN_OR_RETURN(const RuntimePtr used, runtime_of(runtime));
        QUOIN_ASSIGN_OR_RETURN(const MachineLimits measured, measure_limits(*used));
        quoin_limits limits{};
        limits.dram_bytes_per_second = measured.dram_gb_per_s * 1e9;
        limits.int8_operations_per_second = measured.int8_tops * 1e12;
        limits.f32_operations_per_second = measured.f32_tflops * 1e12;
        limits.bf16_operations_per_second = measured.bf16_tflops * 1e12;
        return write_struct(limits, out);
    });
}
