// A context: KV pages, and the scheduler that turns what many sequences ask for into common steps.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/status.h"
#include "exec/session.h"
#include "llm/kv_cache.h"
#include "llm/model.h"
#include "llm/step.h"

namespace quoin {

struct ContextOptions {
    int64_t kv_tokens = 0;              // 0: what the model was trained for, at most 4096
    DType kv_dtype = DType::Undefined;  // Undefined: see default_kv_dtype()
    int32_t max_sequences = 0;          // 0: 64
    int32_t max_step_tokens = 0;        // 0: 512
};

// How a context keeps keys and values when nobody says: f16 beside quantised weights, whose error is larger anyway,
// else f32. (f16 keys and values move the logits of an f16 model three times as far as the f16 weights do.)
DType default_kv_dtype(const Model& model);

struct ContextMetrics {
    int64_t steps = 0;
    int64_t shared_steps = 0;  // with tokens of more than one sequence
    int64_t tokens = 0;
    double step_seconds = 0;
    int64_t sequences = 0;
    int64_t pages_total = 0;
    int64_t pages_used = 0;
    int64_t kv_bytes_per_token = 0;
    int64_t memory_bytes = 0;
};

// Thread-safe. There is no thread of its own: the first caller who finds nobody computing leads, computes a step for
// everybody who waits, and hands the lead over when its own request is finished.
class Context {
public:
    static Result<std::shared_ptr<Context>> create(ModelPtr model, const ContextOptions& options);

    const Model& model() const { return *model_; }
    const ModelPtr& model_pointer() const { return model_; }
    int64_t kv_tokens() const { return int64_t{cache_.total_pages()} * kCachePageTokens; }
    ContextMetrics metrics() const;
    // See Session::set_profile. Not while anybody computes.
    void set_profile(Profile* profile) { session_.set_profile(profile); }
    // See Session::set_trace. Not while anybody computes.
    void set_trace(Trace* trace) { session_.set_trace(trace); }

    // Blocks until the request is finished, failed or cancelled. Takes part in common steps.
    Status submit(StepRequest& request);

    // A thread that will soon submit again announces itself, so that a step may wait a moment for it.
    class Announcement {
    public:
        explicit Announcement(Context& context) : context_(context) { context_.announced_.fetch_add(1); }
        Announcement(const Announcement&) = delete;
        Announcement& operator=(const Announcement&) = delete;
        ~Announcement() { context_.announced_.fetch_sub(1); }

    private:
        Context& context_;
    };

    // ---- sequences: places and pages
    Status enter_sequence();
    void leave_sequence(PageList& pages);
    PageList share_pages(const PageList& pages, int64_t tokens);
    void truncate_pages(PageList& pages, int64_t tokens);

private:
    Context(ModelPtr model, KvCache cache, const ContextOptions& options);

    void lead(std::unique_lock<std::mutex>& lock);
    void gather(std::unique_lock<std::mutex>& lock);
    void prepare_step();
    void fill_inputs();
    void finish(StepRequest& request, Status status);
    Status compute();

    ModelPtr model_;
    const int32_t max_sequences_;
    const int32_t max_step_tokens_;
    const int64_t max_step_rows_;

    mutable std::mutex mutex_;
    std::condition_variable finished_;
    std::condition_variable arrived_;
    std::vector<StepRequest*> waiting_;  // in the order of arrival
    bool leading_ = false;
    std::atomic<int32_t> announced_{0};
    KvCache cache_;
    ContextMetrics metrics_;  // memory_bytes: of the leader's session, after its last step
    std::chrono::duration<double> last_step_{0};

    // The leader's alone.
    Session session_;
    std::vector<StepPiece> pieces_;
    std::vector<int32_t> token_ids_;
    std::vector<int32_t> positions_;
    std::vector<int32_t> token_sequences_;
    std::vector<int32_t> page_table_;
    std::vector<int32_t> output_rows_;
};

}  // namespace quoin
