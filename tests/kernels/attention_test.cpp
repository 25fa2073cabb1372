#include "kernel_test.h"

namespace quoin::test {
namespace {

// A KV cache of one layer with its pages in shuffled places and NaN in every slot not stored.
struct Cache {
    bool half;
    int64_t kv_heads;
    int64_t head_size;
    int64_t tokens;
    std::vector<int32_t> pages;
    std::vector<std::byte> keys;
    std::vector<std::byte> values;
    std::vector<float> key_values;  // [tokens][kv_heads][head_size], as stored
    std::vector<float> value_values;

    int64_t page_bytes() const { return kv_heads * head_size * kPageTokens * (half ? 2 : 4); }
    int64_t head_bytes() const { return head_size * kPageTokens * (half ? 2 : 4); }
};

Cache make_cache(const KernelTable& table, bool half, int64_t kv_heads, int64_t head_size, int64_t tokens,
                 uint32_t seed) {
    Random random(seed);
    Cache cache = {half, kv_heads, head_size, tokens, {}, {}, {}, {}, {}};
    const int64_t count = (tokens + kPageTokens - 1) / kPageTokens;
    for (int64_t p = 0; p < count; ++p) cache.pages.push_back(static_cast<int32_t>((p * 7 + 3) % count));
    if (count % 7 == 0) {
        for (int64_t p = 0; p < count; ++p) cache.pages[static_cast<size_t>(p)] = static_cast<int32_t>(count - 1 - p);
    }
    cache.keys.assign(static_cast<size_t>(count * cache.page_bytes()), std::byte{0xFF});  // NaN in f16 and f32
    cache.values = cache.keys;
    const int64_t width = kv_heads * head_size;
    cache.key_values = random.normals(tokens * width);
    cache.value_values = random.normals(tokens * width);
    for (int64_t t = 0; t < tokens; ++t) {
        float* const key = cache.key_values.data() + t * width;
        float* const value = cache.value_values.data() + t * width;
        const int64_t offset = cache.pages[static_cast<size_t>(t / 32)] * cache.page_bytes();
        (half ? table.store_keys_f16 : table.store_keys_f32)(key, kv_heads, head_size, t % 32,
                                                             cache.keys.data() + offset);
        (half ? table.store_values_f16 : table.store_values_f32)(value, kv_heads, head_size, t % 32,
                                                                 cache.values.data() + offset);
        for (int64_t i = 0; half && i < width; ++i) {
            key[i] = f16_to_f32(f32_to_f16(key[i]));
            value[i] = f16_to_f32(f32_to_f16(value[i]));
        }
    }
    return cache;
}

struct Problem {
    int64_t heads;  // of the group
    std::vector<int32_t> positions;
    int64_t window = 0;
    float softcap = 0;
    int64_t kv_head = 0;
};

std::vector<float> run(const KernelTable& table, const Cache& cache, const Problem& problem,
                       const std::vector<float>& query, int64_t first, int64_t rows) {
    const int64_t width = problem.heads * cache.head_size;
    std::vector<float> scratch(static_cast<size_t>(attention_scratch_floats(cache.head_size, rows, problem.heads)),
                               NAN);
    std::vector<float> dst(static_cast<size_t>(rows * width), -3.0F);
    AttentionArgs args = {};
    args.query = query.data() + first * width;
    args.query_stride = width;
    args.rows = rows;
    args.heads = problem.heads;
    args.head_size = cache.head_size;
    args.positions = problem.positions.data() + first;
    args.window = problem.window;
    args.scale = 1.0F / std::sqrt(static_cast<float>(cache.head_size));
    args.softcap = problem.softcap;
    args.key_base = cache.keys.data() + problem.kv_head * cache.head_bytes();
    args.value_base = cache.values.data() + problem.kv_head * cache.head_bytes();
    args.key_page_stride = cache.page_bytes();
    args.value_page_stride = cache.page_bytes();
    args.last_block = INT64_MAX;
    args.pages = cache.pages.data();
    args.scratch = scratch.data();
    args.dst = dst.data();
    args.dst_stride = width;
    (cache.half ? table.attention_f16 : table.attention_f32)(args);
    return dst;
}

double worst_error(const Cache& cache, const Problem& problem, const std::vector<float>& query,
                   const std::vector<float>& got) {
    const int64_t size = cache.head_size;
    const int64_t width = cache.kv_heads * size;
    const double scale = static_cast<double>(1.0F / std::sqrt(static_cast<float>(size)));
    double worst = 0;
    for (size_t r = 0; r < problem.positions.size(); ++r) {
        for (int64_t h = 0; h < problem.heads; ++h) {
            const auto base = static_cast<size_t>((static_cast<int64_t>(r) * problem.heads + h) * size);
            const int64_t last = problem.positions[r];
            const int64_t first = problem.window > 0 ? std::max<int64_t>(last - problem.window + 1, 0) : 0;
            std::vector<double> scores;
            double top = -1e300;
            for (int64_t p = first; p <= last; ++p) {
                double score = 0;
                for (int64_t i = 0; i < size; ++i) {
                    const auto at = static_cast<size_t>(p * width + problem.kv_head * size + i);
                    score += static_cast<double>(query[base + static_cast<size_t>(i)]) *
                             static_cast<double>(cache.key_values[at]);
                }
                score *= scale;
                if (problem.softcap != 0) {
                    const double cap = static_cast<double>(problem.softcap);
                    score = cap * std::tanh(score / cap);
                }
                scores.push_back(score);
                top = std::max(top, score);
            }
            double total = 0;
            for (double& score : scores) total += score = std::exp(score - top);
            for (int64_t i = 0; i < size; ++i) {
                double want = 0;
                for (int64_t p = first; p <= last; ++p) {
                    const auto at = static_cast<size_t>(p * width + problem.kv_head * size + i);
                    want +=
                        scores[static_cast<size_t>(p - first)] / total * static_cast<double>(cache.value_values[at]);
                }
                const double error = std::fabs(static_cast<double>(got[base + static_cast<size_t>(i)]) - want);
                worst = std::isnan(error) ? 1e9 : std::max(worst, error);
            }
        }
    }
    return worst;
}

TEST_CASE("attention agrees with double precision on every instruction set", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        for (const bool half : {false, true}) {
            for (const int64_t head_size : {1, 7, 8, 20, 24, 64, 80, 96, 128, 129, 256, 512}) {
                const Cache cache = make_cache(table, half, 2, head_size, 101, 31);
                Random random(32);
                for (const int64_t heads : {1, 3, 8}) {
                    for (const int64_t rows : {1, 2, 5, 32}) {
                        if (head_size > 128 && rows > 2) continue;
                        Problem problem = {heads, {}, 0, 0, 1};
                        for (int64_t r = 0; r < rows; ++r)
                            problem.positions.push_back(static_cast<int32_t>(101 - rows + r));
                        if (rows == 5) problem.positions = {-1, 31, 32, 63, 100};
                        if (heads == 3) problem.softcap = 2.5F;
                        for (const int64_t window : {0, 1, 33, 64}) {
                            if (window != 0 && head_size != 64 && head_size != 20) continue;
                            problem.window = window;
                            const auto query = random.normals(rows * heads * head_size);
                            const auto got = run(table, cache, problem, query, 0, rows);
                            CAPTURE(isa_name(isa), half, head_size, heads, rows, window);
                            CHECK(worst_error(cache, problem, query, got) < 3e-6);
                        }
                    }
                }
            }
        }
    }
}

TEST_CASE("a row of attention does not depend on the rows computed with it", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        for (const bool half : {false, true}) {
            for (const int64_t head_size : {20, 64, 72}) {
                for (const int64_t window : {0, 40}) {
                    const int64_t rows = 32;
                    const int64_t heads = 3;
                    const Cache cache = make_cache(table, half, 1, head_size, 150, 33);
                    Random random(34);
                    Problem problem = {heads, {}, window, 0, 0};
                    for (int64_t r = 0; r < rows; ++r) problem.positions.push_back(static_cast<int32_t>(110 + r));
                    const auto query = random.normals(rows * heads * head_size);
                    const auto whole = run(table, cache, problem, query, 0, rows);
                    for (const int64_t part : {1, 2, 5, 16}) {
                        std::vector<float> parts;
                        for (int64_t r = 0; r < rows; r += part) {
                            const auto some = run(table, cache, problem, query, r, std::min(part, rows - r));
                            parts.insert(parts.end(), some.begin(), some.end());
                        }
                        CAPTURE(isa_name(isa), half, head_size, window, part);
                        CHECK(same_bits(parts, whole));
                    }
                }
            }
        }
    }
}

TEST_CASE("attention bears huge scores and sees nothing where there is nothing", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        const Cache cache = make_cache(table, true, 1, 16, 40, 35);
        Problem problem = {1, {-1, 39}, 0, 0, 0};
        std::vector<float> query(32, 1e4F);
        const auto got = run(table, cache, problem, query, 0, 2);
        for (size_t i = 0; i < 16; ++i) CHECK(got[i] == 0);
        for (size_t i = 16; i < 32; ++i) CHECK(std::isfinite(got[i]));
    }
}

TEST_CASE("f16 stores round to nearest even", "[kernels]") {
    Random random(36);
    for (const Isa isa : machine_isas()) {
        const int64_t size = 21;
        std::vector<float> token = random.normals(2 * size);
        token[0] = 65520.0F;
        token[1] = 1e-7F;
        token[2] = -1e-9F;
        token[3] = INFINITY;
        token[4] = 0x1.002p0F;
        std::vector<std::byte> keys(static_cast<size_t>(2 * size * 64)), values(keys.size());
        kernels(isa).store_keys_f16(token.data(), 2, size, 31, keys.data());
        kernels(isa).store_values_f16(token.data(), 2, size, 31, values.data());
        for (int64_t i = 0; i < 2 * size; ++i) {
            const uint16_t want = f32_to_f16(token[static_cast<size_t>(i)]);
            CHECK(get<uint16_t>(keys.data() + (i * 32 + 31) * 2) == want);
            CHECK(get<uint16_t>(values.data() + ((i / size * 32 + 31) * size + i % size) * 2) == want);
        }
    }
}

}  // namespace
}  // namespace quoin::test
