// The bytes of api_fuzz are a program: an operation, then its arguments, one byte each. A zero byte is the ordinary
// choice everywhere, so that "operation, zeros" makes a working program and every other byte makes it odder.
#pragma once

#include <cstdint>

namespace quoin::test {

enum class Call : uint8_t {
    CreateRuntime,
    LoadMemory,
    LoadPatched,  // a builtin model with some bytes changed, or cut short
    LoadReader,
    LoadFile,
    CreateContext,
    CreateSequence,
    AppendTokens,
    AppendText,
    Fork,
    Trim,
    Evaluate,
    Generate,
    CreateSampler,
    ResetSampler,
    Encode,
    Decode,
    AskTokens,
    CreateTensor,
    WrapTensor,
    CreateSession,
    SetInput,
    BindOutput,
    RunSession,
    SessionOutput,
    Describe,
    AskMetadata,
    AskValues,
    FillStructs,
    Destroy,
    Cancel,
    SetLog,
    PassNulls,
    AskNames,
    ReadTokens,
    CreateStrings,
    CreateSequenceOfTensors,
    SetInputValue,
    SessionOutputValue,
    Profile,
    kCount
};

// A first byte of this value: the rest is a model file, and nothing else happens.
constexpr uint8_t kWholeModel = 255;

}  // namespace quoin::test
