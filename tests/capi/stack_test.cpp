// What quoin.h promises about the stack of the threads that call it.
#if __has_include(<pthread.h>)
#include <pthread.h>

#include "capi/capi_test.h"
#include "support/onnx_writer.h"

namespace {

using namespace quoin::test;

// Frames of a sanitized build are several times as large.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStackBytes = 512 << 10;
#elif defined(__has_feature)
constexpr size_t kStackBytes =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 512 << 10 : 128 << 10;
#else
constexpr size_t kStackBytes = 128 << 10;
#endif

// A convolution of 8 x 8 positions and a matrix product. Both operands of either take 108 KiB as Eigen packs them.
const FileBytes& heavy_bytes() {
    static const FileBytes bytes = [] {
        OnnxModel model;
        model.inputs = {value_message("image", quoin::DType::F32, {"1", "48", "8", "8"}),
                        value_message("a", quoin::DType::F32, {"64", "432"}),
                        value_message("b", quoin::DType::F32, {"432", "64"})};
        model.initializers = {floats_message("w", {64, 48, 3, 3}, std::vector<float>(64 * 48 * 9, 0.5F))};
        model.nodes = {node_message("Conv", {"image", "w"}, {"y"}, {ints_attribute("pads", {1, 1, 1, 1})}),
                       node_message("MatMul", {"a", "b"}, {"product"})};
        model.outputs = {value_message("y", quoin::DType::F32, {"1", "64", "8", "8"}),
                         value_message("product", quoin::DType::F32, {"64", "64"})};
        return FileBytes(model.write());
    }();
    return bytes;
}

void run_heavy_ops(const quoin_runtime* runtime, const char* provider) {
    auto options = sized<quoin_model_options>();
    options.provider = provider;
    options.provider_length = QUOIN_STRLEN;
    quoin_model* model = nullptr;
    const quoin_status loaded =
        quoin_model_load_memory(runtime, heavy_bytes().data(), heavy_bytes().size(), &options, &model);
    if (loaded == QUOIN_ERROR_UNSUPPORTED) return;  // this build is without the provider
    check_ok(loaded);
    const ModelHandle model_owner(model);
    quoin_session* session = nullptr;
    check_ok(quoin_session_create(model, nullptr, &session));
    const SessionHandle session_owner(session);
    const std::vector<std::vector<int64_t>> dims = {{1, 48, 8, 8}, {64, 432}, {432, 64}};
    for (size_t index = 0; index < dims.size(); ++index) {
        quoin_tensor* tensor = nullptr;
        check_ok(quoin_tensor_create(QUOIN_DTYPE_F32, static_cast<int32_t>(dims[index].size()), dims[index].data(),
                                     &tensor));
        const TensorHandle tensor_owner(tensor);
        std::memset(quoin_tensor_data(tensor), 0, quoin_tensor_byte_size(tensor));
        check_ok(quoin_session_set_input(session, index, tensor));
    }
    check_ok(quoin_session_run(session));
}

// Products of many rows, with f32 weights and with quantised ones, and what libraries compute.
void* run_models(void* done) {
    const RuntimeHandle runtime = one_thread();  // the caller computes
    for (const char* const provider : {"native", "onednn", "eigen", "reference"}) {
        run_heavy_ops(runtime.get(), provider);
    }
    for (const FileBytes* const bytes : {&small_bytes(), &tiny_bytes()}) {
        const ModelHandle model = load(runtime.get(), *bytes);
        const std::vector<int32_t> ids(50, 1);
        logits_of(model.get(), ids);
    }
    *static_cast<bool*>(done) = true;
    return nullptr;
}

}  // namespace

TEST_CASE("a thread with 128 KiB of stack runs models") {
    pthread_attr_t attributes;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, kStackBytes) == 0);
    pthread_t thread;
    bool done = false;
    REQUIRE(pthread_create(&thread, &attributes, run_models, &done) == 0);
    REQUIRE(pthread_join(thread, nullptr) == 0);
    pthread_attr_destroy(&attributes);
    CHECK(done);
}
#endif
