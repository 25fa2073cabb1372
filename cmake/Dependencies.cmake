# The libraries that Quoin links: quoin::pcre2, Threads::Threads.
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
