// Models that carry a state from run to run: speech over whole files, a language model with its cache in and out.
#include <nlohmann/json.hpp>

#include "models/real_model.h"
#include "support/catch.h"
#include "support/shared_models.h"

using namespace quoin;
using namespace quoin::test;
using nlohmann::json;

namespace {

// Chunks of 512 samples, each behind the 64 before it, as "how" in ref_speech_probs.json says.
std::vector<float> speech_probabilities(RealModel& model, const std::vector<float>& samples, size_t chunks) {
    constexpr size_t kContext = 64;
    constexpr size_t kChunk = 512;
    std::vector<float> padded(kContext);
    padded.insert(padded.end(), samples.begin(), samples.end());
    padded.resize(kContext + chunks * kChunk);
    model.set("state", DType::F32, {2, 1, 128}, std::vector<float>(256));
    model.set("sr", DType::I64, {}, std::vector<int64_t>{16000});
    std::vector<float> probabilities;
    for (size_t chunk = 0; chunk < chunks; ++chunk) {
        const auto first = padded.begin() + static_cast<std::ptrdiff_t>(chunk * kChunk);
        model.set("input", DType::F32, {1, kContext + kChunk}, std::vector<float>(first, first + kContext + kChunk));
        model.run();
        model.carry("stateN", "state");
        probabilities.push_back(model.output("output")[0]);
    }
    return probabilities;
}

}  // namespace

TEST_CASE("speech activity over whole recordings", "[models]") {
    const auto path = shared_file("models/audio-silero-vad/ref_speech_probs.json");
    if (!path) return;
    const json reference = json::parse(read_text(*path));
    for (const auto& [key, wanted] : reference["probs"].items()) {
        const size_t bar = key.find('|');
        INFO(key);
        RealModel model(path->parent_path() / key.substr(bar + 1), 2);
        const std::vector<float> samples = read_wav(path->parent_path().parent_path() / key.substr(0, bar));
        const auto probabilities = wanted.get<std::vector<float>>();
        check_close(speech_probabilities(model, samples, probabilities.size()), probabilities, {});
    }
}

TEST_CASE("speech enhancement frame by frame", "[models]") {
    // Element 3 of the output of each frame, made with onnxruntime 1.32: twenty frames of the hash of ref.json's
    // input_rule, the index running on from frame to frame.
    const std::vector<float> wanted{
        0.023356398567557335F,  0.0012875499669462442F, -0.015516873449087143F,  0.017939383164048195F,
        0.001775164157152176F,  -0.015764735639095306F, 0.018835807219147682F,   0.002127633662894368F,
        -0.013750086538493633F, 0.01595992222428322F,   0.0020174153614789248F,  -0.009942903183400631F,
        0.01265393290668726F,   0.001879704068414867F,  -0.0072368537075817585F, 0.00856991671025753F,
        0.001272304798476398F,  -0.003979904111474752F, 0.0054662153124809265F,  0.0010546017438173294F};
    for (const char* name : {"gtcrn", "gtcrn_simple"}) {
        const auto path = shared_file(std::string("models/audio-gtcrn/") + name + ".onnx");
        if (!path) return;
        INFO(name);
        RealModel model(*path, 2);
        model.set("conv_cache", DType::F32, {2, 1, 16, 16, 33}, std::vector<float>(size_t{2} * 16 * 16 * 33));
        model.set("tra_cache", DType::F32, {2, 3, 1, 1, 16}, std::vector<float>(96));
        model.set("inter_cache", DType::F32, {2, 1, 33, 16}, std::vector<float>(1056));
        std::vector<float> got;
        uint32_t index = 0;
        for (size_t frame = 0; frame < wanted.size(); ++frame) {
            std::vector<float> mix(514);
            for (float& value : mix) {
                value = static_cast<float>((2 * (static_cast<double>(index++ * 2654435761U) / 4294967296.0) - 1) * 0.1);
            }
            model.set("mix", DType::F32, {1, 257, 1, 2}, mix);
            model.run();
            for (const char* cache : {"conv_cache", "tra_cache", "inter_cache"}) {
                model.carry(std::string(cache) + "_out", cache);
            }
            got.push_back(model.output("enh")[3]);
        }
        check_close(got, wanted, {1e-3, 1e-4});
    }
}

namespace {

constexpr int kLayers = 5;

void forget(RealModel& model) {
    for (int layer = 0; layer < kLayers; ++layer) {
        for (const char* part : {".key", ".value"}) {
            model.set("past_key_values." + std::to_string(layer) + part, DType::F32, {1, 4, 0, 16},
                      std::vector<float>());
        }
    }
}

// Logits [tokens.size(), 105]; the cache goes from the outputs to the inputs.
std::vector<float> step(RealModel& model, const std::vector<int64_t>& tokens, int64_t position) {
    const auto count = static_cast<int64_t>(tokens.size());
    std::vector<int64_t> positions;
    for (int64_t i = 0; i < count; ++i) positions.push_back(position + i);
    model.set("input_ids", DType::I64, {1, count}, tokens);
    model.set("position_ids", DType::I64, {1, count}, positions);
    model.run();
    for (int layer = 0; layer < kLayers; ++layer) {
        for (const char* part : {".key", ".value"}) {
            model.carry("present." + std::to_string(layer) + part, "past_key_values." + std::to_string(layer) + part);
        }
    }
    return model.output("logits");
}

}  // namespace

TEST_CASE("a language model with its cache in and out writes what ONNX Runtime writes", "[models]") {
    const auto path = shared_file("models/llm-onnx-babyllama/ref_greedy_onnxruntime.json");
    if (!path) return;
    const json greedy = json::parse(read_text(*path));
    const json prompts = json::parse(read_text(path->parent_path() / "prompt_reference.json"));
    const auto prompt = prompts["once"]["prompt_ids"].get<std::vector<int64_t>>();
    struct Export {
        const char* name;
        Closeness closeness;
    };
    // Dynamic quantisation takes its scale from the activations: one of them at a rounding border moves by a step, and
    // everything behind it with it. The reference itself is 0.41 away from the unquantised model.
    for (const Export& file :
         {Export{"model_fp32", {}}, Export{"model_q4_matmulnbits", {}}, Export{"model_int8_dynamic", {1e-2, 0.1}}}) {
        INFO(file.name);
        RealModel model(path->parent_path() / (std::string(file.name) + ".onnx"), 2);
        forget(model);
        const std::vector<float> logits = step(model, prompt, 0);
        check_close(logits, read_floats(path->parent_path() / (std::string(file.name) + ".prefill_logits.f32.bin")),
                    file.closeness);

        const auto wanted = greedy[std::string(file.name) + ".onnx"]["greedy_ids"].get<std::vector<int64_t>>();
        forget(model);
        std::vector<int64_t> ids{wanted[0]};
        while (ids.size() < wanted.size()) {
            ids.push_back(static_cast<int64_t>(best(step(model, {ids.back()}, static_cast<int64_t>(ids.size()) - 1))));
        }
        CHECK(ids == wanted);
    }
}

TEST_CASE("file types of real files", "[models]") {
    const auto path = shared_file("models/cls-magika/ref_samples.json");
    if (!path) return;
    const json reference = json::parse(read_text(*path));
    RealModel model(path->parent_path() / "model.onnx", 2);
    constexpr size_t kBlock = 4096;
    constexpr size_t kPart = 1024;
    constexpr int32_t kPadding = 256;
    const std::string spaces = " \t\n\r\v\f";
    int seen = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path->parent_path() / "samples")) {
        const json& wanted = reference["results"][entry.path().filename().string()];
        INFO(entry.path().filename().string());
        const std::string text = read_text(entry.path());
        std::string begin = text.substr(0, kBlock);
        begin.erase(0, std::min(begin.size(), begin.find_first_not_of(spaces)));
        std::string end = text.substr(text.size() - std::min(text.size(), kBlock));
        end.resize(end.find_last_not_of(spaces) + 1);
        std::vector<int32_t> bytes(2 * kPart, kPadding);
        for (size_t i = 0; i < std::min(kPart, begin.size()); ++i) bytes[i] = static_cast<unsigned char>(begin[i]);
        for (size_t i = 0; i < std::min(kPart, end.size()); ++i) {
            bytes[2 * kPart - 1 - i] = static_cast<unsigned char>(end[end.size() - 1 - i]);
        }
        model.set("bytes", DType::I32, {1, static_cast<int64_t>(2 * kPart)}, bytes);
        model.run();
        const std::vector<float> scores = model.output("target_label");
        CHECK(best(scores) == wanted["top1_index"].get<size_t>());
        check_close({scores[best(scores)]}, {wanted["score"].get<float>()}, {});
        ++seen;
    }
    CHECK(seen > 10);
}
