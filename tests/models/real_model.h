// What tests of real models share: a session on a file of the shared folder, tensors by name, references beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "exec/session.h"
#include "llm/model.h"

namespace quoin::test {

// |got - wanted| <= absolute + relative * |wanted| for every element. Float models: rounding alone.
struct Closeness {
    double relative = 1e-3;
    double absolute = 1e-4;
    // So large a part of the elements may be farther, but not more than `farthest` times as far as the others. A test
    // that says so gives the reason.
    double outliers = 0;
    double farthest = 1;
};

// A model, its session and the inputs of the next run.
class RealModel {
public:
    RealModel(const std::filesystem::path& path, int threads);

    const Graph& graph() const { return model_->prepared->graph; }
    void set(std::string_view name, DType dtype, const Shape& shape, std::vector<std::byte> bytes);
    template <class T>
    void set(std::string_view name, DType dtype, const Shape& shape, const std::vector<T>& values) {
        const auto* const first = reinterpret_cast<const std::byte*>(values.data());
        set(name, dtype, shape, std::vector<std::byte>(first, first + values.size() * sizeof(T)));
    }
    void run();
    // Of the last run; F32.
    std::vector<float> output(std::string_view name) const;
    Shape output_shape(std::string_view name) const;
    // A state: the output becomes the input of the next run.
    void carry(std::string_view output_name, std::string_view input_name);

private:
    size_t index_of(const std::vector<ValueId>& ids, std::string_view name) const;

    ModelPtr model_;
    std::unique_ptr<Session> session_;
    std::vector<std::vector<std::byte>> inputs_;
};

void check_close(const std::vector<float>& got, const std::vector<float>& wanted, const Closeness& closeness);
// The index of the largest, the first of equals.
size_t best(const std::vector<float>& values);
// The distance of two neighbours among quantised values.
double quantisation_step(std::vector<float> values);

// Runs the models/FOLDER/NAME.onnx of the shared folder on the inputs of NAME.ref/ref.json and of every photo_*.json
// beside it, with one and two threads, and compares all outputs. `quantised`: distances are in quantisation steps, and
// the best class is the same. Skips where the shared folder is absent.
void check_references(const std::string& folder, const std::string& name, const Closeness& closeness = {},
                      bool quantised = false);
inline constexpr Closeness kOneStep{0, 1.001};

// 16-bit PCM of one channel, in -1 to 1.
std::vector<float> read_wav(const std::filesystem::path& path);

}  // namespace quoin::test
