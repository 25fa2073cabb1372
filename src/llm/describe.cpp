#include "llm/describe.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "exec/program.h"
#include "llm/context.h"
#include "llm/model_session.h"

namespace quoin {
namespace {

using Json = nlohmann::ordered_json;

// Bytes of a file need not be UTF-8; broken ones become U+FFFD.
std::string to_text(const Json& json) {
    return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

Json to_json(const MetadataValue& value) {
    return std::visit([](const auto& held) { return Json(held); }, value);
}

constexpr size_t kTracePiece = 1 << 16;  // handed on at a time
constexpr size_t kShownElements = 8;     // of an array, in the text form

void print_value(std::ostream& out, const MetadataValue& value) {
    const Json json = to_json(value);
    if (!json.is_array() || json.size() <= kShownElements) {
        out << json.dump(-1, ' ', false, Json::error_handler_t::replace);
        return;
    }
    Json first = Json::array();
    for (size_t index = 0; index < kShownElements; ++index) first.push_back(json[index]);
    std::string text = first.dump(-1, ' ', false, Json::error_handler_t::replace);
    text.back() = ',';
    out << text << " ... ] (" << json.size() << " elements)";
}

std::string describe_metadata(const Model& model, bool json) {
    if (json) {
        Json object = Json::object();
        for (const Metadata::Entry& entry : model.metadata.entries()) {
            object[std::string(entry.key)] = to_json(entry.value);
        }
        return to_text(object);
    }
    std::ostringstream out;
    for (const Metadata::Entry& entry : model.metadata.entries()) {
        out << entry.key << " = ";
        print_value(out, entry.value);
        out << '\n';
    }
    return out.str();
}

// Kernel of the node that reads this constant as a matrix; empty for the others.
std::string reader_label(const PreparedGraph& prepared, ValueId id) {
    for (size_t node = 0; node < prepared.nodes.size(); ++node) {
        const Node& each = prepared.graph.nodes()[node];
        if (prepared.nodes[node] == nullptr) continue;
        for (const ValueId input : each.inputs) {
            if (input == id && each.op != Op::Embedding) {
                const std::string label = prepared.nodes[node]->label();
                return label.empty() ? std::string(op_info(each.op).name) : label;
            }
        }
    }
    for (const Node& each : prepared.graph.nodes()) {
        if (each.op == Op::Embedding && each.inputs[0] == id) return "embedding rows";
    }
    return {};
}

std::string describe_tensors(const Model& model, bool json) {
    Json list = Json::array();
    std::ostringstream out;
    const PreparedGraph& prepared = *model.prepared;
    for (size_t id = 0; id < prepared.graph.values().size(); ++id) {
        const Value& value = prepared.graph.values()[id];
        if (!value.constant) continue;
        const Constant& constant = *value.constant;
        const std::string kernel = reader_label(prepared, static_cast<ValueId>(id));
        const bool packed = constant.layout() == Layout::Panels;
        if (json) {
            Json dims = Json::array();
            for (const int64_t dim : constant.shape().dims()) dims.push_back(dim);
            list.push_back({{"name", value.name},
                            {"dtype", dtype_name(value.dtype)},
                            {"dims", dims},
                            {"bytes", constant.byte_size()},
                            {"layout", packed ? "panels" : "plain"},
                            {"kernel", kernel}});
        } else {
            out << value.name << ' ' << describe(prepared.graph, value) << ' ' << constant.byte_size() << " bytes, "
                << (packed ? "panels" : "plain") << ", " << kernel << '\n';
        }
    }
    return json ? to_text(list) : out.str();
}

// Of a decoder.
Result<std::string> plan_text(const Model& model) {
    const Graph& graph = model.prepared->graph;
    std::vector<TensorView> inputs;
    for (const ValueId id : graph.inputs()) {
        const Value& value = graph.value(id);
        std::vector<int64_t> dims;
        for (const Dim& dim : *value.dims) dims.push_back(dim.known() ? dim.size : 1);
        const DType dtype = value.dtype == DType::Undefined ? default_kv_dtype(model) : value.dtype;
        inputs.push_back({nullptr, dtype, Shape(std::span<const int64_t>(dims))});
    }
    QUOIN_ASSIGN_OR_RETURN(const Stage stage, plan(*model.prepared, inputs));
    return dump(*model.prepared, stage.program);
}

}  // namespace

Result<std::string> describe(const ModelPtr& pointer, Description what, bool json) {
    const Model& model = *pointer;
    if (what == Description::Metadata) return describe_metadata(model, json);
    const bool empty = model.prepared == nullptr;  // a vocabulary
    if (what == Description::Tensors) {
        if (empty) return std::string(json ? "[]" : "");
        return describe_tensors(model, json);
    }
    std::string text;
    if (!empty) {
        switch (what) {
            case Description::GraphSource: text = model.source_graph; break;
            case Description::Graph: text = dump(model.prepared->graph); break;
            case Description::Plan: {
                if (model.decoder) {
                    QUOIN_ASSIGN_OR_RETURN(text, plan_text(model));
                } else {
                    QUOIN_ASSIGN_OR_RETURN(const std::unique_ptr<ModelSession> session, ModelSession::create(pointer));
                    QUOIN_ASSIGN_OR_RETURN(text, session->plan_text());
                }
                break;
            }
            default:
                return error(StatusCode::InvalidArgument, "no description has the number ", static_cast<int>(what));
        }
    }
    return as_listing(text, json);
}

std::string as_listing(const std::string& text, bool json) {
    return json ? to_text(Json{{"text", text}}) : text;
}

Status write_trace(const Trace& trace, const std::function<bool(std::string_view)>& write) {
    const Status stopped = error(StatusCode::Cancelled, "the profile was stopped by the write callback");
    int64_t first_ns = std::numeric_limits<int64_t>::max();
    for (int thread = 0; thread < trace.threads(); ++thread) {
        for (const Trace::Event& event : trace.events(thread)) first_ns = std::min(first_ns, event.arrived_ns);
    }
    const auto microseconds = [](int64_t ns) { return static_cast<double>(ns) / 1000.0; };
    Json facts{{"lost_events", trace.lost()}};
    std::string text = R"({"displayTimeUnit": "ms", "otherData": )" + facts.dump() + R"(, "traceEvents": [)";
    for (int thread = 0; thread < trace.threads(); ++thread) {
        const Json name{{"ph", "M"},
                        {"name", "thread_name"},
                        {"pid", 1},
                        {"tid", thread},
                        {"args", {{"name", thread == 0 ? "caller" : "worker " + std::to_string(thread)}}}};
        text += (thread == 0 ? "\n" : ",\n") + name.dump();
        for (const Trace::Event& event : trace.events(thread)) {
            Json json{{"ph", "X"}, {"pid", 1}, {"tid", thread}};
            if (event.graph == nullptr) {
                json["name"] = "run";
                json["cat"] = "run";
            } else {
                const Node& node = event.graph->graph.node(event.node);
                const std::string_view op = op_info(node.op).name;
                const PreparedNode* const prepared = event.graph->nodes[static_cast<size_t>(event.node)].get();
                const std::string kernel = prepared == nullptr ? std::string() : prepared->label();
                json["name"] = node.name.empty() ? op : std::string_view(node.name);
                json["cat"] = op;
                json["args"] = {
                    {"op", op}, {"kernel", kernel}, {"waited_us", microseconds(event.began_ns - event.arrived_ns)}};
            }
            json["ts"] = microseconds(event.began_ns - first_ns);
            json["dur"] = microseconds(event.ended_ns - event.began_ns);
            text += ",\n" + json.dump(-1, ' ', false, Json::error_handler_t::replace);
            if (text.size() < kTracePiece) continue;
            if (!write(text)) return stopped;
            text.clear();
        }
    }
    text += "\n]}\n";
    return write(text) ? Status() : stopped;
}

}  // namespace quoin
