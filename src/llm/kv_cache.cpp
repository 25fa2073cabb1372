#include "llm/kv_cache.h"

#include <algorithm>
#include <cstring>

namespace quoin {

namespace {

bool can_keep(DType dtype, int64_t head_size) {
    switch (dtype) {
        case DType::F32:
        case DType::F16:
        case DType::BF16: return true;
        case DType::Q8_0:
        case DType::Q4_0: return head_size % dtype_info(dtype).block_elements == 0;
        default: return false;
    }
}

}  // namespace

Result<KvCache> KvCache::create(const std::shared_ptr<Memory>& memory, const DecoderInfo& decoder, int64_t tokens,
                                DType dtype) {
    for (const DecoderInfo::Layer& layer : decoder.layers) {
        if (!can_keep(dtype, 32)) {
            return error(StatusCode::Unsupported, "keys and values cannot be kept as ", dtype_name(dtype),
                         "; they can as f32, f16, bf16, q8_0 and q4_0");
        }
        if (!can_keep(dtype, layer.head_size)) {
            return error(StatusCode::Unsupported, "keys and values of heads of ", layer.head_size,
                         " values cannot be kept as ", dtype_name(dtype),
                         ", which takes whole blocks of 32; f32, f16 and bf16 take any");
        }
    }
    KvCache cache;
    cache.dtype_ = dtype;
    const int64_t pages = (tokens + kCachePageTokens - 1) / kCachePageTokens;
    for (const DecoderInfo::Layer& layer : decoder.layers) {
        const Shape keys{pages, layer.kv_heads, layer.head_size, kCachePageTokens};
        const Shape values{pages, layer.kv_heads, kCachePageTokens, layer.head_size};
        for (const Shape& shape : {keys, values}) {
            const std::optional<int64_t> count = shape.element_count();
            const std::optional<size_t> bytes = count ? byte_size(dtype, *count) : std::nullopt;
            if (!bytes) return error(StatusCode::OutOfMemory, "no memory can hold a KV cache of ", tokens, " tokens");
            QUOIN_ASSIGN_OR_RETURN(Buffer buffer, Buffer::allocate(memory, *bytes, "the KV cache"));
            cache.tensors_.push_back({buffer.data(), dtype, shape});
            cache.memory_bytes_ += static_cast<int64_t>(*bytes);
            cache.buffers_.push_back(std::move(buffer));
        }
    }
    cache.references_.assign(static_cast<size_t>(pages), 0);
    cache.free_.reserve(static_cast<size_t>(pages));
    for (int64_t page = pages; page-- > 0;) cache.free_.push_back(static_cast<int32_t>(page));
    return cache;
}

int64_t KvCache::bytes_per_token() const {
    return memory_bytes_ / (std::max(1, total_pages()) * kCachePageTokens);
}

int32_t KvCache::take() {
    const int32_t page = free_.back();
    free_.pop_back();
    references_[static_cast<size_t>(page)] = 1;
    return page;
}

void KvCache::drop(int32_t page) {
    if (--references_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

void KvCache::copy_page(int32_t from, int32_t to) {
    for (const TensorView& tensor : tensors_) {
        const auto bytes = byte_size(tensor.dtype, tensor.elements()).value_or(0) / references_.size();
        std::memcpy(tensor.data + bytes * static_cast<size_t>(to), tensor.data + bytes * static_cast<size_t>(from),
                    bytes);
    }
}

Status KvCache::reserve(PageList& pages, int64_t first, int64_t count) {
    if (count == 0) return {};
    const auto begin = static_cast<size_t>(first / kCachePageTokens);
    const auto end = static_cast<size_t>((first + count - 1) / kCachePageTokens + 1);
    size_t needed = end > pages.size() ? end - pages.size() : 0;
    for (size_t index = begin; index < std::min(end, pages.size()); ++index) {
        needed += references_[static_cast<size_t>(pages[index])] > 1 ? 1 : 0;
    }
    if (needed > free_.size()) {
        return error(StatusCode::ContextFull, count, " more tokens need ", needed, " KV pages of ", kCachePageTokens,
                     " tokens; ", free_.size(), " of ", total_pages(),
                     " are free. Create the context with more kv_tokens, or trim or destroy sequences");
    }
    for (size_t index = begin; index < std::min(end, pages.size()); ++index) {
        if (references_[static_cast<size_t>(pages[index])] == 1) continue;
        const int32_t own = take();
        copy_page(pages[index], own);
        drop(pages[index]);
        pages[index] = own;
    }
    while (pages.size() < end) pages.push_back(take());
    return {};
}

PageList KvCache::share(const PageList& pages, int64_t tokens) {
    const auto count = static_cast<size_t>((tokens + kCachePageTokens - 1) / kCachePageTokens);
    PageList shared(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(count));
    for (const int32_t page : shared) ++references_[static_cast<size_t>(page)];
    return shared;
}

void KvCache::truncate(PageList& pages, int64_t tokens) {
    const auto count = static_cast<size_t>((tokens + kCachePageTokens - 1) / kCachePageTokens);
    while (pages.size() > count) {
        drop(pages.back());
        pages.pop_back();
    }
}

}  // namespace quoin
