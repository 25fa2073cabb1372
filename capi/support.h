// What every function of the C header needs: the exception guard, the last error, options in, structs and text out.
#pragma once

#include <quoin/quoin.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "core/dtype.h"
#include "core/status.h"
#include "text/tokenizer.h"

namespace quoin::capi {

// Remembers the failure for quoin_last_error() and gives its number. Does not allocate.
quoin_status report(const Status& status) noexcept;
quoin_status report(StatusCode code, const char* message) noexcept;

// Runs the body of a C function: its Status becomes a number, an exception of the standard library a status.
template <class Body>
quoin_status guard(Body&& body) noexcept {
    try {
        return report(body());
    } catch (const std::bad_alloc&) {
        return report(StatusCode::OutOfMemory, "the system has no more memory");
    } catch (const std::length_error&) {
        return report(StatusCode::OutOfMemory, "no memory can hold what was asked for");
    } catch (const std::system_error& failure) {
        return report(StatusCode::OutOfMemory, failure.what());  // threads that the system does not give
    } catch (const std::exception& failure) {
        return report(StatusCode::Internal, failure.what());
    } catch (...) {
        return report(StatusCode::Internal, "unknown exception");
    }
}

// Flags of quoin_tokenizer_encode.
Result<EncodeOptions> encode_options(int32_t flags);
// The element type that a number of the header stands for, if tensors outside can have it.
std::optional<DType> dtype_of(int32_t number);

// InvalidArgument that names the parameter, when it is null.
Status require(const void* pointer, const char* name);

template <class... Pointers>
Status require_all(const char* function, const Pointers*... pointers) {
    const bool all = ((pointers != nullptr) && ...);
    return all ? Status() : error(StatusCode::InvalidArgument, function, ": a required pointer is NULL");
}

// Structs larger than this are no version of ours but an uninitialized struct_size.
inline constexpr size_t kLargestStruct = 4096;

inline Status check_struct_size(size_t size) {
    if (size >= sizeof(size_t) && size <= kLargestStruct) return {};
    return error(StatusCode::InvalidArgument, "struct_size is ", size, "; set it to sizeof of the struct");
}

// Options of any version of the header: missing fields are zero; fields that this library does not know must be.
template <class Struct>
Status read_options(const Struct* options, Struct& out) {
    out = {};
    if (options == nullptr) return {};
    const size_t size = options->struct_size;
    QUOIN_RETURN_IF_ERROR(check_struct_size(size));
    const auto* const bytes = reinterpret_cast<const char*>(options);
    std::memcpy(&out, bytes, std::min(size, sizeof(Struct)));
    if constexpr (requires { out.reserved; }) {
        if (out.reserved != 0) {
            return error(StatusCode::InvalidArgument, "reserved is ", out.reserved, "; set all of the struct to zero");
        }
    }
    if (size > sizeof(Struct) &&
        !std::all_of(bytes + sizeof(Struct), bytes + size, [](char byte) { return byte == 0; })) {
        return error(StatusCode::Unsupported,
                     "an option is set that this version of the library does not know; use a newer library");
    }
    return {};
}

// Fills as much of the caller's struct as it has; its struct_size stays.
template <class Struct>
Status write_struct(const Struct& value, Struct* out) {
    const size_t size = out->struct_size;
    QUOIN_RETURN_IF_ERROR(check_struct_size(size));
    const size_t known = std::min(size, sizeof(Struct));
    std::memcpy(reinterpret_cast<char*>(out) + sizeof(size_t), reinterpret_cast<const char*>(&value) + sizeof(size_t),
                known - sizeof(size_t));
    return {};
}

// Text that came with a length or QUOIN_STRLEN. Null is only allowed with length 0 or, for optional text, as "".
Status read_text(const char* text, size_t length, const char* name, std::string_view& out);

// Buffer + capacity + count, see quoin.h, "Data out".
template <class Element>
Status write_array(const Element* data, size_t count, Element* buffer, size_t capacity, size_t* out_count) {
    if (out_count != nullptr) *out_count = count;
    if (buffer == nullptr) return {};
    if (capacity < count) {
        return error(StatusCode::BufferTooSmall, "the buffer has room for ", capacity, " of ", count, " elements");
    }
    std::copy_n(data, count, buffer);
    return {};
}

}  // namespace quoin::capi
