/* Size and offsets of every public struct, as they were first published: within a major version these lines stay, and
 * new fields only add lines and raise sizes. All 64-bit platforms have the same layout; there is no hidden padding, so
 * a struct whose fields are all set has no undefined bytes. */
#include <quoin/quoin.h>
#include <stddef.h>
#include <stdio.h>

#define LAYOUT_SIZE(type, size) \
    _Static_assert(sizeof(void*) != 8 || (sizeof(type) == (size) && offsetof(type, struct_size) == 0), #type)
#define LAYOUT_FIELD(type, field, offset, size)                                                                      \
    _Static_assert(sizeof(void*) != 8 || (offsetof(type, field) == (offset) && sizeof(((type*)0)->field) == (size)), \
                   #type "." #field)

_Static_assert(sizeof(quoin_status) == 4, "quoin_status");

LAYOUT_SIZE(quoin_cpu, 40);
LAYOUT_FIELD(quoin_cpu, struct_size, 0, 8);
LAYOUT_FIELD(quoin_cpu, name, 8, 8);
LAYOUT_FIELD(quoin_cpu, isa_detected, 16, 8);
LAYOUT_FIELD(quoin_cpu, isa_default, 24, 8);
LAYOUT_FIELD(quoin_cpu, processors, 32, 4);
LAYOUT_FIELD(quoin_cpu, reserved, 36, 4);

LAYOUT_SIZE(quoin_runtime_options, 80);
LAYOUT_FIELD(quoin_runtime_options, struct_size, 0, 8);
LAYOUT_FIELD(quoin_runtime_options, threads, 8, 4);
LAYOUT_FIELD(quoin_runtime_options, reserved, 12, 4);
LAYOUT_FIELD(quoin_runtime_options, affinity, 16, 8);
LAYOUT_FIELD(quoin_runtime_options, affinity_count, 24, 8);
LAYOUT_FIELD(quoin_runtime_options, isa, 32, 8);
LAYOUT_FIELD(quoin_runtime_options, isa_length, 40, 8);
LAYOUT_FIELD(quoin_runtime_options, memory_budget_bytes, 48, 8);
LAYOUT_FIELD(quoin_runtime_options, allocate, 56, 8);
LAYOUT_FIELD(quoin_runtime_options, release, 64, 8);
LAYOUT_FIELD(quoin_runtime_options, allocator_user_data, 72, 8);

LAYOUT_SIZE(quoin_limits, 40);
LAYOUT_FIELD(quoin_limits, struct_size, 0, 8);
LAYOUT_FIELD(quoin_limits, dram_bytes_per_second, 8, 8);
LAYOUT_FIELD(quoin_limits, int8_operations_per_second, 16, 8);
LAYOUT_FIELD(quoin_limits, f32_operations_per_second, 24, 8);
LAYOUT_FIELD(quoin_limits, bf16_operations_per_second, 32, 8);

LAYOUT_SIZE(quoin_model_options, 72);
LAYOUT_FIELD(quoin_model_options, struct_size, 0, 8);
LAYOUT_FIELD(quoin_model_options, progress, 8, 8);
LAYOUT_FIELD(quoin_model_options, progress_user_data, 16, 8);
LAYOUT_FIELD(quoin_model_options, provider, 24, 8);
LAYOUT_FIELD(quoin_model_options, provider_length, 32, 8);
LAYOUT_FIELD(quoin_model_options, mmap_mode, 40, 4);
LAYOUT_FIELD(quoin_model_options, metadata_only, 44, 4);
LAYOUT_FIELD(quoin_model_options, arithmetic, 48, 8);
LAYOUT_FIELD(quoin_model_options, arithmetic_length, 56, 8);
LAYOUT_FIELD(quoin_model_options, overridable_initializers, 64, 4);
LAYOUT_FIELD(quoin_model_options, reserved, 68, 4);

LAYOUT_SIZE(quoin_reader, 32);
LAYOUT_FIELD(quoin_reader, struct_size, 0, 8);
LAYOUT_FIELD(quoin_reader, size, 8, 8);
LAYOUT_FIELD(quoin_reader, read, 16, 8);
LAYOUT_FIELD(quoin_reader, user_data, 24, 8);

LAYOUT_SIZE(quoin_model_facts, 96);
LAYOUT_FIELD(quoin_model_facts, struct_size, 0, 8);
LAYOUT_FIELD(quoin_model_facts, architecture, 8, 8);
LAYOUT_FIELD(quoin_model_facts, parameter_count, 16, 8);
LAYOUT_FIELD(quoin_model_facts, memory_bytes, 24, 8);
LAYOUT_FIELD(quoin_model_facts, vocabulary_size, 32, 8);
LAYOUT_FIELD(quoin_model_facts, context_length, 40, 8);
LAYOUT_FIELD(quoin_model_facts, layers, 48, 8);
LAYOUT_FIELD(quoin_model_facts, embedding_length, 56, 8);
LAYOUT_FIELD(quoin_model_facts, active_weight_bytes, 64, 8);
LAYOUT_FIELD(quoin_model_facts, prompt_multiply_adds, 72, 8);
LAYOUT_FIELD(quoin_model_facts, prompt_arithmetic, 80, 4);
LAYOUT_FIELD(quoin_model_facts, reserved, 84, 4);
LAYOUT_FIELD(quoin_model_facts, logits_multiply_adds, 88, 8);

LAYOUT_SIZE(quoin_metadata_value, 56);
LAYOUT_FIELD(quoin_metadata_value, struct_size, 0, 8);
LAYOUT_FIELD(quoin_metadata_value, type, 8, 4);
LAYOUT_FIELD(quoin_metadata_value, is_array, 12, 4);
LAYOUT_FIELD(quoin_metadata_value, count, 16, 8);
LAYOUT_FIELD(quoin_metadata_value, integer, 24, 8);
LAYOUT_FIELD(quoin_metadata_value, number, 32, 8);
LAYOUT_FIELD(quoin_metadata_value, text, 40, 8);
LAYOUT_FIELD(quoin_metadata_value, text_length, 48, 8);

LAYOUT_SIZE(quoin_value_info, 56);
LAYOUT_FIELD(quoin_value_info, struct_size, 0, 8);
LAYOUT_FIELD(quoin_value_info, name, 8, 8);
LAYOUT_FIELD(quoin_value_info, dims, 16, 8);
LAYOUT_FIELD(quoin_value_info, dim_names, 24, 8);
LAYOUT_FIELD(quoin_value_info, dtype, 32, 4);
LAYOUT_FIELD(quoin_value_info, rank, 36, 4);
LAYOUT_FIELD(quoin_value_info, kind, 40, 4);
LAYOUT_FIELD(quoin_value_info, optional, 44, 4);
LAYOUT_FIELD(quoin_value_info, has_default, 48, 4);
LAYOUT_FIELD(quoin_value_info, reserved, 52, 4);

LAYOUT_SIZE(quoin_session_options, 8);
LAYOUT_FIELD(quoin_session_options, struct_size, 0, 8);

LAYOUT_SIZE(quoin_context_options, 32);
LAYOUT_FIELD(quoin_context_options, struct_size, 0, 8);
LAYOUT_FIELD(quoin_context_options, kv_tokens, 8, 8);
LAYOUT_FIELD(quoin_context_options, kv_dtype, 16, 4);
LAYOUT_FIELD(quoin_context_options, max_sequences, 20, 4);
LAYOUT_FIELD(quoin_context_options, max_step_tokens, 24, 4);
LAYOUT_FIELD(quoin_context_options, reserved, 28, 4);

LAYOUT_SIZE(quoin_metrics, 88);
LAYOUT_FIELD(quoin_metrics, struct_size, 0, 8);
LAYOUT_FIELD(quoin_metrics, steps, 8, 8);
LAYOUT_FIELD(quoin_metrics, shared_steps, 16, 8);
LAYOUT_FIELD(quoin_metrics, tokens, 24, 8);
LAYOUT_FIELD(quoin_metrics, step_seconds, 32, 8);
LAYOUT_FIELD(quoin_metrics, sequences, 40, 8);
LAYOUT_FIELD(quoin_metrics, pages_total, 48, 8);
LAYOUT_FIELD(quoin_metrics, pages_used, 56, 8);
LAYOUT_FIELD(quoin_metrics, page_tokens, 64, 8);
LAYOUT_FIELD(quoin_metrics, kv_bytes_per_token, 72, 8);
LAYOUT_FIELD(quoin_metrics, memory_bytes, 80, 8);

LAYOUT_SIZE(quoin_sequence_options, 8);
LAYOUT_FIELD(quoin_sequence_options, struct_size, 0, 8);

LAYOUT_SIZE(quoin_sampler_options, 48);
LAYOUT_FIELD(quoin_sampler_options, struct_size, 0, 8);
LAYOUT_FIELD(quoin_sampler_options, repetition_penalty, 8, 4);
LAYOUT_FIELD(quoin_sampler_options, frequency_penalty, 12, 4);
LAYOUT_FIELD(quoin_sampler_options, presence_penalty, 16, 4);
LAYOUT_FIELD(quoin_sampler_options, penalty_window, 20, 4);
LAYOUT_FIELD(quoin_sampler_options, top_k, 24, 4);
LAYOUT_FIELD(quoin_sampler_options, top_p, 28, 4);
LAYOUT_FIELD(quoin_sampler_options, min_p, 32, 4);
LAYOUT_FIELD(quoin_sampler_options, temperature, 36, 4);
LAYOUT_FIELD(quoin_sampler_options, seed, 40, 8);

LAYOUT_SIZE(quoin_generate_options, 24);
LAYOUT_FIELD(quoin_generate_options, struct_size, 0, 8);
LAYOUT_FIELD(quoin_generate_options, max_tokens, 8, 8);
LAYOUT_FIELD(quoin_generate_options, ignore_end, 16, 4);
LAYOUT_FIELD(quoin_generate_options, reserved, 20, 4);

LAYOUT_SIZE(quoin_piece, 32);
LAYOUT_FIELD(quoin_piece, struct_size, 0, 8);
LAYOUT_FIELD(quoin_piece, text, 8, 8);
LAYOUT_FIELD(quoin_piece, text_length, 16, 8);
LAYOUT_FIELD(quoin_piece, token, 24, 4);
LAYOUT_FIELD(quoin_piece, reserved, 28, 4);

LAYOUT_SIZE(quoin_result, 48);
LAYOUT_FIELD(quoin_result, struct_size, 0, 8);
LAYOUT_FIELD(quoin_result, finish, 8, 4);
LAYOUT_FIELD(quoin_result, end_token, 12, 4);
LAYOUT_FIELD(quoin_result, prompt_tokens, 16, 8);
LAYOUT_FIELD(quoin_result, generated_tokens, 24, 8);
LAYOUT_FIELD(quoin_result, prompt_seconds, 32, 8);
LAYOUT_FIELD(quoin_result, generate_seconds, 40, 8);

LAYOUT_SIZE(quoin_quantized_tensor, 64);
LAYOUT_FIELD(quoin_quantized_tensor, struct_size, 0, 8);
LAYOUT_FIELD(quoin_quantized_tensor, name, 8, 8);
LAYOUT_FIELD(quoin_quantized_tensor, name_length, 16, 8);
LAYOUT_FIELD(quoin_quantized_tensor, dims, 24, 8);
LAYOUT_FIELD(quoin_quantized_tensor, rank, 32, 4);
LAYOUT_FIELD(quoin_quantized_tensor, source_dtype, 36, 4);
LAYOUT_FIELD(quoin_quantized_tensor, dtype, 40, 4);
LAYOUT_FIELD(quoin_quantized_tensor, unfit_dtype, 44, 4);
LAYOUT_FIELD(quoin_quantized_tensor, source_bytes, 48, 8);
LAYOUT_FIELD(quoin_quantized_tensor, bytes, 56, 8);

LAYOUT_SIZE(quoin_quantize_options, 48);
LAYOUT_FIELD(quoin_quantize_options, struct_size, 0, 8);
LAYOUT_FIELD(quoin_quantize_options, progress, 8, 8);
LAYOUT_FIELD(quoin_quantize_options, progress_user_data, 16, 8);
LAYOUT_FIELD(quoin_quantize_options, tensor, 24, 8);
LAYOUT_FIELD(quoin_quantize_options, tensor_user_data, 32, 8);
LAYOUT_FIELD(quoin_quantize_options, mmap_mode, 40, 4);
LAYOUT_FIELD(quoin_quantize_options, reserved, 44, 4);

LAYOUT_SIZE(quoin_quantize_facts, 48);
LAYOUT_FIELD(quoin_quantize_facts, struct_size, 0, 8);
LAYOUT_FIELD(quoin_quantize_facts, source_bytes, 8, 8);
LAYOUT_FIELD(quoin_quantize_facts, output_bytes, 16, 8);
LAYOUT_FIELD(quoin_quantize_facts, tensors, 24, 8);
LAYOUT_FIELD(quoin_quantize_facts, converted, 32, 8);
LAYOUT_FIELD(quoin_quantize_facts, unfit, 40, 8);

int main(void) {
    puts("the layout is as published");
    return 0;
}
