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
%25 undefined[?] = Gather(%24, output_rows) {axis = 1}  # output_rows.attention
%26 undefined[?] = Gather(%8, output_rows) {axis = 1}  # output_rows.hidden
%28 undefined[?] = Linear(%25, blk.0.attn_output.weight)  # blk.0.attn_output
%29 undefined[?] = Add(%26, %28)  # blk.0.attn_residual
%31 undefined[?] = RMSNormalization(%29, blk.0.ffn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.ffn_norm
%33 undefined[?] = Linear(%31, blk.0.ffn_gate.weight)  # blk.0.ffn_gate
%35 undefined[?] = Linear(%31, blk.0.ffn_up.weight)  # blk.0.ffn_up
%36 undefined[?] = Swish(%33) {alpha = 1}  # blk.0.ffn_swish
%37 undefined[?] = Mul(%36, %35)  # blk.0.ffn_gated
%39 undefined[?] = Linear(%37, blk.0.ffn_down.weight)  # blk.0.ffn_down
%40 undefined[?] = Add(%29, %39)  # blk.0.ffn_residual
%42 undefined[?] = RMSNormalization(%40, output_norm.weight) {axis = -1, epsilon = 1e-05}  # output_norm
%44 undefined[?] = Linear(%42, output.weight)  # logits
output %44
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
%28 undefined[?] = Gather(%27, output_rows) {axis = 1}  # output_rows.attention
%29 undefined[?] = Gather(%8, output_rows) {axis = 1}  # output_rows.hidden
%31 undefined[?] = Linear(%28, blk.0.attn_output.weight)  # blk.0.attn_output
%32 undefined[?] = Add(%29, %31)  # blk.0.attn_residual
%34 undefined[?] = RMSNormalization(%32, blk.0.ffn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.ffn_norm
%36 undefined[?] = Linear(%34, blk.0.ffn_gate.weight)  # blk.0.ffn_gate
%38 undefined[?] = Linear(%34, blk.0.ffn_up.weight)  # blk.0.ffn_up
%39 undefined[?] = Swish(%36) {alpha = 1}  # blk.0.ffn_swish
%40 undefined[?] = Mul(%39, %38)  # blk.0.ffn_gated
%42 undefined[?] = Linear(%40, blk.0.ffn_down.weight)  # blk.0.ffn_down
%43 undefined[?] = Add(%32, %42)  # blk.0.ffn_residual
%45 undefined[?] = RMSNormalization(%43, output_norm.weight) {axis = -1, epsilon = 1e-05}  # output_norm
%46 undefined[?] = Linear(%45, token_embd.weight)  # logits
output %46
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
%37 undefined[?] = Gather(%36, output_rows) {axis = 1}  # output_rows.attention
%38 undefined[?] = Gather(%8, output_rows) {axis = 1}  # output_rows.hidden
%40 undefined[?] = Linear(%37, blk.0.attn_output.weight)  # blk.0.attn_output
%41 undefined[?] = Add(%38, %40)  # blk.0.attn_residual
%43 undefined[?] = RMSNormalization(%41, blk.0.ffn_norm.weight) {axis = -1, epsilon = 1e-05}  # blk.0.ffn_norm
%45 undefined[?] = Linear(%43, blk.0.ffn_gate.weight)  # blk.0.ffn_gate
%47 undefined[?] = Linear(%43, blk.0.ffn_up.weight)  # blk.0.ffn_up
%48 undefined[?] = Swish(%45) {alpha = 1}  # blk.0.ffn_swish
%49 undefined[?] = Mul(%48, %47)  # blk.0.ffn_gated
%51 undefined[?] = Linear(%49, blk.0.ffn_down.weight)  # blk.0.ffn_down
%52 undefined[?] = Add(%41, %51)  # blk.0.ffn_residual
%54 undefined[?] = RMSNormalization(%52, output_norm.weight) {axis = -1, epsilon = 1e-05}  # output_norm
%55 undefined[?] = Linear(%54, token_embd.weight)  # logits
output %55
)");
}

}  // namespace
}  // namespace quoin::test
