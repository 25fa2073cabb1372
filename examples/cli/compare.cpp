// quoin compare: the results of a model under --arithmetic or --provider beside those without.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "commands.h"
#include "graph_inputs.h"
#include "json.h"
#include "setup.h"
#include "terminal.h"

namespace {

constexpr std::string_view kUsage = "quoin compare --model FILE [--input NAME=FILE.npy ...] --arithmetic bf16 [--json]";
constexpr std::string_view kDescription =
    "Runs a model of tensors twice on the same inputs, once as --arithmetic and --provider say and once without\n"
    "them, and prints for each output how far apart the results are. Random inputs say little about a trained\n"
    "model: give it real ones.";

struct Difference {
    int64_t elements = 0;
    double largest = 0;        // |a - b|
    double mean = 0;           // likewise
    double largest_value = 0;  // |b|
    double relative = 0;       // root of the mean square of a - b by that of b
    double cosine = 1;         // between a and b
    bool same_place = true;    // of the largest element
};

template <class T>
Difference difference_of(const quoin::TensorView& got, const quoin::TensorView& wanted) {
    Difference result;
    const T* const a = got.data_as<T>();
    const T* const b = wanted.data_as<T>();
    result.elements = static_cast<int64_t>(wanted.byte_size() / sizeof(T));
    double ab = 0;
    double aa = 0;
    double bb = 0;
    double dd = 0;
    int64_t top_a = 0;
    int64_t top_b = 0;
    for (int64_t index = 0; index < result.elements; ++index) {
        const auto x = static_cast<double>(a[index]);
        const auto y = static_cast<double>(b[index]);
        if (a[index] > a[top_a]) top_a = index;
        if (b[index] > b[top_b]) top_b = index;
        const double apart = x == y ? 0 : std::abs(x - y);  // equal infinities are not apart
        if (!(apart <= result.largest)) result.largest = apart;
        result.mean += apart / static_cast<double>(result.elements);
        result.largest_value = std::max(result.largest_value, std::abs(y));
        ab += x * y;
        aa += x * x;
        bb += y * y;
        dd += apart * apart;
    }
    if (dd == 0) return result;
    result.relative = std::sqrt(dd / bb);
    result.cosine = ab / std::sqrt(aa * bb);
    result.same_place = top_a == top_b;
    return result;
}

// Throws for outputs that are no tensors of numbers of the same shape.
Difference compare_outputs(const std::string& name, const quoin::ValueView& got, const quoin::ValueView& wanted) {
    const auto fail = [&](const std::string& why) { throw std::runtime_error("output '" + name + "' " + why); };
    if (got.kind() != QUOIN_VALUE_TENSOR || wanted.kind() != QUOIN_VALUE_TENSOR) fail("is no tensor");
    const quoin::TensorView a = got.tensor();
    const quoin::TensorView b = wanted.tensor();
    if (a.dtype() != b.dtype() || a.dims() != b.dims()) {
        fail("is " + describe_tensor(a.dtype(), a.dims()) + " in one run and " + describe_tensor(b.dtype(), b.dims()) +
             " in the other");
    }
    switch (a.dtype()) {
        case QUOIN_DTYPE_F32: return difference_of<float>(a, b);
        case QUOIN_DTYPE_F64: return difference_of<double>(a, b);
        case QUOIN_DTYPE_I64: return difference_of<int64_t>(a, b);
        case QUOIN_DTYPE_I32: return difference_of<int32_t>(a, b);
        case QUOIN_DTYPE_U8: return difference_of<uint8_t>(a, b);
        case QUOIN_DTYPE_I8: return difference_of<int8_t>(a, b);
        case QUOIN_DTYPE_BOOL: return difference_of<uint8_t>(a, b);
        default: fail("has the type " + std::string(quoin_dtype_name(a.dtype())) + ", which cannot be compared");
    }
    return {};
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.3g", value);
    return text;
}

}  // namespace

int run_compare(const std::vector<std::string>& arguments) {
    Setup setup;
    std::vector<std::string> inputs;
    bool json = false;
    Options options;
    options.heading("Input and output");
    options.list("--input", "NAME=VALUE", inputs, kInputHelp);
    options.flag("--json", json, "one JSON object for programs");
    setup.add_to(options);
    if (!Setup::parse(options, arguments, kUsage, kDescription)) return 0;

    const quoin::Runtime runtime = setup.runtime();
    const quoin::Model plain = setup.plain_model(runtime);
    const quoin::Model model = setup.model(runtime);
    const GraphInputs tensors(model, inputs, setup.seed());
    quoin::Session wanted(plain);
    quoin::Session got(model);
    for (quoin::Session* const session : {&wanted, &got}) {
        tensors.set_on(*session);
        const InterruptGuard guard([session] { session->cancel(); });
        session->run();
    }
    JsonObject outputs;
    for (size_t index = 0; index < model.output_count(); ++index) {
        const std::string name = model.output_info(index).name;
        const Difference found = compare_outputs(name, got.output_value(index), wanted.output_value(index));
        JsonObject object;
        object.add("elements", found.elements).add("largest_difference", found.largest);
        object.add("mean_difference", found.mean).add("largest_value", found.largest_value);
        object.add("relative_difference", found.relative).add("cosine", found.cosine);
        object.add("same_largest_element", found.same_place ? 1 : 0);
        outputs.add(name, object);
        if (json) continue;
        char cosine[32];
        std::snprintf(cosine, sizeof(cosine), "%.7f", found.cosine);
        write_output(name + ": " + std::to_string(found.elements) + " values up to " + number(found.largest_value) +
                     ", at most " + number(found.largest) + " apart, " + number(found.mean) +
                     " in the mean, relative " + number(found.relative) + ", cosine " + cosine + ", largest element " +
                     (found.same_place ? "the same\n" : "another\n"));
    }
    if (json) write_output(outputs.text(2) + "\n");
    flush_output();
    return 0;
}
