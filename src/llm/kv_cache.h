// The KV pages of a context: who holds which, copied when a shared one is about to change.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/memory.h"
#include "core/status.h"
#include "exec/session.h"
#include "load/decoder.h"

namespace quoin {

// Pages of one sequence in order of position. Only KvCache changes it.
using PageList = std::vector<int32_t>;

// Not thread-safe: the context's lock protects it.
class KvCache {
public:
    // Room for `tokens` tokens in whole pages; `dtype` F32, F16, BF16, or, when heads are whole blocks of
    // 32 values, Q8_0 or Q4_0. All memory is taken now.
    static Result<KvCache> create(const std::shared_ptr<Memory>& memory, const DecoderInfo& decoder, int64_t tokens,
                                  DType dtype);

    int32_t total_pages() const { return static_cast<int32_t>(references_.size()); }
    int32_t used_pages() const { return total_pages() - static_cast<int32_t>(free_.size()); }
    int64_t memory_bytes() const { return memory_bytes_; }
    // Bytes of keys and values of one token, over all layers.
    int64_t bytes_per_token() const;
    DType dtype() const { return dtype_; }

    // Makes positions first..first+count-1 writable: new pages where there are none, private copies of shared ones.
    // ContextFull when pages run out; the list is unchanged then.
    Status reserve(PageList& pages, int64_t first, int64_t count);
    // Both lists then share all pages that hold the first `tokens` tokens.
    PageList share(const PageList& pages, int64_t tokens);
    // Gives back the pages that hold no token before `tokens`.
    void truncate(PageList& pages, int64_t tokens);

    // Cache tensors in the order of the decoder's inputs: keys and values of layer 0, 1, ...
    std::span<const TensorView> tensors() const { return tensors_; }

private:
    KvCache() = default;
    int32_t take();
    void drop(int32_t page);
    void copy_page(int32_t from, int32_t to);

    DType dtype_ = DType::Undefined;
    int64_t memory_bytes_ = 0;
    std::vector<Buffer> buffers_;
    std::vector<TensorView> tensors_;
    std::vector<int32_t> references_;  // by page
    std::vector<int32_t> free_;
};

}  // namespace quoin
