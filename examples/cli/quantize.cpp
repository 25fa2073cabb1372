// quoin quantize: a model file in floats to one in fewer bits.
#include <array>
#include <cstdio>
#include <map>

#include "commands.h"
#include "json.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage = "quoin quantize --model IN.gguf --type TYPE --output OUT.gguf [OPTIONS]";
constexpr std::string_view kDescription =
    "Writes a GGUF file with weights in fewer bits, from one in f32, f16 or bf16. A type is a mixture: some\n"
    "tensors get more bits than its name says, norms and biases stay as they are. The output appears when\n"
    "all is written. Types:\n"
    "  q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q2_k_s q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k\n"
    "  iq4_nl iq4_xs mxfp4 mxfp4_moe tq1_0 tq2_0 bf16 f16 f32";

// What all tensors of one dtype in the output come to.
struct Total {
    int64_t tensors = 0;
    uint64_t bytes = 0;
};

struct Report {
    std::map<int32_t, Total> totals;  // by dtype
    int64_t unfit = 0;

    void add(const quoin_quantized_tensor& tensor) {
        Total& total = totals[tensor.dtype];
        ++total.tensors;
        total.bytes += tensor.bytes;
        if (tensor.unfit_dtype != QUOIN_DTYPE_UNDEFINED) ++unfit;
    }
};

std::string megabytes(uint64_t bytes) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%10.1f MB", static_cast<double>(bytes) / 1e6);
    return text.data();
}

void print_json(const quoin::QuantizeFacts& facts, const Report& report) {
    JsonObject dtypes;
    for (const auto& [dtype, total] : report.totals) {
        dtypes.add(quoin_dtype_name(dtype), JsonObject().add("tensors", total.tensors).add("bytes", total.bytes));
    }
    JsonObject object;
    object.add("source_bytes", facts.source_bytes).add("output_bytes", facts.output_bytes);
    object.add("tensors", facts.tensors).add("converted", facts.converted).add("unfit", facts.unfit);
    write_output(object.add("dtypes", dtypes).text() + "\n");
}

void print_text(const quoin::QuantizeFacts& facts, const Report& report) {
    for (const auto& [dtype, total] : report.totals) {
        std::string name = quoin_dtype_name(dtype);
        name.resize(10, ' ');
        std::string count = std::to_string(total.tensors);
        count.insert(0, count.size() < 6 ? 6 - count.size() : 0, ' ');
        write_output(name + count + " tensors" + megabytes(total.bytes) + "\n");
    }
    write_output("file, before and after" + megabytes(facts.source_bytes) + megabytes(facts.output_bytes) + "\n");
    if (report.unfit > 0) {
        write_output(std::to_string(report.unfit) +
                     " tensors got another type than the mixture gives them: their rows are no whole blocks of it\n");
    }
}

}  // namespace

int run_quantize(const std::vector<std::string>& arguments) {
    Setup setup;
    std::string model;
    std::string type;
    std::string output;
    bool json = false;
    Options options;
    options.heading("Input and output");
    options.text("--model", "FILE", model, "GGUF file to read");
    options.text("--type", "TYPE", type, "one of the types above");
    options.text("--output", "FILE", output, "GGUF file to write; replaced if it exists");
    options.flag("--json", json, "one JSON object instead of text");
    setup.add_runtime_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;
    if (model.empty()) throw UsageError("--model is missing");
    if (type.empty()) throw UsageError("--type is missing");
    if (output.empty()) throw UsageError("--output is missing");

    const quoin::Runtime runtime = setup.runtime();
    quoin::QuantizeOptions wanted;
    ProgressLine line("quantizing " + model, setup.quiet());
    auto show = [&line](double fraction) {
        line.show(fraction);
        return !interrupted();
    };
    const quoin::Progress progress(show, wanted);
    Report report;
    auto count = [&report](const quoin_quantized_tensor& tensor) { report.add(tensor); };
    const quoin::TensorProgress tensors(count, wanted);
    quoin::QuantizeFacts facts;
    {
        // The progress callback looks; the guard only takes the signal, so that nothing half done is left.
        const InterruptGuard guard([] {});
        try {
            facts = quoin::quantize_file(model, type, output, wanted, &runtime);
        } catch (const quoin::Error& error) {
            // What the library refuses as an argument is what the user wrote for --type or --output.
            if (error.status() == QUOIN_ERROR_INVALID_ARGUMENT) throw UsageError(error.what());
            throw;
        }
    }
    line.clear();
    if (json) {
        print_json(facts, report);
    } else {
        print_text(facts, report);
    }
    flush_output();
    return 0;
}
