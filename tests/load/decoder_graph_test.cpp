// The whole graph of a model with one layer for each architecture, in the words of dump().
// Lines are as long as dump() makes them.
#include "load/model.h"
#include "support/catch.h"
#include "support/gguf_writer.h"

namespace quoin::test {
namespace {

std::string dump_of(std::string_view architecture, bool tied) {
    const std::vector<std::byte> bytes =
        make_model({.architecture = std::string(architecture), .type = kGgmlQ8_0, .tied = tied}).write();
    const Result<LoadedModel> model = load_model(wrap_memory(bytes));
    return model.ok() ? "\n" + dump(model->graph) : model.status().message();
}

TEST_CASE("a llama graph: interleaved rotation, own output matrix") {
    CHECK(dump_of("llama", false) == R"(
input token_ids i32[1, tokens]
input positions i32[1, tokens]
input token_sequences i32[tokens]
input page_table i32[sequences, pages_per_sequence]
input output_rows i32[rows]
input key_cache.0 undefined[pages, 2, 16, 32]
input value_cache.0 undefined[pages, 2, 32, 16]
constant token_embd.weight q8_0[32, 64]
constant inverse_frequencies f32[8]
constant blk.0.attn_norm.weight f32[64]
constant blk.0.attn_q.weight q8_0[64, 64]
constant blk.0.attn_k.weight q8_0[32, 64]
constant blk.0.attn_v.weight q8_0[32, 64]
constant blk.0.attn_output.weight q8_0[64, 64]
constant blk.0.ffn_norm.weight f32[64]
constant blk.0.ffn_gate.weight q8_0[96, 64]
constant blk.0.ffn_up.weight q8_0[96, 64]
constant blk.0.ffn_down.weight q8_0[64, 96]
constant output_norm.weight f32[64]
constant output.weight q8_0[32, 64]
%8 undefined[?] = Embedding(token_embd.weight, token_ids)  # token_embd
%10 undefined[?], %11 undefined[?] = RotaryCache(positions, inverse_frequencies) {scale = 1}  # rotary_cache
%13 undefined[?] = RMSNormalization(%8, blk.0.attn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.attn_norm
%15 undefined[?] = Linear(%13, blk.0.attn_q.weight)  # blk.0.attn_q
%17 undefined[?] = Linear(%13, blk.0.attn_k.weight)  # blk.0.attn_k
%19 undefined[?] = Linear(%13, blk.0.attn_v.weight)  # blk.0.attn_v
%20 undefined[?] = RotaryEmbedding(%15, %10, %11) {num_heads = 4, interleaved = 1, rotary_embedding_dim = 16}  # blk.0.attn_q.rotated
%21 undefined[?] = RotaryEmbedding(%17, %10, %11) {num_heads = 2, interleaved = 1, rotary_embedding_dim = 16}  # blk.0.attn_k.rotated
%22 undefined[?] = CacheUpdate(key_cache.0, %21, positions, token_sequences, page_table) {kind = "keys", kv_num_heads = 2}  # blk.0.keys
%23 undefined[?] = CacheUpdate(value_cache.0, %19, positions, token_sequences, page_table) {kind = "values", kv_num_heads = 2}  # blk.0.values
%24 undefined[?] = CachedAttention(%20, %22, %23, positions, token_sequences, page_table) {num_heads = 4, kv_num_heads = 2, scale = 0.25, softcap = 0, window = 0}  # blk.0.attention
%26 undefined[?] = Linear(%24, blk.0.attn_output.weight)  # blk.0.attn_output
%27 undefined[?] = Add(%8, %26)  # blk.0.attn_residual
%29 undefined[?] = RMSNormalization(%27, blk.0.ffn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.ffn_norm
%31 undefined[?] = Linear(%29, blk.0.ffn_gate.weight)  # blk.0.ffn_gate
%33 undefined[?] = Linear(%29, blk.0.ffn_up.weight)  # blk.0.ffn_up
%34 undefined[?] = Swish(%31) {alpha = 1}  # blk.0.ffn_swish
%35 undefined[?] = Mul(%34, %33)  # blk.0.ffn_gated
%37 undefined[?] = Linear(%35, blk.0.ffn_down.weight)  # blk.0.ffn_down
%38 undefined[?] = Add(%27, %37)  # blk.0.ffn_residual
%39 undefined[?] = Gather(%38, output_rows) {axis = 1}  # output_rows.hidden
%41 undefined[?] = RMSNormalization(%39, output_norm.weight) {axis = -1, epsilon = 1e-05}  # output_norm
%43 undefined[?] = Linear(%41, output.weight)  # logits
output %43
)");
}

TEST_CASE("a qwen2 graph: halves rotate, query, key and value have biases, tied output") {
    CHECK(dump_of("qwen2", true) == R"(
input token_ids i32[1, tokens]
input positions i32[1, tokens]
input token_sequences i32[tokens]
input page_table i32[sequences, pages_per_sequence]
input output_rows i32[rows]
input key_cache.0 undefined[pages, 2, 16, 32]
input value_cache.0 undefined[pages, 2, 32, 16]
constant token_embd.weight q8_0[32, 64]
constant inverse_frequencies f32[8]
constant blk.0.attn_norm.weight f32[64]
constant blk.0.attn_q.weight q8_0[64, 64]
constant blk.0.attn_q.bias f32[64]
constant blk.0.attn_k.weight q8_0[32, 64]
constant blk.0.attn_k.bias f32[32]
constant blk.0.attn_v.weight q8_0[32, 64]
constant blk.0.attn_v.bias f32[32]
constant blk.0.attn_output.weight q8_0[64, 64]
constant blk.0.ffn_norm.weight f32[64]
constant blk.0.ffn_gate.weight q8_0[96, 64]
constant blk.0.ffn_up.weight q8_0[96, 64]
constant blk.0.ffn_down.weight q8_0[64, 96]
constant output_norm.weight f32[64]
%8 undefined[?] = Embedding(token_embd.weight, token_ids)  # token_embd
%10 undefined[?], %11 undefined[?] = RotaryCache(positions, inverse_frequencies) {scale = 1}  # rotary_cache
%13 undefined[?] = RMSNormalization(%8, blk.0.attn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.attn_norm
%16 undefined[?] = Linear(%13, blk.0.attn_q.weight, blk.0.attn_q.bias)  # blk.0.attn_q
%19 undefined[?] = Linear(%13, blk.0.attn_k.weight, blk.0.attn_k.bias)  # blk.0.attn_k
%22 undefined[?] = Linear(%13, blk.0.attn_v.weight, blk.0.attn_v.bias)  # blk.0.attn_v
%23 undefined[?] = RotaryEmbedding(%16, %10, %11) {num_heads = 4, interleaved = 0, rotary_embedding_dim = 16}  # blk.0.attn_q.rotated
%24 undefined[?] = RotaryEmbedding(%19, %10, %11) {num_heads = 2, interleaved = 0, rotary_embedding_dim = 16}  # blk.0.attn_k.rotated
%25 undefined[?] = CacheUpdate(key_cache.0, %24, positions, token_sequences, page_table) {kind = "keys", kv_num_heads = 2}  # blk.0.keys
%26 undefined[?] = CacheUpdate(value_cache.0, %22, positions, token_sequences, page_table) {kind = "values", kv_num_heads = 2}  # blk.0.values
%27 undefined[?] = CachedAttention(%23, %25, %26, positions, token_sequences, page_table) {num_heads = 4, kv_num_heads = 2, scale = 0.25, softcap = 0, window = 0}  # blk.0.attention
%29 undefined[?] = Linear(%27, blk.0.attn_output.weight)  # blk.0.attn_output
%30 undefined[?] = Add(%8, %29)  # blk.0.attn_residual
%32 undefined[?] = RMSNormalization(%30, blk.0.ffn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.ffn_norm
%34 undefined[?] = Linear(%32, blk.0.ffn_gate.weight)  # blk.0.ffn_gate
%36 undefined[?] = Linear(%32, blk.0.ffn_up.weight)  # blk.0.ffn_up
%37 undefined[?] = Swish(%34) {alpha = 1}  # blk.0.ffn_swish
%38 undefined[?] = Mul(%37, %36)  # blk.0.ffn_gated
%40 undefined[?] = Linear(%38, blk.0.ffn_down.weight)  # blk.0.ffn_down
%41 undefined[?] = Add(%30, %40)  # blk.0.ffn_residual
%42 undefined[?] = Gather(%41, output_rows) {axis = 1}  # output_rows.hidden
%44 undefined[?] = RMSNormalization(%42, output_norm.weight) {axis = -1, epsilon = 1e-05}  # output_norm
%45 undefined[?] = Linear(%44, token_embd.weight)  # logits
output %45
)");
}

TEST_CASE("a qwen3 graph: halves rotate, heads of query and key are normalised, tied output") {
    CHECK(dump_of("qwen3", true) == R"(
input token_ids i32[1, tokens]
input positions i32[1, tokens]
input token_sequences i32[tokens]
input page_table i32[sequences, pages_per_sequence]
input output_rows i32[rows]
input key_cache.0 undefined[pages, 2, 16, 32]
input value_cache.0 undefined[pages, 2, 32, 16]
constant token_embd.weight q8_0[32, 64]
constant inverse_frequencies f32[8]
constant blk.0.attn_norm.weight f32[64]
constant blk.0.attn_q.weight q8_0[64, 64]
constant blk.0.attn_k.weight q8_0[32, 64]
constant blk.0.attn_v.weight q8_0[32, 64]
constant shape[0, 0, 4, 16] i64[4]
constant blk.0.attn_q_norm.weight f32[16]
constant shape[0, 0, 64] i64[3]
constant shape[0, 0, 2, 16] i64[4]
constant blk.0.attn_k_norm.weight f32[16]
constant shape[0, 0, 32] i64[3]
constant blk.0.attn_output.weight q8_0[64, 64]
constant blk.0.ffn_norm.weight f32[64]
constant blk.0.ffn_gate.weight q8_0[96, 64]
constant blk.0.ffn_up.weight q8_0[96, 64]
constant blk.0.ffn_down.weight q8_0[64, 96]
constant output_norm.weight f32[64]
%8 undefined[?] = Embedding(token_embd.weight, token_ids)  # token_embd
%10 undefined[?], %11 undefined[?] = RotaryCache(positions, inverse_frequencies) {scale = 1}  # rotary_cache
%13 undefined[?] = RMSNormalization(%8, blk.0.attn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.attn_norm
%15 undefined[?] = Linear(%13, blk.0.attn_q.weight)  # blk.0.attn_q
%17 undefined[?] = Linear(%13, blk.0.attn_k.weight)  # blk.0.attn_k
%19 undefined[?] = Linear(%13, blk.0.attn_v.weight)  # blk.0.attn_v
%21 undefined[?] = Reshape(%15, shape[0, 0, 4, 16])  # blk.0.attn_q.heads
%23 undefined[?] = RMSNormalization(%21, blk.0.attn_q_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.attn_q_norm
%25 undefined[?] = Reshape(%23, shape[0, 0, 64])  # blk.0.attn_q.joined
%26 undefined[?] = RotaryEmbedding(%25, %10, %11) {num_heads = 4, interleaved = 0, rotary_embedding_dim = 16}  # blk.0.attn_q.rotated
%28 undefined[?] = Reshape(%17, shape[0, 0, 2, 16])  # blk.0.attn_k.heads
%30 undefined[?] = RMSNormalization(%28, blk.0.attn_k_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.attn_k_norm
%32 undefined[?] = Reshape(%30, shape[0, 0, 32])  # blk.0.attn_k.joined
%33 undefined[?] = RotaryEmbedding(%32, %10, %11) {num_heads = 2, interleaved = 0, rotary_embedding_dim = 16}  # blk.0.attn_k.rotated
%34 undefined[?] = CacheUpdate(key_cache.0, %33, positions, token_sequences, page_table) {kind = "keys", kv_num_heads = 2}  # blk.0.keys
%35 undefined[?] = CacheUpdate(value_cache.0, %19, positions, token_sequences, page_table) {kind = "values", kv_num_heads = 2}  # blk.0.values
%36 undefined[?] = CachedAttention(%26, %34, %35, positions, token_sequences, page_table) {num_heads = 4, kv_num_heads = 2, scale = 0.25, softcap = 0, window = 0}  # blk.0.attention
%38 undefined[?] = Linear(%36, blk.0.attn_output.weight)  # blk.0.attn_output
%39 undefined[?] = Add(%8, %38)  # blk.0.attn_residual
%41 undefined[?] = RMSNormalization(%39, blk.0.ffn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.ffn_norm
%43 undefined[?] = Linear(%41, blk.0.ffn_gate.weight)  # blk.0.ffn_gate
%45 undefined[?] = Linear(%41, blk.0.ffn_up.weight)  # blk.0.ffn_up
%46 undefined[?] = Swish(%43) {alpha = 1}  # blk.0.ffn_swish
%47 undefined[?] = Mul(%46, %45)  # blk.0.ffn_gated
%49 undefined[?] = Linear(%47, blk.0.ffn_down.weight)  # blk.0.ffn_down
%50 undefined[?] = Add(%39, %49)  # blk.0.ffn_residual
%51 undefined[?] = Gather(%50, output_rows) {axis = 1}  # output_rows.hidden
%53 undefined[?] = RMSNormalization(%51, output_norm.weight) {axis = -1, epsilon = 1e-05}  # output_norm
%54 undefined[?] = Linear(%53, token_embd.weight)  # logits
output %54
)");
}

}  // namespace
}  // namespace quoin::test
