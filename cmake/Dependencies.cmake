# The libraries that Quoin links: quoin::pcre2, Threads::Threads and, unless QUOIN_ONEDNN is off, quoin::onednn.
# Installed with the package, because whoever links the static library must find them the same way.
#
# Distributions ship PCRE2 with a .pc file only (Debian), vcpkg and Conan with a CMake package of one name
# or another; a bare installation has the library alone. So: CMake package, else pkg-config, else search.

# quoin_find_library(NAME HEADER <h> LIBRARY <lib> MODULE <.pc name> PACKAGES <name>... TARGETS <target>...)
# makes quoin::NAME, or leaves NAME_MISSING with a sentence in the caller's scope.
function(quoin_find_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;LIBRARY;MODULE" "PACKAGES;TARGETS")
    unset(${name}_MISSING PARENT_SCOPE)
    if(TARGET quoin::${name})
        return()
    endif()

    set(found "")
    set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)  # for projects that have Quoin as a subfolder
    foreach(package IN LISTS arg_PACKAGES)
        if(NOT found)
            find_package(${package} CONFIG QUIET)
        endif()
        foreach(target IN LISTS arg_TARGETS)
            if(TARGET ${target} AND NOT found)
                set(found ${target})
            endif()
        endforeach()
    endforeach()

    if(NOT found)
        find_package(PkgConfig QUIET)
        if(PKG_CONFIG_FOUND)
            pkg_check_modules(quoin_${name} QUIET IMPORTED_TARGET GLOBAL ${arg_MODULE})
            if(quoin_${name}_FOUND)
                set(found PkgConfig::quoin_${name})
            endif()
        endif()
    endif()

    if(NOT found)
        find_path(quoin_${name}_INCLUDE_DIR ${arg_HEADER})
        find_library(quoin_${name}_LIBRARY ${arg_LIBRARY})
        mark_as_advanced(quoin_${name}_INCLUDE_DIR quoin_${name}_LIBRARY)
        if(quoin_${name}_INCLUDE_DIR AND quoin_${name}_LIBRARY)
            set(found quoin::${name}_library)
            add_library(${found} UNKNOWN IMPORTED GLOBAL)
            set_target_properties(${found} PROPERTIES IMPORTED_LOCATION "${quoin_${name}_LIBRARY}"
                                  INTERFACE_INCLUDE_DIRECTORIES "${quoin_${name}_INCLUDE_DIR}")
        endif()
    endif()

    if(NOT found)
        list(JOIN arg_PACKAGES ", " packages)
        string(CONCAT missing "${arg_HEADER} and the library ${arg_LIBRARY} were not found: neither a CMake package "
               "(${packages}), nor the pkg-config module ${arg_MODULE}, nor the files themselves.")
        set(${name}_MISSING "${missing}" PARENT_SCOPE)
        return()
    endif()
    add_library(quoin::${name} INTERFACE IMPORTED GLOBAL)
    target_link_libraries(quoin::${name} INTERFACE ${found})
endfunction()

function(quoin_find_threads)
    set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
    set(THREADS_PREFER_PTHREAD_FLAG ON)
    find_package(Threads REQUIRED)
    set(CMAKE_THREAD_LIBS_INIT "${CMAKE_THREAD_LIBS_INIT}" PARENT_SCOPE)
endfunction()

quoin_find_threads()
quoin_find_library(pcre2 HEADER pcre2.h LIBRARY pcre2-8 MODULE libpcre2-8 PACKAGES PCRE2
                   TARGETS PCRE2::8BIT pcre2::pcre2)

# oneDNN's own CMake package demands OpenCL of whoever asks for it, so its files are searched for. Not every oneDNN will
# do: onednn_MISSING says why.
function(quoin_find_onednn)
    quoin_find_library(onednn HEADER dnnl.hpp LIBRARY dnnl MODULE dnnl PACKAGES "" TARGETS DNNL::dnnl)
    if(NOT onednn_MISSING)
        get_target_property(found quoin::onednn INTERFACE_LINK_LIBRARIES)
        get_target_property(folders ${found} INTERFACE_INCLUDE_DIRECTORIES)
        find_file(quoin_onednn_version oneapi/dnnl/dnnl_version.h PATHS ${folders})
        find_file(quoin_onednn_config oneapi/dnnl/dnnl_config.h PATHS ${folders})
        mark_as_advanced(quoin_onednn_version quoin_onednn_config)
        file(STRINGS "${quoin_onednn_version}" lines REGEX "define DNNL_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
        string(REGEX MATCHALL "[0-9]+" version "${lines}")
        list(JOIN version "." version)
        file(STRINGS "${quoin_onednn_config}" threads REGEX "define DNNL_CPU_THREADING_RUNTIME DNNL_RUNTIME_TBB")
        if(version VERSION_LESS 2.6)
            set(onednn_MISSING "oneDNN ${version} is too old: Quoin needs 2.6 or later.")
        elseif(threads)
            set(onednn_MISSING "this oneDNN uses TBB, which has no way to run on one thread: Quoin needs one with OpenMP.")
        elseif(WIN32)
            set(onednn_MISSING "Quoin does not work with oneDNN on Windows yet.")
        endif()
    endif()
    set(onednn_MISSING "${onednn_MISSING}" PARENT_SCOPE)
endfunction()

if(QUOIN_ONEDNN)
    quoin_find_onednn()
endif()
