// A graph planned for certain input shapes: steps in order, where the threads must meet, where every tensor lies.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/status.h"
#include "exec/prepared_graph.h"
#include "ops/op_kernel.h"

namespace quoin {

// Where a value's bytes are.
struct Place {
    enum class Kind : uint8_t {
        None,
        Constant,  // fixed when the program is planned
        Arena,
        Input,
        Output,   // in the arena unless the caller bound the output
        Dynamic,  // made by a node that ran between the stages
    };
    Kind kind = Kind::None;
    int32_t index = 0;  // of the input or output; of a dynamic value its ValueId
    int32_t arena = 0;  // each stage has an arena of its own, which lives until the run has ended
    size_t offset = 0;
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

// One stage of a run: steps whose shapes are known, then nodes whose results have shapes that only their bytes tell.
// What depends on those is planned as the next stage, when they have run; most graphs need one stage. Depends on shapes
// only, never on bytes.
struct Program {
    std::vector<TensorView> inputs;   // shapes it was planned for: the key of the plan cache
    std::vector<TensorView> outputs;  // shapes of the graph's outputs; dtype Undefined where they are dynamic
    std::vector<Step> steps;
    std::vector<Step> dynamic;      // after the steps, one by one, by the calling thread
    std::vector<TensorView> views;  // operands of all steps; constants have their pointer already
    std::vector<Place> places;      // of each view
    std::vector<Place> output_places;
    std::vector<Tensor> known;  // small results found while planning (what follows from shapes); views point to them
    bool last = true;           // nothing is left to do after it
    size_t arena_bytes = 0;
    size_t scratch_bytes = 0;  // of one thread
    int barriers = 0;
};

// What is known when a stage begins.
struct PlanState {
    struct Known {
        bool available = false;
        bool boxed = false;  // no plain tensor: a sequence, nothing, strings
        TensorView type;     // with the bytes where they are known
        Place place;
    };
    std::vector<Known> values;
    std::vector<bool> done;  // by node
    int32_t stage = 0;
};

struct Stage {
    Program program;
    PlanState after;  // when its steps have run; the results of its dynamic nodes have places, but no types yet
};

// The first stage. InvalidArgument when an input contradicts the graph (`inputs` are in the order of graph.inputs(),
// data is ignored; dtype Undefined stands for a sequence or nothing).
Result<Stage> plan(const PreparedGraph& prepared, std::span<const TensorView> inputs);

// The next one, with the types of the results of `before`'s dynamic nodes, in their order; dtype Undefined: boxed.
Result<Stage> plan_next(const PreparedGraph& prepared, const Stage& before, std::span<const TensorView> results);

// One line per step: kernel, barrier, where its results lie.
std::string dump(const PreparedGraph& prepared, const Program& program);

}  // namespace quoin
