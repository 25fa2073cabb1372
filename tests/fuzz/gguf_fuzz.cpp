// libFuzzer over the whole room: any bytes either load, and then make a sound graph, or give a status with a sentence.
//   clang++ -fsanitize=fuzzer,address,undefined ... gguf_fuzz.cpp
// The same bytes go through a mapped source and through a reader, which must agree.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "core/memory.h"
#include "core/source.h"
#include "graph/graph.h"
#include "load/model.h"

namespace {

void require(bool holds, const char* what, const std::string& detail) {
    if (holds) return;
    std::fprintf(stderr, "%s: %s\n", what, detail.c_str());
    std::abort();
}

void check(const quoin::Result<quoin::LoadedModel>& model) {
    if (!model.ok()) {
        const quoin::StatusCode code = model.status().code();
        require(code == quoin::StatusCode::InvalidModel || code == quoin::StatusCode::Unsupported, "unexpected status",
                model.status().message());
        require(!model.status().message().empty(), "a status without a sentence", "");
        return;
    }
    const quoin::Status sound = quoin::verify(model->graph);
    require(sound.ok(), "broken graph", sound.message());
    static_cast<void>(quoin::dump(model->graph));
    for (const quoin::Value& value : model->graph.values()) {
        if (!value.constant) continue;
        const quoin::Result<quoin::Tensor> tensor = value.constant->load();
        require(tensor.ok(), "a constant without bytes", tensor.status().message());
        require(quoin::byte_size(tensor->dtype(), *tensor->shape().element_count()) == tensor->byte_size(),
                "a constant of another size than its shape", value.name);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    const quoin::Result<quoin::LoadedModel> mapped = quoin::load_model(quoin::wrap_memory(bytes));
    check(mapped);
    const auto read_at = [bytes](uint64_t offset, std::span<std::byte> to) {
        std::memcpy(to.data(), bytes.data() + offset, to.size());
        return true;
    };
    const quoin::Result<quoin::LoadedModel> read =
        quoin::load_model(quoin::wrap_reader(size, read_at, std::make_shared<quoin::Memory>()));
    check(read);
    require(mapped.status().code() == read.status().code(), "mapping and reader disagree", read.status().message());
    return 0;
}
