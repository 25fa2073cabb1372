#include "models/real_model.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/language_model.h"
#include "support/shared_models.h"

namespace quoin::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

Shape shape_of(const json& dims) {
    return Shape(dims.get<std::vector<int64_t>>());
}

// The rule of the "input_rule" in every ref.json: a multiplicative hash of the index, in [0, 1).
std::vector<float> hashed(int64_t count, double scale, double shift) {
    std::vector<float> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) {
        const auto hash = static_cast<uint32_t>(i * 2654435761U);
        values[i] = static_cast<float>((static_cast<double>(hash) / 4294967296.0) * scale + shift);
    }
    return values;
}

template <class T>
std::vector<T> cycled(int64_t count, int modulus) {
    std::vector<T> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>((i * 7 + 1) % static_cast<size_t>(modulus));
    return values;
}

void fill(RealModel& model, const std::string& name, const json& input) {
    const Shape shape = shape_of(input["dims"]);
    const int64_t count = shape.element_count().value();
    const std::string rule = input["fill"];
    const std::string type = input["type"];
    if (type == "float32" && rule == "u") {
        model.set(name, DType::F32, shape, hashed(count, 1, 0));
    } else if (type == "float32" && rule == "(2u-1)*0.1") {
        model.set(name, DType::F32, shape, hashed(count, 0.2, -0.1));
    } else if (type == "float32" && rule == "zeros") {
        model.set(name, DType::F32, shape, std::vector<float>(static_cast<size_t>(count)));
    } else if (type == "int64" && rule == "16000") {
        model.set(name, DType::I64, shape, std::vector<int64_t>(static_cast<size_t>(count), 16000));
    } else if (type == "int32" && rule == "(i*7+1)%100") {
        model.set(name, DType::I32, shape, cycled<int32_t>(count, 100));
    } else if (type == "uint8" && rule == "(i*7+1)%256") {
        model.set(name, DType::U8, shape, cycled<uint8_t>(count, 256));
    } else {
        FAIL("no rule for an input of " << type << " '" << rule << "'");
    }
}

std::string as_file_name(std::string name) {
    std::ranges::replace_if(
        name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '_'; }, '_');
    return name;
}

void check_outputs(const RealModel& model, const json& outputs, const fs::path& folder, const std::string& prefix,
                   const Closeness& closeness, bool quantised) {
    size_t checked = 0;
    for (const auto& [name, output] : outputs.items()) {
        if (!output.is_object() || !output.contains("dims")) continue;  // a remark beside the outputs
        const std::vector<float> wanted = read_floats(folder / (prefix + as_file_name(name) + ".float32.bin"));
        const std::vector<float> got = model.output(name);
        INFO("output " << name);
        CHECK(model.output_shape(name) == shape_of(output["dims"]));
        if (quantised) CHECK(best(got) == best(wanted));
        Closeness here = closeness;
        if (quantised) here.absolute *= quantisation_step(wanted);
        check_close(got, wanted, here);
        ++checked;
    }
    CHECK(checked > 0);
}

}  // namespace

RealModel::RealModel(const fs::path& path, int threads) : model_(load_file(path, make_runtime(threads))) {
    REQUIRE(model_->prepared != nullptr);
    session_ = std::make_unique<Session>(model_->prepared);
    inputs_.resize(graph().inputs().size());
}

size_t RealModel::index_of(const std::vector<ValueId>& ids, std::string_view name) const {
    const auto found = std::ranges::find(ids, name, [&](ValueId id) { return graph().value(id).name; });
    INFO("'" << name << "' is neither an input nor an output");
    REQUIRE(found != ids.end());
    return static_cast<size_t>(found - ids.begin());
}

void RealModel::set(std::string_view name, DType dtype, const Shape& shape, std::vector<std::byte> bytes) {
    const size_t index = index_of(graph().inputs(), name);
    REQUIRE(byte_size(dtype, shape.element_count().value()) == bytes.size());
    inputs_[index] = std::move(bytes);
    session_->set_input(index, TensorView{inputs_[index].data(), dtype, shape});
}

void RealModel::run() {
    const Status status = session_->run();
    INFO(status.message());
    REQUIRE(status.ok());
}

std::vector<float> RealModel::output(std::string_view name) const {
    const TensorView view = session_->output(index_of(graph().outputs(), name));
    REQUIRE(view.dtype == DType::F32);
    std::vector<float> values(static_cast<size_t>(view.elements()));
    if (!values.empty()) std::memcpy(values.data(), view.data, values.size() * sizeof(float));
    return values;
}

Shape RealModel::output_shape(std::string_view name) const {
    return session_->output(index_of(graph().outputs(), name)).shape;
}

void RealModel::carry(std::string_view output_name, std::string_view input_name) {
    set(input_name, DType::F32, output_shape(output_name), output(output_name));
}

void check_close(const std::vector<float>& got, const std::vector<float>& wanted, const Closeness& closeness) {
    REQUIRE(got.size() == wanted.size());
    size_t far = 0;
    size_t worst = 0;
    bool too_far = false;
    double most = -1;
    for (size_t i = 0; i < wanted.size(); ++i) {
        const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(wanted[i]));
        const double allowed = closeness.absolute + closeness.relative * std::abs(static_cast<double>(wanted[i]));
        if (error <= allowed) continue;  // not so for NaN
        ++far;
        if (!(error <= allowed * closeness.farthest)) too_far = true;
        if (std::isnan(error) || error - allowed > most) {
            most = error - allowed;
            worst = i;
        }
    }
    INFO(far << " of " << wanted.size() << " are too far off");
    const auto outliers = static_cast<size_t>(closeness.outliers * static_cast<double>(wanted.size()));
    if (far <= outliers && !too_far) return;
    CHECK(got[worst] == wanted[worst]);
    CHECK(far <= outliers);
}

size_t best(const std::vector<float>& values) {
    return static_cast<size_t>(std::ranges::max_element(values) - values.begin());
}

double quantisation_step(std::vector<float> values) {
    std::ranges::sort(values);
    double step = INFINITY;
    for (size_t i = 1; i < values.size(); ++i) {
        const double distance = static_cast<double>(values[i]) - static_cast<double>(values[i - 1]);
        if (distance > 0) step = std::min(step, distance);
    }
    return step;
}

void check_references(const std::string& folder, const std::string& name, const Closeness& closeness, bool quantised) {
    const auto path = shared_file("models/" + folder + "/" + name + ".onnx");
    if (!path) return;
    const fs::path references = fs::path(*path).replace_extension(".ref");
    for (const int threads : {1, 2}) {
        RealModel model(*path, threads);
        INFO(name << ", " << threads << " threads");
        {
            const json reference = json::parse(read_text(references / "ref.json"));
            for (const auto& [input, how] : reference["inputs"].items()) fill(model, input, how);
            model.run();
            check_outputs(model, reference["outputs"], references, "out_", closeness, quantised);
        }
        for (const auto& entry : fs::directory_iterator(references)) {
            const std::string stem = entry.path().stem().string();
            if (entry.path().extension() != ".json" || !stem.starts_with("photo_")) continue;
            const fs::path input = references / ("photo_in_" + stem.substr(6) + ".float32.bin");
            if (!fs::exists(input)) continue;
            INFO(stem);
            const json photo = json::parse(read_text(entry.path()));
            model.set(photo["input"].get<std::string>(), DType::F32, shape_of(photo["dims"]), read_floats(input));
            model.run();
            check_outputs(model, photo["outputs"], references, stem + "_out_", closeness, quantised);
        }
    }
}

std::vector<float> read_wav(const fs::path& path) {
    const std::string bytes = read_text(path);
    const auto number = [&](size_t offset, size_t count) {
        uint32_t value = 0;
        for (size_t i = 0; i < count; ++i) {
            value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes.at(offset + i))) << (8 * i);
        }
        return value;
    };
    REQUIRE(bytes.substr(0, 4) == "RIFF");
    std::vector<float> samples;
    for (size_t at = 12; at + 8 <= bytes.size(); at += 8 + number(at + 4, 4)) {
        if (bytes.substr(at, 4) != "data") continue;
        for (size_t i = 0; i < number(at + 4, 4); i += 2) {
            samples.push_back(static_cast<float>(static_cast<int16_t>(number(at + 8 + i, 2))) / 32768.0F);
        }
    }
    REQUIRE(!samples.empty());
    return samples;
}

}  // namespace quoin::test
