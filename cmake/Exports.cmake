# capi/quoin.exports is the one list of public symbols. Here it becomes what the linker wants.
#
# Form of the list: "release X.Y" opens a group, each following line names one symbol, "#" begins a comment.
# Groups are only ever appended, and each becomes a version node that inherits the one before: a program that needs a
# function of 1.2 is refused by a library of 1.1 at start, with a message, instead of failing in the middle.

# Which releases can stand in for each other: before 1.0 those of one minor number, then those of one major number. The
# shared library's name (quoin_soversion) and the CMake package (quoin_compatibility) promise the same.
if(PROJECT_VERSION_MAJOR EQUAL 0)
    set(quoin_soversion 0.${PROJECT_VERSION_MINOR})
    set(quoin_compatibility SameMinorVersion)
else()
    set(quoin_soversion ${PROJECT_VERSION_MAJOR})
    set(quoin_compatibility SameMajorVersion)
endif()

# quoin_read_exports(LIST): sets QUOIN_EXPORT_RELEASES to the releases in order and QUOIN_EXPORTS_<release> to the
# symbols of each, in the caller's scope.
function(quoin_read_exports list)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${list}")
    file(STRINGS "${list}" lines)
    set(releases "")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "#.*" "" line "${line}")
        string(STRIP "${line}" line)
        if(line STREQUAL "")
            continue()
        elseif(line MATCHES "^release ([0-9]+\\.[0-9]+)$")
            set(release "${CMAKE_MATCH_1}")
            list(APPEND releases "${release}")
            set(symbols_${release} "")
        elseif(line MATCHES "^quoin_[a-z0-9_]+$" AND NOT releases STREQUAL "")
            list(APPEND symbols_${release} "${line}")
        else()
            message(FATAL_ERROR "${list}: not a symbol, a comment or a release: '${line}'")
        endif()
    endforeach()
    foreach(release IN LISTS releases)
        set(QUOIN_EXPORTS_${release} "${symbols_${release}}" PARENT_SCOPE)
    endforeach()
    set(QUOIN_EXPORT_RELEASES "${releases}" PARENT_SCOPE)
endfunction()

# The version script of ELF linkers.
function(quoin_write_version_script path)
    set(script "")
    set(parent "")
    foreach(release IN LISTS QUOIN_EXPORT_RELEASES)
        list(JOIN QUOIN_EXPORTS_${release} ";\n        " symbols)
        string(APPEND script "QUOIN_${release} {\n    global:\n        ${symbols};\n")
        if(parent STREQUAL "")
            string(APPEND script "    local:\n        *;\n")
        endif()
        string(APPEND script "}${parent};\n")
        set(parent " QUOIN_${release}")
    endforeach()
    file(CONFIGURE OUTPUT "${path}" CONTENT "${script}" @ONLY)
endfunction()

# The module definition file of Windows linkers.
function(quoin_write_module_definition path)
    set(text "EXPORTS\n")
    foreach(release IN LISTS QUOIN_EXPORT_RELEASES)
        list(JOIN QUOIN_EXPORTS_${release} "\n    " symbols)
        string(APPEND text "    ${symbols}\n")
    endforeach()
    file(CONFIGURE OUTPUT "${path}" CONTENT "${text}" @ONLY)
endfunction()

# The exported symbols list of macOS, where a C symbol begins with an underscore.
function(quoin_write_symbols_list path)
    set(text "")
    foreach(release IN LISTS QUOIN_EXPORT_RELEASES)
        list(JOIN QUOIN_EXPORTS_${release} "\n_" symbols)
        string(APPEND text "_${symbols}\n")
    endforeach()
    file(CONFIGURE OUTPUT "${path}" CONTENT "${text}" @ONLY)
endfunction()

# Lets the shared library TARGET export what LIST says and nothing else.
function(quoin_export_only target list)
    quoin_read_exports("${list}")
    set(base "${CMAKE_CURRENT_BINARY_DIR}/${target}")
    if(WIN32)
        quoin_write_module_definition("${base}.def")
        target_sources(${target} PRIVATE "${base}.def")
    elseif(APPLE)
        quoin_write_symbols_list("${base}.symbols")
        target_link_options(${target} PRIVATE "LINKER:-exported_symbols_list,${base}.symbols")
        set_target_properties(${target} PROPERTIES LINK_DEPENDS "${base}.symbols")
    else()
        quoin_write_version_script("${base}.map")
        target_link_options(${target} PRIVATE "LINKER:--version-script,${base}.map" "LINKER:--exclude-libs,ALL"
                            "LINKER:--no-undefined-version" "LINKER:-z,defs")
        set_target_properties(${target} PROPERTIES LINK_DEPENDS "${base}.map")
    endif()
endfunction()
