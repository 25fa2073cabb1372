// Kernels on every instruction set of this machine, each beside the limit it runs against.
//
// The machine's speed drifts while others use it, so every measurement is a pair taken in turn: the kernel, then the
// probe of its limit on the same instruction set (for memory: on the same bytes). `of_limit` is the median of the
// pairs' ratios, best_of_best the best kernel run over the best probe run.
//   quoin_bench --benchmark_filter='linear_q4_0/.*avx512vnni'
//   QUOIN_BENCH_BEFORE=old.so quoin_bench ...   old and new kernels in turn (Versions in pairs.h)
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/cpu_info.h"
#include "kernels/kernels.h"
#include "pairs.h"

namespace quoin {
namespace {

// Of linear_caches: short enough to fall between what other programs do, long beside the reading of a clock.
constexpr double kTurnSeconds = 1e-3;
constexpr int64_t kTurns = 500;

// For work(count): the count that takes about kTurnSeconds.
template <class Work>
int64_t count_of_a_turn(const Work& work) {
    for (int64_t count = 1;; count *= 2) {
        const double start = timing::now();
        work(count);
        if (timing::now() - start > kTurnSeconds / 1.5) return count;
    }
}

struct Format {
    const char* name;
    DType dtype;
    void (*KernelTable::*linear)(const LinearArgs&);
    void (*KernelTable::*pack)(const std::byte*, int64_t, int64_t, int64_t, std::byte*);
};
constexpr Format kFormats[] = {
    {"f32", DType::F32, &KernelTable::linear_f32, &KernelTable::pack_f32},
    {"f16", DType::F16, &KernelTable::linear_f16, &KernelTable::pack_f16},
    {"bf16", DType::BF16, &KernelTable::linear_bf16, &KernelTable::pack_bf16},
#define QUOIN_BLOCK_FORMAT(type, name) {#name, DType::type, &KernelTable::linear_##name, &KernelTable::pack_##name},
#include "kernels/block_formats.inc"
#undef QUOIN_BLOCK_FORMAT
};

// Bytes that are harmless in every format: no NaN, no subnormal scale. The values do not matter for the time.
std::vector<std::byte> harmless_bytes(int64_t count) {
    std::vector<std::byte> bytes(static_cast<size_t>(count));
    std::mt19937 random(1);
    for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
        const uint32_t value = (random() & 0x8FFF8FFFU) | 0x20002000U;
        std::copy_n(reinterpret_cast<const std::byte*>(&value), 4, bytes.data() + i);
    }
    return bytes;
}

struct alignas(64) Line {
    std::byte bytes[64];
};

struct LinearProblem {
    std::vector<std::byte> weights;
    std::vector<std::byte> src;
    std::vector<float> dst;
    std::vector<Line> scratch;  // one behind the other for each thread
    LinearArgs args;
};

std::unique_ptr<LinearProblem> make_linear(const KernelTable& table, DType dtype, int64_t rows, int64_t inner,
                                           int64_t columns, int threads = 1) {
    auto problem = std::make_unique<LinearProblem>();
    problem->weights = harmless_bytes(panel_bytes(dtype, inner) * panel_count(columns));
    problem->dst.resize(static_cast<size_t>(rows * columns));
    const std::vector<float> row(static_cast<size_t>(inner), 0.5F);
    const bool quantised = activation_dtype(dtype) == DType::Q8Row;
    const int64_t stride = quantised ? activation_row_bytes(inner) : inner * 4;
    problem->src.resize(static_cast<size_t>(stride * rows));
    for (int64_t r = 0; r < rows; ++r) {
        std::byte* const to = problem->src.data() + r * stride;
        if (quantised) {
            table.quantize_q8_row(row.data(), inner, to);
        } else {
            std::copy_n(reinterpret_cast<const std::byte*>(row.data()), inner * 4, to);
        }
    }
    LinearArgs args = {};
    args.weights = problem->weights.data();
    args.panel_stride = panel_bytes(dtype, inner);
    args.panels = panel_count(columns);
    args.columns = columns;
    args.src = problem->src.data();
    args.src_stride = stride;
    args.rows = rows;
    args.inner = inner;
    args.dst = problem->dst.data();
    args.dst_stride = columns;
    args.processor = processor_traits();
    const int64_t lines = linear_scratch_bytes(dtype, rows, args.panels) / int64_t{sizeof(Line)};
    problem->scratch.resize(static_cast<size_t>(threads * lines));
    args.scratch = problem->scratch.data()->bytes;
    problem->args = args;
    return problem;
}

int64_t (*peak_of(const KernelTable& table, DType weights))(int64_t) {
    if (activation_dtype(weights) == DType::Q8Row) return table.probe_int8;
    return weights == DType::BF16 ? table.probe_bf16 : table.probe_f32;
}

// Against the arithmetic peak; one thread, weights in the caches.
void linear_compute(benchmark::State& state, const Versions& kernels, const Format& format, int64_t rows, int64_t inner,
                    int64_t columns) {
    const auto problem = make_linear(kernels.now, format.dtype, rows, inner, columns);
    const double operations = 2.0 * static_cast<double>(rows * inner * columns);
    const auto probe = peak_of(kernels.now, format.dtype);
    const int64_t rounds = 200000;
    run_pairs(
        state, kernels, "TOPS", 1e12,
        [&](const KernelTable& table) {
            (table.*format.linear)(problem->args);
            return operations;
        },
        [&] { return static_cast<double>(probe(rounds)); });
}

// The same with so few weights that a core's own caches hold them, in so many turns that the best one, of about half a
// second of the kernel and a second of the peak, was not disturbed: `best_of_best` counts, and of one row the bytes of
// weights.
void linear_caches(benchmark::State& state, const Versions& kernels, const Format& format, int64_t rows) {
    const auto problem = make_linear(kernels.now, format.dtype, rows, 2048, 4 * kPanelColumns);
    const double operations = 2.0 * static_cast<double>(rows * problem->args.inner * problem->args.columns);
    const auto probe = peak_of(kernels.now, format.dtype);
    const auto repeat = [&](const KernelTable& table, int64_t times) {
        for (int64_t i = 0; i < times; ++i) (table.*format.linear)(problem->args);
    };
    const int64_t calls = count_of_a_turn([&](int64_t times) { repeat(kernels.now, times); });
    const int64_t rounds = count_of_a_turn(probe);
    run_pairs(
        state, kernels, "TOPS", 1e12,
        [&](const KernelTable& table) {
            repeat(table, calls);
            return operations * static_cast<double>(calls);
        },
        [&] { return static_cast<double>(probe(rounds)); });
    if (rows != 1) return;
    const double bytes = static_cast<double>(problem->weights.size());
    state.counters["GB/s"] = state.counters["TOPS"] * 1e3 * bytes / operations;
}

// Against memory: few rows, weights that no cache holds, shared out among threads.
void linear_memory(benchmark::State& state, const Versions& kernels, const Format& format, int64_t rows, int64_t inner,
                   int threads) {
    const int64_t panels = (int64_t{400} << 20) / panel_bytes(format.dtype, inner) / threads * threads;
    const auto problem = make_linear(kernels.now, format.dtype, rows, inner, panels * kPanelColumns, threads);
    const double bytes = static_cast<double>(problem->weights.size());
    const auto on_threads = [threads](const std::function<void(int)>& work) {
        std::vector<std::thread> team;
        for (int t = 1; t < threads; ++t) team.emplace_back(work, t);
        work(0);
        for (std::thread& member : team) member.join();
    };
    run_pairs(
        state, kernels, "GB/s", 1e9,
        [&](const KernelTable& table) {
            on_threads([&](int t) {
                LinearArgs part = problem->args;
                part.panels = panels / threads;
                part.columns = part.panels * kPanelColumns;
                part.weights += t * part.panels * part.panel_stride;
                part.dst += t * part.columns;
                part.scratch += t * linear_scratch_bytes(format.dtype, rows, panels);
                (table.*format.linear)(part);
            });
            return bytes;
        },
        [&] {
            on_threads([&](int t) {
                const auto part = static_cast<int64_t>(problem->weights.size()) / threads;
                benchmark::DoNotOptimize(kernels.now.probe_read(problem->weights.data() + t * part, part));
            });
            return bytes;
        },
        threads == 1 ? thread_seconds : timing::now);
}

void pack_weight(benchmark::State& state, const Versions& kernels, const Format& format) {
    const int64_t inner = 2048;
    const int64_t panels = 512;
    const auto row_bytes = static_cast<int64_t>(*byte_size(format.dtype, inner));
    const int64_t panel = panel_bytes(format.dtype, inner);
    const std::vector<std::byte> src = harmless_bytes(row_bytes * kPanelColumns * panels);
    std::vector<std::byte> dst(std::max(src.size(), static_cast<size_t>(panel * panels)));
    run_pairs(
        state, kernels, "GB/s", 1e9,
        [&](const KernelTable& table) {
            for (int64_t p = 0; p < panels; ++p) {
                const std::byte* const rows = src.data() + p * row_bytes * kPanelColumns;
                (table.*format.pack)(rows, row_bytes, kPanelColumns, inner, dst.data() + p * panel);
            }
            return static_cast<double>(src.size());
        },
        [&] {
            std::copy(src.begin(), src.end(), dst.begin());
            return static_cast<double>(src.size());
        });
}

struct CacheFormat {
    const char* name;
    DType dtype;
    void (*KernelTable::*attention)(const AttentionArgs&);
};
constexpr CacheFormat kCacheFormats[] = {
    {"f32", DType::F32, &KernelTable::attention_f32},    {"f16", DType::F16, &KernelTable::attention_f16},
    {"bf16", DType::BF16, &KernelTable::attention_bf16}, {"q8_0", DType::Q8_0, &KernelTable::attention_q8_0},
    {"q4_0", DType::Q4_0, &KernelTable::attention_q4_0},
};

// One sequence, one key/value head; bytes of its keys and values against reading them, or operations against f32.
void attention(benchmark::State& state, const Versions& kernels, const CacheFormat& format, int64_t rows, int64_t heads,
               int64_t head_size, int64_t tokens) {
    const int64_t page_bytes = page_head_bytes(format.dtype, head_size);
    const bool decode = rows == 1;
    // Decode: as many caches as leave the processor's caches; prefill: one.
    const int64_t caches = decode ? (int64_t{256} << 20) / (tokens / 32 * page_bytes * 2) : 1;
    const int64_t pages = tokens / kPageTokens;
    std::vector<std::byte> memory = harmless_bytes(caches * pages * page_bytes * 2);
    std::vector<int32_t> ids(static_cast<size_t>(pages));
    for (int64_t p = 0; p < pages; ++p) ids[static_cast<size_t>(p)] = static_cast<int32_t>(p);
    std::vector<int32_t> positions(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) positions[static_cast<size_t>(r)] = static_cast<int32_t>(tokens - rows + r);
    const std::vector<float> query(static_cast<size_t>(rows * heads * head_size), 0.01F);
    std::vector<float> dst(query.size());
    std::vector<float> scratch(static_cast<size_t>(attention_scratch_floats(head_size, rows, heads)));
    AttentionArgs args = {};
    args.query = query.data();
    args.query_stride = heads * head_size;
    args.rows = rows;
    args.heads = heads;
    args.head_size = head_size;
    args.positions = positions.data();
    args.scale = 0.1F;
    args.key_page_stride = page_bytes;
    args.value_page_stride = page_bytes;
    args.last_block = INT64_MAX;
    args.pages = ids.data();
    args.scratch = scratch.data();
    args.dst = dst.data();
    args.dst_stride = heads * head_size;
    const double bytes = static_cast<double>(memory.size());
    const double operations = 4.0 * static_cast<double>(rows * heads * head_size * tokens);
    const auto work = [&](const KernelTable& table) {
        for (int64_t c = 0; c < caches; ++c) {
            args.key_base = memory.data() + c * pages * page_bytes * 2;
            args.value_base = args.key_base + pages * page_bytes;
            (table.*format.attention)(args);
        }
        return decode ? bytes : operations;
    };
    const auto limit = [&] {
        if (!decode) return static_cast<double>(kernels.now.probe_f32(20000));
        benchmark::DoNotOptimize(kernels.now.probe_read(memory.data(), static_cast<int64_t>(memory.size())));
        return bytes;
    };
    run_pairs(state, kernels, decode ? "GB/s" : "TOPS", decode ? 1e9 : 1e12, work, limit);
}

// Rows in the first-level cache, as they are between two Linears; ns per element tells more than a fraction here.
void row_kernel(benchmark::State& state, int64_t count, const std::function<void()>& work) {
    for (auto _ : state) work();
    state.counters["ns_per_element"] = benchmark::Counter(
        static_cast<double>(count) * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void add_row_kernels(const KernelTable& t, const std::string& isa) {
    constexpr int64_t kCount = 2048;
    static std::vector<float> a(kCount, 0.75F), b(kCount, 0.25F), c(kCount);
    static std::vector<std::byte> row(static_cast<size_t>(activation_row_bytes(kCount)));
    const auto add = [&](const char* name, std::function<void()> work) {
        benchmark::RegisterBenchmark(("row/" + std::string(name) + "/" + isa).c_str(), [work](benchmark::State& state) {
            row_kernel(state, kCount, work);
        })->MinTime(0.05);
    };
    add("quantize_q8_row", [&t] { t.quantize_q8_row(a.data(), kCount, row.data()); });
    add("rms_norm", [&t] { t.rms_norm(a.data(), b.data(), 1e-5F, kCount, c.data()); });
    add("layer_norm", [&t] { t.layer_norm(a.data(), b.data(), b.data(), 1e-5F, kCount, c.data()); });
    add("rotary_halves", [&t] { t.rotary(a.data(), b.data(), b.data(), kCount / 64, 64, 64, false, c.data()); });
    add("rotary_pairs", [&t] { t.rotary(a.data(), b.data(), b.data(), kCount / 64, 64, 64, true, c.data()); });
    add("silu_multiply", [&t] { t.silu_multiply(a.data(), b.data(), kCount, c.data()); });
    add("gelu_tanh", [&t] { t.gelu_tanh_row(a.data(), kCount, 0, 0, c.data()); });
    add("softmax_row", [&t] { t.softmax_row(a.data(), kCount, c.data()); });
    add("add", [&t] { t.add(a.data(), b.data(), kCount, c.data()); });
}

void add_benchmarks() {
    for (int i = 0; i < kIsaCount; ++i) {
        const Isa isa = static_cast<Isa>(i);
        if (!machine_has(isa)) continue;
        const Versions t = versions_of(isa);
        const std::string tail = std::string(isa_name(isa));
        for (const Format& format : kFormats) {
            const std::string name = "linear_" + std::string(format.name);
            for (const auto& [rows, inner, columns] :
                 {std::tuple<int64_t, int64_t, int64_t>{256, 2048, 2048}, {256, 5632, 2048}, {256, 2048, 5632}}) {
                add_pairs(
                    name + "/compute/m256/k" + std::to_string(inner) + "/n" + std::to_string(columns) + "/" + tail,
                    [t, &format, rows = rows, inner = inner, columns = columns](benchmark::State& state) {
                        linear_compute(state, t, format, rows, inner, columns);
                    });
            }
            for (const int64_t rows : {1, 2, 4, 8, 16, 240}) {
                add_pairs(
                    name + "/caches/m" + std::to_string(rows) + "/" + tail,
                    [t, &format, rows](benchmark::State& state) { linear_caches(state, t, format, rows); }, kTurns);
            }
            for (const int64_t rows : {1, 2, 3, 4, 6, 8, 12, 16}) {
                add_pairs(name + "/compute/m" + std::to_string(rows) + "/" + tail,
                          [t, &format, rows](benchmark::State& state) {
                              linear_compute(state, t, format, rows, 2048, 1024);
                          });
                for (const int threads : {1, 2}) {
                    add_pairs(name + "/memory/m" + std::to_string(rows) + "/t" + std::to_string(threads) + "/" + tail,
                              [t, &format, rows, threads](benchmark::State& state) {
                                  linear_memory(state, t, format, rows, 2048, threads);
                              });
                }
            }
            if (isa == Isa::Baseline) {
                add_pairs("pack_" + std::string(format.name),
                          [t, &format](benchmark::State& state) { pack_weight(state, t, format); });
            }
        }
        for (const CacheFormat& format : kCacheFormats) {
            const std::string name = "attention_" + std::string(format.name);
            for (const int64_t size : {64, 128}) {
                for (const int64_t heads : {1, 4, 8}) {
                    const std::string shape = "/h" + std::to_string(heads) + "/d" + std::to_string(size) + "/" + tail;
                    add_pairs(name + "/decode4096" + shape, [t, &format, heads, size](benchmark::State& state) {
                        attention(state, t, format, 1, heads, size, 4096);
                    });
                    add_pairs(name + "/prefill32x2048" + shape, [t, &format, heads, size](benchmark::State& state) {
                        attention(state, t, format, 32, heads, size, 2048);
                    });
                }
            }
        }
        add_row_kernels(t.now, tail);
    }
}

const int registered = [] {
    add_benchmarks();
    return 0;
}();

}  // namespace
}  // namespace quoin
