# Flags for everything that is built here, set on the directory so that no target can miss them.

set(QUOIN_SANITIZE none CACHE STRING "Build with sanitizers: none, address-undefined or thread")
set_property(CACHE QUOIN_SANITIZE PROPERTY STRINGS none address-undefined thread)
option(QUOIN_WERROR "Treat warnings as errors: for those who change Quoin, not for those who package it" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 99)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(MSVC)
    add_compile_options(/utf-8 $<$<BOOL:${PROJECT_IS_TOP_LEVEL}>:/W4> $<$<BOOL:${QUOIN_WERROR}>:/WX>)
else()
    # Calls between Quoin's own functions stay direct; without it, -fPIC lets every one of them be replaced.
    add_compile_options(-fno-semantic-interposition)
    if(PROJECT_IS_TOP_LEVEL)
        add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wcast-align -Wformat=2 -Wundef -Wvla
                            $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
                            $<$<COMPILE_LANGUAGE:CXX>:-Wextra-semi> $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>)
        # {.name = value} leaves the other members at their defaults, and that is what it is for.
        add_compile_options(-Wno-missing-field-initializers)
    endif()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        # Wrong about std::string and std::vector when all is inlined, as in GCC bugs 105651 and 105329.
        add_compile_options(-Wno-restrict -Wno-nonnull -Wno-stringop-overflow)
    endif()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT QUOIN_SANITIZE STREQUAL "none")
        # The added checks hide from GCC what is initialised, and which operator new belongs to which delete.
        add_compile_options(-Wno-maybe-uninitialized -Wno-mismatched-new-delete)
    endif()
    if(QUOIN_WERROR)
        add_compile_options(-Werror)
    endif()
endif()

if(QUOIN_SANITIZE STREQUAL "address-undefined")
    set(quoin_sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(QUOIN_SANITIZE STREQUAL "thread")
    set(quoin_sanitizers -fsanitize=thread -fno-omit-frame-pointer)
elseif(QUOIN_SANITIZE STREQUAL "none")
    set(quoin_sanitizers "")
else()
    message(FATAL_ERROR "QUOIN_SANITIZE is '${QUOIN_SANITIZE}'; known are none, address-undefined and thread.")
endif()
if(quoin_sanitizers AND BUILD_SHARED_LIBS)
    message(FATAL_ERROR "Sanitizers want the static library: set BUILD_SHARED_LIBS to OFF.")
endif()
add_compile_options(${quoin_sanitizers})
add_link_options(${quoin_sanitizers})

if(PROJECT_IS_TOP_LEVEL)
    # Objects are kept across build folders; the sanitizer builds and the install test profit most.
    find_program(QUOIN_CCACHE ccache)
    if(QUOIN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
        set(CMAKE_C_COMPILER_LAUNCHER "${QUOIN_CCACHE}")
        set(CMAKE_CXX_COMPILER_LAUNCHER "${QUOIN_CCACHE}")
    endif()
endif()
