// What quoin.h promises about the stack of the threads that call it.
#if __has_include(<pthread.h>)
#include <pthread.h>

#include "capi/capi_test.h"

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

// Products of many rows, with f32 weights and with quantised ones.
void* run_models(void* done) {
    const RuntimeHandle runtime = one_thread();  // the caller computes
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
