// Writes the seed corpus of api_fuzz into a folder: api_seeds FOLDER
#include <quoin/quoin.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "fuzz/api_program.h"
#include "support/gguf_writer.h"

namespace {

using quoin::test::Call;

// Chooses the first of the five shared models: at least 128, and a multiple of five.
constexpr uint8_t kFirstModel = 130;

// Calls with the ordinary arguments, which are zeros; more of them than any call takes would be calls themselves, so
// each call says how many.
class Seed {
public:
    Seed& call(Call operation, std::vector<uint8_t> arguments) {
        bytes_.push_back(static_cast<char>(operation));
        for (const uint8_t each : arguments) bytes_.push_back(static_cast<char>(each));
        return *this;
    }
    Seed& text(Call operation, uint8_t object, const std::string& text, std::vector<uint8_t> rest) {
        call(operation, {object, static_cast<uint8_t>(text.size())});
        bytes_ += text;
        for (const uint8_t each : rest) bytes_.push_back(static_cast<char>(each));
        return *this;
    }
    const std::string& bytes() const { return bytes_; }

private:
    std::string bytes_;
};

Seed sequence_of(uint8_t model) {
    Seed seed;
    seed.call(Call::CreateContext, {static_cast<uint8_t>(kFirstModel + model), 0, 0, 0, 0, 0})
        .call(Call::CreateSequence, {0, 0});
    return seed;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: api_seeds FOLDER\n");
        return 2;
    }
    bool saved = true;
    const auto save = [&](const char* name, const std::string& bytes) {
        std::ofstream file(std::string(argv[1]) + "/" + name, std::ios::binary);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        saved = saved && file.good();
    };
    for (const auto model : std::to_array<uint8_t>({0, 1, 2})) {
        Seed seed = sequence_of(model);
        seed.call(Call::AppendTokens, {0, 4, 3, 4, 5, 3, 0})
            .text(Call::AppendText, 0, "ab a<x>", {0})
            .call(Call::Evaluate, {0, 2, 0})
            .call(Call::Fork, {0})
            .call(Call::Trim, {0, 0})
            .call(Call::CreateSampler, {0, 0, 0, 0, 0, 0, 0, 0, 0, 3})
            .call(Call::Generate, {0, 0, 0, 30, 0, 0, 0, 0, 0})
            .call(Call::ReadTokens, {0, 0});
        save(("generate-" + std::to_string(model)).c_str(), seed.bytes());
    }
    for (const auto model : std::to_array<uint8_t>({0, 1, 3, 4})) {
        Seed seed;
        seed.call(Call::LoadFile, {0, 0, 0, 0, 0, 0, 0, model})
            .text(Call::Encode, 0, "ab \xC3\xA9 a<x>b\n", {3, 0})
            .call(Call::Decode, {0, 5, 3, 4, 9, 10, 8, 1, 0})
            .call(Call::AskTokens, {0, 0, 0})
            .call(Call::Describe, {0, 0, 1, 0, 1, 0})
            .call(Call::AskMetadata, {0, 3, 0, 0})
            .call(Call::AskValues, {0, 0, 0, 0, 0})
            .call(Call::FillStructs, {0, 0, 0, 0, 0});
        save(("ask-" + std::to_string(model)).c_str(), seed.bytes());
    }
    Seed session;
    session.call(Call::LoadReader, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
        .call(Call::CreateSession, {0, 0})
        .call(Call::WrapTensor, {0, 0, 0, 0, 0, 0, 3, 4, 5, 3, 0, 0})
        .call(Call::SetInput, {0, 0, 0, 0})
        .call(Call::Profile, {0, 0})
        .call(Call::RunSession, {0, 0, 0})
        .call(Call::SessionOutput, {0, 0, 0})
        .call(Call::Profile, {0, 2});
    save("session", session.bytes());
    Seed values;
    values.call(Call::CreateSession, {kFirstModel + 4, 0})
        .call(Call::CreateStrings, {0, 1, 0, 1, 'x', 0, 2, 'y', 'z', 1, 1})
        .call(Call::SetInput, {0, 0, 2, 0})
        .call(Call::WrapTensor, {QUOIN_DTYPE_F32 + 20, 0, 0, 0, 22, 0, 1, 2, 0, 0})
        .call(Call::SetInput, {0, 0, 0, 0})
        .call(Call::SetInput, {0, 0, 1, 0})
        .call(Call::CreateSequenceOfTensors, {2, 0, 0, 0})
        .call(Call::SetInputValue, {0, 0, 3, 0})
        .call(Call::RunSession, {0, 0, 0})
        .call(Call::SessionOutputValue, {0, 0, 1})
        .call(Call::SessionOutputValue, {0, 0, 2})
        .call(Call::Profile, {0, 3, 0, 1});
    save("values", values.bytes());
    Seed broken;
    broken.call(Call::CreateRuntime, {0, 0, 0, 5, 0, 40, 0, 0})
        .call(Call::LoadPatched, {0, 2, 9, 0, 7, 200, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
        .call(Call::PassNulls, {0, 0, 5})
        .call(Call::SetLog, {0, 4, 0})
        .call(Call::AskNames, {5, 0, 0, 0})
        .call(Call::Destroy, {2, 0})
        .call(Call::Cancel, {0, 0});
    save("broken", broken.bytes());
    std::string whole(1, static_cast<char>(quoin::test::kWholeModel));
    quoin::test::GgufWriter smallest = quoin::test::smallest_model("llama");
    smallest.key("tokenizer.ggml.model", "no_vocab");
    for (const std::byte each : smallest.write()) whole.push_back(static_cast<char>(each));
    save("whole-model", whole);
    if (!saved) std::fprintf(stderr, "api_seeds: cannot write into '%s'\n", argv[1]);
    return saved ? 0 : 1;
}
