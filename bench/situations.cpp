// A language model in situations that one sequence alone does not show, each beside its limit, as one JSON object:
// loading beside reading the file, steps of a few rows, 16 sequences at once, two models at once, a runtime that idles.
// Uses the public header only. formats_table.py prints what comes out.
//     quoin_situations MODEL.gguf [threads [isa]]
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <quoin/quoin.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "timing.h"

namespace {

using timing::median;
using timing::now;

constexpr int kRounds = 5;
constexpr int64_t kGenerated = 32;

template <class Function>
double seconds_of(const Function& function) {
    const double start = now();
    function();
    return now() - start;
}

// function(thread) on all threads; the first exception is thrown again.
template <class Function>
void on_threads(int threads, const Function& function) {
    std::vector<std::exception_ptr> failures(static_cast<size_t>(threads));
    std::vector<std::thread> team;
    for (int t = 0; t < threads; ++t) {
        team.emplace_back([&, t] {
            try {
                function(t);
            } catch (...) {
                failures[static_cast<size_t>(t)] = std::current_exception();
            }
        });
    }
    for (std::thread& member : team) member.join();
    for (const std::exception_ptr& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
}

std::vector<int32_t> some_tokens(size_t count, int64_t vocabulary) {
    std::vector<int32_t> ids(count);
    uint64_t state = 1;
    for (int32_t& id : ids) {
        state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
        id = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocabulary));
    }
    return ids;
}

double processor_seconds() {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// ---- Reading a file that is in the page cache -----------------------------------------------------------------------

class File {
public:
    explicit File(const char* path) : descriptor_(open(path, O_RDONLY | O_CLOEXEC)) {
        struct stat info = {};
        if (descriptor_ < 0 || fstat(descriptor_, &info) != 0)
            throw std::runtime_error(std::string("cannot open ") + path);
        size_ = static_cast<size_t>(info.st_size);
    }
    ~File() { close(descriptor_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    // Part `t` of `parts`, again and again into the same buffer of 1 MB.
    void read_part(int t, int parts) const {
        std::vector<char> buffer(size_t{1} << 20);
        for (size_t at = begin(t, parts); at < begin(t + 1, parts);) {
            at += read_at(buffer.data(), std::min(buffer.size(), begin(t + 1, parts) - at), at);
        }
    }
    // Part `t` of `parts` to where it belongs in memory that holds the whole file.
    void read_part_into(char* memory, int t, int parts) const {
        for (size_t at = begin(t, parts); at < begin(t + 1, parts);) {
            at += read_at(memory + at, begin(t + 1, parts) - at, at);
        }
    }
    // Every page of a new mapping is looked at.
    void touch(int threads) const {
        void* const data = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
        if (data == MAP_FAILED) throw std::runtime_error("cannot map the file");
        on_threads(threads, [&](int t) {
            for (size_t at = begin(t, threads); at < begin(t + 1, threads); at += 4096) {
                static_cast<void>(static_cast<const volatile char*>(data)[at]);
            }
        });
        munmap(data, size_);
    }
    size_t size() const { return size_; }

private:
    size_t begin(int t, int parts) const {
        return t == parts ? size_ : size_ / static_cast<size_t>(parts) * static_cast<size_t>(t);
    }
    size_t read_at(char* to, size_t count, size_t offset) const {
        const ssize_t done = pread(descriptor_, to, count, static_cast<off_t>(offset));
        if (done <= 0) throw std::runtime_error("cannot read the file");
        return static_cast<size_t>(done);
    }

    int descriptor_;
    size_t size_ = 0;
};

void measure_loading(const quoin::Runtime& runtime, const char* path) {
    const File file(path);
    const std::array<const char*, 7> names = {
        "load",           "read_1_thread",  "read_2_threads", "read_whole_1_thread", "read_whole_2_threads",
        "touch_1_thread", "touch_2_threads"};
    std::array<std::vector<double>, 7> times;
    for (int round = 0; round < kRounds; ++round) {
        times[0].push_back(seconds_of(
            [&] { const quoin::Model model = quoin::Model::load_file(path, quoin::ModelOptions(), &runtime); }));
        for (int threads = 1; threads <= 2; ++threads) {
            const auto index = static_cast<size_t>(threads);
            times[index].push_back(
                seconds_of([&] { on_threads(threads, [&](int t) { file.read_part(t, threads); }); }));
            times[index + 2].push_back(seconds_of([&] {
                const std::unique_ptr<char[]> memory(new char[file.size()]);  // not initialised
                on_threads(threads, [&](int t) { file.read_part_into(memory.get(), t, threads); });
            }));
            times[index + 4].push_back(seconds_of([&] { file.touch(threads); }));
        }
    }
    std::printf("  \"load_s\": {");
    for (size_t i = 0; i < names.size(); ++i)
        std::printf("%s\"%s\": %.4f", i == 0 ? "" : ", ", names[i], median(times[i]));
    std::printf("},\n");
}

// ---- Steps ----------------------------------------------------------------------------------------------------------

struct Bound {
    double memory_s;   // for the weights and the cache that a step reads
    double compute_s;  // for one row through all matrices, the output head included
};

Bound bound_of(const quoin::Limits& limits, const quoin::ModelFacts& facts, double cache_bytes) {
    const double multiply_adds =
        static_cast<double>(facts.prompt_multiply_adds) + static_cast<double>(facts.logits_multiply_adds);
    const double peak = facts.prompt_arithmetic == QUOIN_DTYPE_I8     ? limits.int8_operations_per_second
                        : facts.prompt_arithmetic == QUOIN_DTYPE_BF16 ? limits.bf16_operations_per_second
                                                                      : limits.f32_operations_per_second;
    return {(static_cast<double>(facts.active_weight_bytes) + cache_bytes) / limits.dram_bytes_per_second,
            2 * multiply_adds / peak};
}

// Time of a step of n tokens of one sequence whose logits are all wanted, over the larger of the two limits.
void measure_rows(const quoin::Runtime& runtime, const quoin::Model& model) {
    constexpr size_t kBefore = 64;
    constexpr int kSteps = 9;
    const quoin::ModelFacts facts = model.info();
    const quoin::Context context(model);
    const std::vector<int32_t> ids = some_tokens(kBefore + 16, facts.vocabulary_size);
    quoin::Sequence sequence(context);
    sequence.append_tokens(ids.data(), kBefore);
    sequence.evaluate(0);
    std::printf("  \"rows\": [");
    for (const size_t rows : {1, 2, 3, 4, 6, 8, 12, 16}) {
        std::vector<double> times;
        for (int step = 0; step < kSteps; ++step) {
            sequence.append_tokens(ids.data() + kBefore, rows);
            const double seconds = seconds_of([&] { sequence.evaluate(rows); });
            sequence.trim(kBefore);
            if (step == 0) continue;  // it was planned
            times.push_back(seconds);
        }
        const Bound bound = bound_of(runtime.measure_limits(), facts, 0);
        const double limit = std::max(bound.memory_s, static_cast<double>(rows) * bound.compute_s);
        std::printf("%s{\"rows\": %zu, \"step_s\": %.6f, \"of_limit\": %.3f}", rows == 1 ? "" : ", ", rows,
                    median(times), median(times) / limit);
    }
    std::printf("],\n");
}

void generate(quoin::Sequence& sequence, int64_t tokens) {
    quoin::GenerateOptions options;
    options.max_tokens = tokens;
    options.ignore_end = 1;
    sequence.generate([](const quoin_piece&) {}, options);
}

void measure_sixteen(const quoin::Runtime& runtime, const quoin::Model& model) {
    constexpr int kSequences = 16;
    const quoin::ModelFacts facts = model.info();
    const quoin::Context context(model);
    const std::vector<int32_t> ids = some_tokens(32, facts.vocabulary_size);
    std::vector<double> speeds;
    std::vector<double> fractions;
    for (int round = 0; round < kRounds; ++round) {
        std::vector<quoin::Sequence> sequences;
        for (int s = 0; s < kSequences; ++s) {
            sequences.emplace_back(context);
            sequences.back().append_tokens(ids.data() + s, 8);
        }
        on_threads(kSequences, [&](int s) { generate(sequences[static_cast<size_t>(s)], 1); });
        const double seconds = seconds_of(
            [&] { on_threads(kSequences, [&](int s) { generate(sequences[static_cast<size_t>(s)], kGenerated); }); });
        speeds.push_back(kSequences * static_cast<double>(kGenerated) / seconds);
        fractions.push_back(speeds.back() * bound_of(runtime.measure_limits(), facts, 0).compute_s);
    }
    std::printf("  \"sixteen\": {\"tokens_per_s\": %.1f, \"of_peak\": %.3f},\n", median(speeds), median(fractions));
}

// Both one after the other, then both at once, in turn.
void measure_two(const quoin::Runtime& runtime, const quoin::Model& first, const char* path) {
    const quoin::Model second = quoin::Model::load_file(path, quoin::ModelOptions(), &runtime);
    const quoin::Context contexts[] = {quoin::Context(first), quoin::Context(second)};
    const std::vector<int32_t> ids = some_tokens(16, first.info().vocabulary_size);
    const auto run = [&](int which) {
        quoin::Sequence sequence(contexts[which]);
        sequence.append_tokens(ids);
        generate(sequence, kGenerated);
    };
    on_threads(2, run);
    std::vector<double> ratios;
    for (int round = 0; round < kRounds; ++round) {
        const double apart = seconds_of([&] {
            run(0);
            run(1);
        });
        ratios.push_back(apart / seconds_of([&] { on_threads(2, run); }));
    }
    std::printf("  \"two_models\": {\"of_one_after_the_other\": %.3f},\n", median(ratios));
}

// Processor time of all threads while nothing is asked of a runtime that has just generated.
void measure_idleness(const quoin::Model& model) {
    constexpr double kIdle = 2;
    const quoin::Context context(model);
    quoin::Sequence sequence(context);
    sequence.append_tokens(some_tokens(16, model.info().vocabulary_size));
    generate(sequence, 8);
    const double start = processor_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const double settled = processor_seconds();
    std::this_thread::sleep_for(std::chrono::duration<double>(kIdle));
    std::printf("  \"idle\": {\"seconds\": %.0f, \"processor_s\": %.6f, \"processor_s_of_first_10_ms\": %.6f}\n", kIdle,
                processor_seconds() - settled, settled - start);
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 2) {
        std::fprintf(stderr, "usage: quoin_situations MODEL.gguf [threads [isa]]\n");
        return 2;
    }
    quoin::RuntimeOptions options;
    if (argc > 2) options.threads = std::atoi(argv[2]);
    if (argc > 3) {
        options.isa = argv[3];
        options.isa_length = QUOIN_STRLEN;
    }
    const quoin::Runtime runtime(options);
    std::printf("{\n");
    measure_loading(runtime, argv[1]);
    const quoin::Model model = quoin::Model::load_file(argv[1], quoin::ModelOptions(), &runtime);
    measure_rows(runtime, model);
    measure_sixteen(runtime, model);
    measure_two(runtime, model, argv[1]);
    measure_idleness(model);
    std::printf("}\n");
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "quoin_situations: %s\n", error.what());
    return 1;
}
