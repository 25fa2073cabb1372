// Looks at a planned program as an outsider: who may be alive when, from the graph's facts and the program's barriers
// alone. Used by the tests of the planner.
#pragma once

#include <algorithm>
#include <climits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "exec/program.h"

namespace quoin::test {

class ProgramCheck {
public:
    ProgramCheck(const PreparedGraph& prepared, const Program& program)
        : graph_(prepared.graph),
          program_(program),
          threads_(prepared.runtime->team->size()),
          group_(graph_.values().size()),
          made_(graph_.values().size(), -1) {
        follow_shared_bytes();
        walk();
    }

    // What is wrong; empty when nothing is.
    const std::string& complaints() const { return complaints_; }
    // Barriers before the step that makes this value.
    int epoch(ValueId value) const { return made_[static_cast<size_t>(value)]; }
    // Results that took the place of their first operand.
    int in_place() const { return in_place_; }

private:
    // Values that are the same bytes by definition: views and updates of one another.
    struct Group {
        Place place;
        size_t bytes = 0;
        int first = INT_MAX;
        int last = -1;
        NodeId maker = kNoValue;
        std::vector<std::pair<NodeId, int>> uses;  // by steps, with their epochs
    };

    void complain(const std::string& text) { complaints_ += text + "\n"; }

    void follow_shared_bytes() {
        for (size_t id = 0; id < group_.size(); ++id) group_[id] = static_cast<ValueId>(id);
        for (const Node& node : graph_.nodes()) {
            const OpInfo& info = op_info(node.op);
            if (!info.has(facts::view) && !info.has(facts::updates)) continue;
            group_[static_cast<size_t>(node.outputs[0])] = group_[static_cast<size_t>(node.inputs[0])];
        }
    }

    // The value that a step makes behind any number of views.
    ValueId behind_views(ValueId id) const {
        while (graph_.value(id).producer != kNoValue) {
            const Node& node = graph_.node(graph_.value(id).producer);
            if (!op_info(node.op).has(facts::view)) break;
            id = node.inputs[0];
        }
        return id;
    }

    void note(ValueId value, size_t view, NodeId node, int epoch) {
        const TensorView& type = program_.views[view];
        Group& group = groups_[group_[static_cast<size_t>(value)]];
        const Place& place = program_.places[view];
        if (group.uses.empty()) group.place = place;
        if (group.place.kind != place.kind || group.place.index != place.index || group.place.offset != place.offset) {
            complain("'" + graph_.value(value).name + "' is looked for in two places");
        }
        group.bytes = std::max(group.bytes, byte_size(type.dtype, type.elements()).value());
        group.first = std::min(group.first, epoch);
        group.last = std::max(group.last, epoch);
        group.uses.emplace_back(node, epoch);
    }

    void walk() {
        int epoch = 0;
        for (const Step& step : program_.steps) {
            epoch += step.barrier ? 1 : 0;
            const Node& node = graph_.node(step.node);
            for (size_t index = 0; index < node.inputs.size(); ++index) {
                if (node.inputs[index] == kNoValue) continue;
                const ValueId source = behind_views(node.inputs[index]);
                const bool outside = graph_.value(source).producer == kNoValue;
                if (!outside && !own_.contains(source) &&
                    (made_[static_cast<size_t>(source)] < 0 || made_[static_cast<size_t>(source)] >= epoch)) {
                    complain("'" + node.name + "' reads '" + graph_.value(source).name + "' before a barrier");
                }
                note(node.inputs[index], step.first_view + index, step.node, epoch);
            }
            if (step.work.replicated) check_copies(step, node);
            for (size_t index = 0; index < node.outputs.size(); ++index) {
                made_[static_cast<size_t>(node.outputs[index])] = epoch;
                note(node.outputs[index], step.first_view + step.inputs + index, step.node, epoch);
                Group& group = groups_[group_[static_cast<size_t>(node.outputs[index])]];
                if (group.maker == kNoValue) group.maker = step.node;
            }
        }
        if (epoch != program_.barriers) complain("the barriers are counted wrong");
        for (const ValueId output : graph_.outputs()) groups_[group_[static_cast<size_t>(output)]].last = INT_MAX;
        check_updates();
        for (auto a = groups_.begin(); a != groups_.end(); ++a) {
            for (auto b = std::next(a); b != groups_.end(); ++b) check_pair(*a, *b);
        }
    }

    // Every thread has bytes of its own for each result.
    void check_copies(const Step& step, const Node& node) {
        for (size_t index = 0; index < node.outputs.size(); ++index) {
            own_.insert(node.outputs[index]);
            const size_t view = step.first_view + step.inputs + index;
            const TensorView& type = program_.views[view];
            const size_t bytes = byte_size(type.dtype, type.elements()).value();
            const size_t apart = program_.places[view + step.view_stride].offset - program_.places[view].offset;
            if (step.view_stride == 0 || apart < bytes || apart % 64 != 0) complain("threads share a copy");
            Group& group = groups_[group_[static_cast<size_t>(node.outputs[index])]];
            group.bytes = apart * static_cast<size_t>(threads_ - 1) + bytes;
        }
    }

    // While bytes are updated nobody else may touch them.
    void check_updates() {
        for (const auto& [id, group] : groups_) {
            for (const auto& [node, epoch] : group.uses) {
                if (!op_info(graph_.node(node).op).has(facts::updates)) continue;
                if (group_[static_cast<size_t>(graph_.node(node).outputs[0])] != id) continue;
                for (const auto& [other, when] : group.uses) {
                    if (other != node && when == epoch)
                        complain("an update of '" + graph_.value(id).name + "' is disturbed");
                }
            }
        }
    }

    static bool in_arena(const Place& place) {
        return place.kind == Place::Kind::Arena || place.kind == Place::Kind::Output;
    }

    using Entry = std::pair<const ValueId, Group>;

    // b was written over a by the only step that used a at that time.
    bool took_over(const Entry& a, const Entry& b) {
        if (b.second.maker == kNoValue || a.second.last != b.second.first) return false;
        const Node& maker = graph_.node(b.second.maker);
        if (!op_info(maker.op).has(facts::in_place) || group_[static_cast<size_t>(maker.inputs[0])] != a.first)
            return false;
        if (a.second.place.offset != b.second.place.offset || a.second.bytes != b.second.bytes) return false;
        const auto uses =
            std::ranges::count_if(a.second.uses, [&](const auto& use) { return use.second == a.second.last; });
        if (uses != 1) return false;
        ++in_place_;
        return true;
    }

    void check_pair(const Entry& a, const Entry& b) {
        const Group& left = a.second;
        const Group& right = b.second;
        if (!in_arena(left.place) || !in_arena(right.place) || left.bytes == 0 || right.bytes == 0) return;
        for (const Group* each : {&left, &right}) {
            if (each->place.offset % 64 != 0) complain("a tensor is not aligned");
            if (each->place.offset + each->bytes > program_.arena_bytes) complain("a tensor reaches out of the arena");
        }
        const bool apart = left.place.offset + left.bytes <= right.place.offset ||
                           right.place.offset + right.bytes <= left.place.offset;
        if (apart || left.last < right.first || right.last < left.first) return;
        if (took_over(a, b) || took_over(b, a)) return;
        complain("'" + graph_.value(a.first).name + "' and '" + graph_.value(b.first).name +
                 "' share bytes while both live");
    }

    const Graph& graph_;
    const Program& program_;
    int threads_;
    std::set<ValueId> own_;       // results that every thread has for itself
    std::vector<ValueId> group_;  // by value: the first value of the same bytes
    std::vector<int> made_;
    std::map<ValueId, Group> groups_;
    int in_place_ = 0;
    std::string complaints_;
};

}  // namespace quoin::test
