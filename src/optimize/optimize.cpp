#include "optimize/optimize.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/log.h"
#include "ops/op_kernel.h"
#include "ops/providers.h"
#include "optimize/passes.h"

namespace quoin {
namespace {

struct Pass {
    std::string_view name;
    Status (*run)(Graph&, const OptimizeContext&);
};

// Order matters: what is quantised is found before weights are folded to floats, fusions look at plain Linear nodes,
// quantization at what is left and then who makes what is quantized, packing at the final readers.
constexpr std::array kPasses = {
    Pass{"fuse_quantized", fuse_quantized},
    Pass{"keep_codes", keep_codes},
    Pass{"fold_constants", fold_constants},
    Pass{"fold_shapes", fold_shapes},
    Pass{"inline_conditions", inline_conditions},
    Pass{"fold_constants", fold_constants},
    Pass{"fold_shapes", fold_shapes},
    Pass{"remove_no_ops", remove_no_ops},
    Pass{"remove_duplicates", remove_duplicates},
    Pass{"fuse_dynamic_quantization", fuse_dynamic_quantization},
    Pass{"fuse_activations", fuse_activations},
    Pass{"fuse_normalization", fuse_normalization},
    Pass{"fuse_attention", fuse_attention},
    Pass{"fold_padding", fold_padding},
    Pass{"fold_batch_norm", fold_batch_norm},
    Pass{"matmul_to_linear", matmul_to_linear},
    Pass{"fuse_gated_linear", fuse_gated_linear},
    Pass{"fuse_residual", fuse_residual},
    Pass{"fuse_linear_activation", fuse_linear_activation},
    Pass{"remove_dead_nodes", remove_dead_nodes},
    Pass{"optimize_bodies", optimize_bodies},
    Pass{"channels_last", channels_last},
    Pass{"fuse_convolution", fuse_convolution},
    Pass{"quantize_activations", quantize_activations},
    Pass{"fuse_norm_quantization", fuse_norm_quantization},
    Pass{"fuse_gate_quantization", fuse_gate_quantization},
    Pass{"fuse_rotary_update", fuse_rotary_update},
    Pass{"fuse_attention_inputs", fuse_attention_inputs},
    Pass{"pack_convolutions", pack_convolutions},
    Pass{"round_weights", round_weights},
    Pass{"pack_weights", pack_weights},
};

}  // namespace

Result<Provider> effective_provider(Provider wanted, const Runtime& runtime) {
    if (wanted == Provider::Best) {
        if (const char* const name = std::getenv("QUOIN_PROVIDER"); name != nullptr && *name != '\0') {
            const std::optional<Provider> found = provider_from_name(name);
            if (!found) {
                return error(StatusCode::InvalidArgument, "QUOIN_PROVIDER: there is no provider '", name,
                             "'; known are ", provider_names());
            }
            wanted = *found;
        }
    }
    QUOIN_RETURN_IF_ERROR(check_provider(wanted, runtime));
    return wanted;
}

Status check_arithmetic(DType arithmetic, const Runtime& runtime) {
    if (arithmetic != DType::BF16 || has_bf16_products(runtime.isa)) return {};
    return error(StatusCode::Unsupported, "the instruction set ", isa_name(runtime.isa),
                 " has no products of bf16 numbers");
}

Status optimize(Graph& graph, const OptimizeContext& context) {
    QUOIN_RETURN_IF_ERROR(verify(graph));
    QUOIN_RETURN_IF_ERROR(infer_types(graph));
    for (const Pass& pass : kPasses) {
        const size_t before = graph.nodes().size();
        QUOIN_RETURN_IF_ERROR(pass.run(graph, context));
        QUOIN_RETURN_IF_ERROR(with_context(verify(graph), "after ", pass.name, ": "));
        QUOIN_RETURN_IF_ERROR(infer_types(graph));
        log(LogLevel::Debug, "optimize: ", pass.name, ": ", before, " -> ", graph.nodes().size(), " nodes");
    }
    return {};
}

const Node* sole_producer(const Graph& graph, const std::vector<std::vector<NodeId>>& readers, ValueId value, Op op) {
    if (value == kNoValue || graph.value(value).producer == kNoValue) return nullptr;
    const Node& node = graph.node(graph.value(value).producer);
    if (node.op != op || readers[static_cast<size_t>(value)].size() != 1) return nullptr;
    return std::ranges::find(graph.outputs(), value) == graph.outputs().end() ? &node : nullptr;
}

bool updates_between(const Graph& graph, const Node& first, const Node& second) {
    const auto position = [&](const Node& node) {
        return graph.nodes().begin() + graph.value(node.outputs[0]).producer;
    };
    return std::any_of(position(first), position(second),
                       [](const Node& node) { return op_info(node.op).has(facts::updates); });
}

}  // namespace quoin
