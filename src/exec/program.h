// A graph planned for certain input shapes: steps in order, where the threads must meet, where every tensor lies.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/status.h"
#include "exec/prepared_graph.h"
#include "ops/op_kernel.h"

namespace quoin {

// Where a value's bytes are.
struct Place {
    enum class Kind : uint8_t { None, Constant, Arena, Input, Output };
    Kind kind = Kind::None;
    int32_t index = 0;  // of the input or output
    size_t offset = 0;  // in the arena
};

struct Step {
    NodeId node;
    bool barrier;  // every thread must have finished what stands before
    Work work;
    uint32_t first_view;   // inputs, then outputs, in Program::views
    uint32_t view_stride;  // from one thread's views to the next one's; 0: all threads have the same
    uint32_t inputs;
    uint32_t outputs;

    size_t view_of(int thread) const { return first_view + static_cast<size_t>(thread) * view_stride; }
};

// Depends on shapes only, never on bytes.
struct Program {
    std::vector<TensorView> inputs;   // shapes it was planned for: the key of the plan cache
    std::vector<TensorView> outputs;  // shapes of the graph's outputs
    std::vector<Step> steps;
    std::vector<TensorView> views;  // operands of all steps; constants have their pointer already
    std::vector<Place> places;      // of each view
    std::vector<Place> output_places;
    size_t arena_bytes = 0;
    size_t scratch_bytes = 0;  // of one thread
    int barriers = 0;
};

// InvalidArgument when an input contradicts the graph (`inputs` are in the order of graph.inputs(), data is ignored).
Result<Program> plan(const PreparedGraph& prepared, std::span<const TensorView> inputs);

// One line per step: kernel, barrier, where its results lie.
std::string dump(const PreparedGraph& prepared, const Program& program);

}  // namespace quoin
