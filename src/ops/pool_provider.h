// Who computes ChannelsLastPool.
#pragma once

#include "ops/op_kernel.h"
#include "ops/sliding_window.h"

namespace quoin {

struct PoolQuery {
    const PrepareContext& context;
    DType dtype = DType::F32;
    bool maximum = true;
    bool count_padding = false;
    std::optional<SlidingWindow> window;  // none: global
};

struct PoolProvider {
    Provider provider;
    bool (*takes)(const PoolQuery& query);
    Result<std::unique_ptr<PreparedNode>> (*prepare)(const PoolQuery& query);
};

extern const PoolProvider kOneDnnPool;

}  // namespace quoin
