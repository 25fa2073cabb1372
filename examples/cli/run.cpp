// quoin run: a model once, tensors from files and into files.
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>

#include "commands.h"
#include "graph_inputs.h"
#include "npy.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage =
    "quoin run --model FILE [--input NAME=FILE.npy ...] [--output-dir FOLDER] [--profile FILE.json]";
constexpr std::string_view kDescription =
    "Runs a model on the given inputs and prints what comes out. An input is a .npy file, or dims such as\n"
    "1x3x224x224, which are filled with random numbers (whole numbers: zeros) or, with 1x16:2, with a number;\n"
    "an input of rank 0 is the number itself; a sequence takes one --input for each element. Inputs of known shape\n"
    "may be left out.";

// A name of a tensor as a name of a file, on every system.
std::string as_file_name(std::string_view name) {
    std::string safe;
    for (const char c : name) {
        const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
        safe += plain ? c : '_';
    }
    if (safe.empty() || safe[0] == '.') safe.insert(0, "_");
    return safe;
}

class Outputs {
public:
    explicit Outputs(std::string folder) : folder_(std::move(folder)) {
        if (!folder_.empty()) std::filesystem::create_directories(folder_);
    }

    void put(const std::string& name, const quoin::ValueView& value) {
        switch (value.kind()) {
            case QUOIN_VALUE_TENSOR: put_tensor(name, value.tensor()); return;
            case QUOIN_VALUE_SEQUENCE:
                write_output(name + ": sequence of " + std::to_string(value.size()) + "\n");
                for (size_t index = 0; index < value.size(); ++index)
                    put(name + "." + std::to_string(index), value[index]);
                return;
            case QUOIN_VALUE_MAP:
                write_output(name + ": map\n");
                put(name + ".keys", value[0]);
                put(name + ".values", value[1]);
                return;
            default: write_output(name + ": nothing\n");
        }
    }

private:
    void put_tensor(const std::string& name, const quoin::TensorView& tensor) {
        std::string line = name + " " + describe_tensor(tensor.dtype(), tensor.dims());
        if (!folder_.empty()) {
            const std::string safe = as_file_name(name);
            std::string file = safe + ".npy";
            for (int count = 2; !taken_.insert(file).second; ++count)
                file = safe + "_" + std::to_string(count) + ".npy";
            const std::string path = (std::filesystem::path(folder_) / file).string();
            write_npy(path, tensor);
            line += " " + path;
        }
        write_output(line + "\n");
    }

    std::string folder_;
    std::set<std::string> taken_;
};

void write_profile(const quoin::Session& session, const std::string& path) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << session.profile();
    file.close();
    if (!file) throw std::runtime_error("cannot write '" + path + "'");
}

}  // namespace

int run_run(const std::vector<std::string>& arguments) {
    Setup setup;
    std::vector<std::string> inputs;
    std::string output_dir;
    std::string profile;
    int64_t runs = 1;
    Options options;
    options.heading("Input and output");
    options.list("--input", "NAME=VALUE", inputs, kInputHelp);
    options.text("--output-dir", "FOLDER", output_dir, "write each output to a .npy file named after it");
    options.text("--profile", "FILE", profile, "write when each node ran, for chrome://tracing or ui.perfetto.dev");
    options.integer("--runs", "N", runs, 1, 1 << 30, "run so often (default 1); only the last has a profile");
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;

    const quoin::Runtime runtime = setup.runtime();
    const quoin::Model model = setup.model(runtime);
    quoin::Session session(model);
    const GraphInputs tensors(model, inputs, setup.seed());
    tensors.set_on(session);
    {
        const InterruptGuard guard([&session] { session.cancel(); });
        for (int64_t run = 0; run < runs; ++run) {
            if (!profile.empty() && run + 1 == runs) session.start_profile();
            session.run();
        }
    }
    if (!profile.empty()) write_profile(session, profile);
    Outputs outputs(output_dir);
    for (size_t index = 0; index < model.output_count(); ++index) {
        outputs.put(model.output_info(index).name, session.output_value(index));
    }
    flush_output();
    return 0;
}
