#include <algorithm>

#include "kernel_test.h"

namespace quoin::test {
namespace {

constexpr DType kDTypes[] = {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0};

bool is_quantised(DType dtype) {
    return dtype == DType::Q8_0 || dtype == DType::Q4_0;
}

using Store = decltype(KernelTable::store_keys_f32);
struct Kernels {
    Store keys;
    Store values;
    decltype(KernelTable::attention_f32) attention;
};
Kernels kernels_of(const KernelTable& table, DType dtype) {
    switch (dtype) {
        case DType::F16: return {table.store_keys_f16, table.store_values_f16, table.attention_f16};
        case DType::BF16: return {table.store_keys_bf16, table.store_values_bf16, table.attention_bf16};
        case DType::Q8_0: return {table.store_keys_q8_0, table.store_values_q8_0, table.attention_q8_0};
        case DType::Q4_0: return {table.store_keys_q4_0, table.store_values_q4_0, table.attention_q4_0};
        default: return {table.store_keys_f32, table.store_values_f32, table.attention_f32};
    }
}

// Value i of the token in `slot`, out of one head of a page: layout.h in the plainest words.
float read_key(DType dtype, const std::byte* head, int64_t i, int64_t slot) {
    switch (dtype) {
        case DType::F32: return get<float>(head + (i * 32 + slot) * 4);
        case DType::F16: return f16_to_f32(get<uint16_t>(head + (i * 32 + slot) * 2));
        case DType::BF16: return bf16_to_f32(get<uint16_t>(head + (i * 32 + slot) * 2));
        default: break;
    }
    const bool nibbles = dtype == DType::Q4_0;
    const std::byte* const block = head + i / 32 * 32 * (nibbles ? 18 : 34);
    const int64_t k = i % 32;
    const float scale = f16_to_f32(get<uint16_t>(block + 32 * (nibbles ? 16 : 32) + slot * 2));
    if (!nibbles) return scale * static_cast<float>(get<uint8_t>(block + (k / 4 * 32 + slot) * 4 + k % 4) - 128);
    const int byte = get<uint8_t>(block + (k % 16 / 4 * 32 + slot) * 4 + k % 4);
    return scale * static_cast<float>((k < 16 ? byte & 15 : byte >> 4) - 8);
}
float read_value(DType dtype, const std::byte* head, int64_t head_size, int64_t i, int64_t slot) {
    switch (dtype) {
        case DType::F32: return get<float>(head + (slot * head_size + i) * 4);
        case DType::F16: return f16_to_f32(get<uint16_t>(head + (slot * head_size + i) * 2));
        case DType::BF16: return bf16_to_f32(get<uint16_t>(head + (slot * head_size + i) * 2));
        default: break;
    }
    const bool nibbles = dtype == DType::Q4_0;
    const int64_t columns = nibbles ? 16 : 32;
    const std::byte* const block = head + i / 32 * 32 * (columns + 2);
    const float scale = f16_to_f32(get<uint16_t>(block + 32 * columns + slot * 2));
    const std::byte* const at = block + ((slot % 16 * columns + i % columns) * 2 + slot / 16);
    if (!nibbles) return scale * static_cast<float>(get<int8_t>(at));
    const int byte = get<uint8_t>(at);
    return scale * static_cast<float>((i % 32 < 16 ? byte & 15 : byte >> 4) - 8);
}

// A KV cache of one layer with its pages in shuffled places and NaN in every slot not stored.
struct Cache {
    DType dtype;
    int64_t kv_heads;
    int64_t head_size;
    int64_t tokens;
    std::vector<int32_t> pages;
    std::vector<std::byte> keys;
    std::vector<std::byte> values;
    std::vector<float> key_values;  // [tokens][kv_heads][head_size], as the pages hold them
    std::vector<float> value_values;

    int64_t head_bytes() const { return page_head_bytes(dtype, head_size); }
    int64_t page_bytes() const { return kv_heads * head_bytes(); }
};

Cache make_cache(const KernelTable& table, DType dtype, int64_t kv_heads, int64_t head_size, int64_t tokens,
                 uint32_t seed) {
    Random random(seed);
    Cache cache = {dtype, kv_heads, head_size, tokens, {}, {}, {}, {}, {}};
    const int64_t count = (tokens + kPageTokens - 1) / kPageTokens;
    for (int64_t p = 0; p < count; ++p) cache.pages.push_back(static_cast<int32_t>((p * 7 + 3) % count));
    if (count % 7 == 0) {
        for (int64_t p = 0; p < count; ++p) cache.pages[static_cast<size_t>(p)] = static_cast<int32_t>(count - 1 - p);
    }
    cache.keys.assign(static_cast<size_t>(count * cache.page_bytes()), std::byte{0xFF});  // NaN in every float
    cache.values = cache.keys;
    const int64_t width = kv_heads * head_size;
    cache.key_values = random.normals(tokens * width);
    cache.value_values = random.normals(tokens * width);
    const Kernels use = kernels_of(table, dtype);
    for (int64_t t = 0; t < tokens; ++t) {
        float* const key = cache.key_values.data() + t * width;
        float* const value = cache.value_values.data() + t * width;
        const int64_t offset = cache.pages[static_cast<size_t>(t / 32)] * cache.page_bytes();
        use.keys(key, kv_heads, head_size, t % 32, cache.keys.data() + offset);
        use.values(value, kv_heads, head_size, t % 32, cache.values.data() + offset);
        for (int64_t i = 0; i < width; ++i) {
            const int64_t head = offset + i / head_size * cache.head_bytes();
            key[i] = read_key(dtype, cache.keys.data() + head, i % head_size, t % 32);
            value[i] = read_value(dtype, cache.values.data() + head, head_size, i % head_size, t % 32);
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
                       const std::vector<float>& query, int64_t first, int64_t rows,
                       std::pair<int64_t, int64_t> blocks = {0, INT64_MAX}, float* partials = nullptr) {
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
    args.first_block = blocks.first;
    args.last_block = blocks.second;
    args.partials = partials;
    args.partial_stride = rows * problem.heads * attention_partial_floats(cache.head_size);
    args.pages = cache.pages.data();
    args.scratch = scratch.data();
    args.dst = dst.data();
    args.dst_stride = width;
    kernels_of(table, cache.dtype).attention(args);
    return dst;
}

// Whether this instruction set rounds queries and probabilities to bf16 to multiply them by these pages.
bool rounds_to_bf16(DType dtype, Isa isa) {
    return dtype == DType::BF16 && kernel_isa(Kernel::attention_bf16, isa) == Isa::Avx512Bf16;
}

struct Errors {
    double worst = 0;
    // Integer dot products round the query, those of bf16 the probabilities, too. An error is spread evenly over a
    // step: for integers that of the block's scale, for bf16 at most 2^-7 of the value. What that does to the result
    // is known to first order. Squares of found and expected errors, summed.
    double found = 0;
    double expected = 0;
    // Largest ratio of an error to what it can be at most.
    double of_bound = 0;
};

// Against double precision, with keys and values as the pages hold them.
Errors errors_of(const Cache& cache, const Problem& problem, const std::vector<float>& query,
                 const std::vector<float>& got, bool bf16_steps = false) {
    const int64_t size = cache.head_size;
    // The relative error of a probability is that of its exponential, so it counts like one of the score.
    const double probability_step = bf16_steps ? 0x1p-7 : 0;
    const int64_t width = cache.kv_heads * size;
    const double scale = static_cast<double>(1.0F / std::sqrt(static_cast<float>(size)));
    const auto at = [&](const std::vector<float>& all, int64_t p, int64_t i) {
        return static_cast<double>(all[static_cast<size_t>(p * width + problem.kv_head * size + i)]);
    };
    Errors errors;
    for (size_t r = 0; r < problem.positions.size(); ++r) {
        for (int64_t h = 0; h < problem.heads; ++h) {
            const auto base = static_cast<size_t>((static_cast<int64_t>(r) * problem.heads + h) * size);
            const int64_t last = problem.positions[r];
            const int64_t first = problem.window > 0 ? std::max<int64_t>(last - problem.window + 1, 0) : 0;
            std::vector<double> steps(static_cast<size_t>(size));  // of the rounded query
            for (int64_t i = 0; i < size; ++i) {
                double most = 0;
                for (int64_t j = i / 32 * 32; j < std::min(i / 32 * 32 + 32, size); ++j) {
                    most = std::max(most, std::fabs(double{query[base + static_cast<size_t>(j)]}));
                }
                const double own = std::fabs(double{query[base + static_cast<size_t>(i)]});
                steps[static_cast<size_t>(i)] = bf16_steps ? own * 0x1p-7 : most / 127;
            }
            std::vector<double> scores, variances;
            double top = -1e300;
            double largest_shift = 0;
            double largest_value = 0;
            for (int64_t p = first; p <= last; ++p) {
                double score = 0;
                double variance = 0;
                double shift = 0;
                for (int64_t i = 0; i < size; ++i) {
                    const double key = at(cache.key_values, p, i) * scale;
                    const double step = steps[static_cast<size_t>(i)];
                    score += double{query[base + static_cast<size_t>(i)]} * key;
                    variance += key * key * step * step / 12;
                    shift += std::fabs(key) * step * 0.505;  // half a step and the rounding of floats
                    largest_value = std::max(largest_value, std::fabs(at(cache.value_values, p, i)));
                }
                if (problem.softcap != 0) {
                    const double cap = static_cast<double>(problem.softcap);
                    const double slope = 1 - std::pow(std::tanh(score / cap), 2);
                    variance *= slope * slope;
                    score = cap * std::tanh(score / cap);
                }
                variance += probability_step * probability_step / 12;
                shift += probability_step / 2;
                largest_shift = std::max(largest_shift, shift);
                scores.push_back(score);
                variances.push_back(variance);
                top = std::max(top, score);
            }
            double total = 0;
            for (double& score : scores) total += score = std::exp(score - top);
            for (int64_t i = 0; i < size; ++i) {
                double want = 0;
                for (int64_t p = first; p <= last; ++p) {
                    want += scores[static_cast<size_t>(p - first)] / total * at(cache.value_values, p, i);
                }
                double expected = 0;
                for (int64_t p = first; p <= last; ++p) {
                    const auto token = static_cast<size_t>(p - first);
                    const double part = scores[token] / total * (at(cache.value_values, p, i) - want);
                    expected += part * part * variances[token];
                }
                const double error = std::fabs(static_cast<double>(got[base + static_cast<size_t>(i)]) - want);
                errors.worst = worse(errors.worst, error);
                errors.found += error * error;
                errors.expected += expected;
                const double bound = 2 * largest_value * (std::exp(2 * largest_shift) - 1) + 1e-4;
                errors.of_bound = worse(errors.of_bound, error / bound);
            }
        }
    }
    return errors;
}

void check_errors(Isa isa, const Cache& cache, const Problem& problem, const std::vector<float>& query,
                  const std::vector<float>& got) {
    const bool bf16 = rounds_to_bf16(cache.dtype, isa);
    const Errors errors = errors_of(cache, problem, query, got, bf16);
    if (!is_quantised(cache.dtype) && !bf16) {
        CHECK(errors.worst < 3e-6);
        return;
    }
    CHECK(errors.of_bound < 1);
    // 1e-4 for each value: probabilities of 15 bits.
    CHECK(errors.found < 1.6 * errors.expected + 1e-8 * static_cast<double>(cache.head_size) * 256);
}

TEST_CASE("attention agrees with double precision on every instruction set", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        for (const DType dtype : kDTypes) {
            for (const int64_t head_size : {1, 7, 8, 20, 24, 32, 64, 80, 96, 128, 129, 256, 512}) {
                if (page_head_bytes(dtype, head_size) == 0) continue;
                const Cache cache = make_cache(table, dtype, 2, head_size, 101, 31);
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
                            CAPTURE(isa_name(isa), dtype_name(dtype), head_size, heads, rows, window);
                            check_errors(isa, cache, problem, query, got);
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
        for (const DType dtype : kDTypes) {
            for (const int64_t head_size : {20, 64, 72, 160}) {
                if (page_head_bytes(dtype, head_size) == 0) continue;
                for (const int64_t window : {0, 40, 270}) {
                    const int64_t rows = 32;
                    const int64_t heads = 3;
                    const Cache cache = make_cache(table, dtype, 1, head_size, 300, 33);
                    Random random(34);
                    Problem problem = {heads, {}, window, 0, 0};
                    for (int64_t r = 0; r < rows; ++r) problem.positions.push_back(static_cast<int32_t>(244 + r));
                    const auto query = random.normals(rows * heads * head_size);
                    const auto whole = run(table, cache, problem, query, 0, rows);
                    for (const int64_t part : {1, 2, 3, 4, 5, 16}) {
                        std::vector<float> parts;
                        for (int64_t r = 0; r < rows; r += part) {
                            const auto some = run(table, cache, problem, query, r, std::min(part, rows - r));
                            parts.insert(parts.end(), some.begin(), some.end());
                        }
                        CAPTURE(isa_name(isa), dtype_name(dtype), head_size, window, part);
                        CHECK(same_bits(parts, whole));
                    }
                }
            }
        }
    }
}

TEST_CASE("attention over many blocks of positions agrees with double precision", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        for (const DType dtype : kDTypes) {
            for (const int64_t head_size : {32, 160}) {  // blocks of 256 and of 128 positions
                const Cache cache = make_cache(table, dtype, 1, head_size, 1000, 37);
                Random random(38);
                for (const int64_t window : {0, 700}) {
                    Problem problem = {4, {999, 255, 256, 511, 600, 127, 128, 0}, window, 0, 0};
                    const auto rows = static_cast<int64_t>(problem.positions.size());
                    const auto query = random.normals(rows * problem.heads * head_size);
                    const auto got = run(table, cache, problem, query, 0, rows);
                    CAPTURE(isa_name(isa), dtype_name(dtype), head_size, window);
                    check_errors(isa, cache, problem, query, got);
                }
            }
        }
    }
}

TEST_CASE("blocks of positions computed apart and joined give the same bits", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        for (const DType dtype : kDTypes) {
            for (const int64_t head_size : {36, 64, 160}) {
                if (page_head_bytes(dtype, head_size) == 0) continue;
                const Cache cache = make_cache(table, dtype, 1, head_size, 700, 39);
                Random random(40);
                for (const int64_t window : {0, 300}) {
                    const Problem problem = {3, {699, -1, 255, 256}, window, 0, 0};
                    const int64_t rows = 4;
                    const auto query = random.normals(rows * problem.heads * head_size);
                    const auto whole = run(table, cache, problem, query, 0, rows);

                    const int64_t blocks = 700 / attention_block_tokens(head_size) + 1;
                    const int64_t each = attention_partial_floats(head_size);
                    std::vector<float> partials(static_cast<size_t>(blocks * rows * problem.heads * each), NAN);
                    for (int64_t b = 0; b < blocks; b += 2) {
                        run(table, cache, problem, query, 0, rows, {b, std::min(b + 2, blocks)}, partials.data());
                    }
                    std::vector<float> scratch(static_cast<size_t>(attention_join_floats(head_size)), NAN);
                    std::vector<float> joined(whole.size());
                    for (int64_t q = 0; q < rows * problem.heads; ++q) {
                        table.attention_join(partials.data() + q * each, rows * problem.heads * each, blocks, head_size,
                                             scratch.data(), joined.data() + q * head_size);
                    }
                    CAPTURE(isa_name(isa), dtype_name(dtype), head_size, window);
                    CHECK(same_bits(joined, whole));
                }
            }
        }
    }
}

TEST_CASE("stores into quantised pages are the same on every instruction set and leave other slots alone",
          "[kernels]") {
    Random random(41);
    const int64_t size = 96;
    for (const DType dtype : {DType::Q8_0, DType::Q4_0}) {
        const float levels = dtype == DType::Q8_0 ? 127.0F : 8.0F;
        std::vector<std::byte> first;
        const std::vector<float> token = [&] {
            std::vector<float> values = random.normals(2 * size);
            for (size_t i = 32; i < 64; ++i) values[i] = 0;
            for (size_t i = 64; i < 96; ++i) values[i] *= 1e-3F;
            values[100] = -50.0F;
            values[140] = 50.0F;
            return values;
        }();
        for (const Isa isa : machine_isas()) {
            const Kernels use = kernels_of(kernels(isa), dtype);
            const int64_t head = page_head_bytes(dtype, size);
            std::vector<std::byte> pages(static_cast<size_t>(4 * head), std::byte{0xA5});
            use.keys(token.data(), 2, size, 19, pages.data());
            use.values(token.data(), 2, size, 19, pages.data() + 2 * head);
            CAPTURE(isa_name(isa), dtype_name(dtype));
            if (first.empty()) first = pages;
            CHECK(pages == first);
            CHECK(std::count(pages.begin(), pages.end(), std::byte{0xA5}) >= 4 * head / 32 * 31);
            for (int64_t i = 0; i < 2 * size; ++i) {
                float most = 0;
                for (int64_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) {
                    most = std::max(most, std::fabs(token[static_cast<size_t>(j)]));
                }
                // Half a step; a whole one for the end of q4_0's range that has a step less; the scale's rounding.
                const float step = most / levels;
                const float allowed = (dtype == DType::Q8_0 ? 0.5F : 1.0F) * step + most * 0x1p-10F;
                const float value = token[static_cast<size_t>(i)];
                const int64_t in_head = i % size;
                const std::byte* const at = pages.data() + i / size * head;
                CHECK(std::fabs(read_key(dtype, at, in_head, 19) - value) <= allowed);
                CHECK(std::fabs(read_value(dtype, at + 2 * head, size, in_head, 19) - value) <= allowed);
            }
        }
    }
}

TEST_CASE("a token that is not finite shows in those who see it, and in nobody else", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        for (const DType dtype : kDTypes) {
            for (const bool in_keys : {false, true}) {
                if (in_keys && !is_quantised(dtype)) continue;  // a score of -inf hides its token
                Cache cache = make_cache(table, dtype, 1, 32, 40, 42);
                const Problem problem = {13, {38, 39}, 0, 0, 0};
                Random random(43);
                const auto query = random.normals(2 * 13 * 32);
                const auto before = run(table, cache, problem, query, 0, 2);
                std::vector<float> broken = random.normals(32);
                broken[5] = INFINITY;
                const Kernels use = kernels_of(table, dtype);
                (in_keys ? use.keys : use.values)(
                    broken.data(), 1, 32, 39 % 32,
                    (in_keys ? cache.keys : cache.values).data() + cache.pages[1] * cache.page_bytes());
                const auto after = run(table, cache, problem, query, 0, 2);
                CAPTURE(isa_name(isa), dtype_name(dtype), in_keys);
                const auto half = static_cast<std::ptrdiff_t>(after.size() / 2);
                CHECK(std::equal(after.begin(), after.begin() + half, before.begin()));
                // A scale is shared by the values of a token; a float stands for itself.
                for (size_t i = is_quantised(dtype) ? 0 : 5; i < 13 * 32; i += is_quantised(dtype) ? 1 : 32) {
                    CHECK_FALSE(std::fabs(after[13 * 32 + i]) < 100);
                }
            }
        }
    }
}

TEST_CASE("attention bears huge scores and sees nothing where there is nothing", "[kernels]") {
    for (const Isa isa : machine_isas()) {
        const KernelTable& table = kernels(isa);
        const Cache cache = make_cache(table, DType::F16, 1, 16, 40, 35);
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
