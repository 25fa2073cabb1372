// What all models of one runtime share: memory, the worker team, the instruction set.
#pragma once

#include <cstdint>
#include <memory>

#include "core/cpu_info.h"
#include "core/memory.h"
#include "core/team.h"

namespace quoin {

// Who computes the heavy ops of a model. Each takes what it can; what it cannot goes to the next one that does
// (ops/providers.h has the order).
enum class Provider : uint8_t {
    Best,       // whoever was measured to be the fastest for the problem
    Native,     // own kernels for the instruction set
    OneDnn,     // oneDNN, where the build has it
    Eigen,      // Eigen, where the build has it
    Reference,  // plain loops in double precision on unrounded operands: slow, to check the others against
};

// Immutable after creation; shared by models, contexts and sessions, which keep it alive.
struct Runtime {
    std::shared_ptr<Memory> memory;
    std::unique_ptr<Team> team;
    Isa isa = Isa::Baseline;
};

using RuntimePtr = std::shared_ptr<const Runtime>;

}  // namespace quoin
