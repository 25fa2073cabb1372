// Shared libraries that few models need: opened when the first of their functions is called for, so that all other
// programs pay nothing for them. Linked ones would cost every process some 2 MB and 2 ms.
#pragma once

#include <dlfcn.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/status.h"

namespace quoin {

// Static storage duration, made before the functions that are found in it. Stays open until the process ends.
class ForeignLibrary {
public:
    // `name` is that of the loader: "libpng16.so.16", of the headers that the build has read.
    explicit ForeignLibrary(const char* name) : name_(name) {}
    ForeignLibrary(const ForeignLibrary&) = delete;
    ForeignLibrary& operator=(const ForeignLibrary&) = delete;
    ~ForeignLibrary() = default;

    // Before a function is called. Thread-safe. Unsupported: the machine has no such library.
    Status load() {
        std::call_once(once_, [this] { find_all(); });
        if (missing_.empty()) return {};
        return error(StatusCode::Unsupported, missing_);
    }

private:
    template <class Function>
    friend class ForeignFunction;

    void find_all() {
        void* const handle = dlopen(name_, RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr) {
            const char* const reason = dlerror();
            missing_ = reason != nullptr ? reason : name_;
            return;
        }
        for (const auto& [function, address] : functions_) {
            *address = dlsym(handle, function);
            if (*address == nullptr) missing_ = std::string(name_) + " has no function " + function;
        }
    }

    const char* name_;
    std::vector<std::pair<const char*, void**>> functions_;
    std::once_flag once_;
    std::string missing_;
};

// Function is decltype(&::name): the declaration in the library's header.
template <class Function>
class ForeignFunction {
public:
    ForeignFunction(ForeignLibrary& library, const char* name) { library.functions_.emplace_back(name, &address_); }
    ForeignFunction(const ForeignFunction&) = delete;
    ForeignFunction& operator=(const ForeignFunction&) = delete;
    ~ForeignFunction() = default;

    template <class... Arguments>
    decltype(auto) operator()(Arguments... arguments) const {
        return reinterpret_cast<Function>(address_)(arguments...);
    }

private:
    mutable void* address_ = nullptr;  // found when the library is opened
};

// The function of this name in what a file calls `library`: name, type and what is looked up cannot differ.
#define QUOIN_FOREIGN_FUNCTION(name) const ForeignFunction<decltype(&::name)> name(library, #name)

}  // namespace quoin
