# The installed package: headers, library, CMake package, pkg-config file, the quoin tool.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(quoin_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/quoin)

install(DIRECTORY include/quoin TYPE INCLUDE FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(TARGETS quoin EXPORT quoinTargets RUNTIME LIBRARY ARCHIVE INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE THIRD_PARTY_NOTICES.md TYPE DOC)
if(TARGET quoin_cli)
    file(RELATIVE_PATH quoin_lib_from_bin "/${CMAKE_INSTALL_BINDIR}" "/${CMAKE_INSTALL_LIBDIR}")
    set_target_properties(quoin_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${quoin_lib_from_bin}")
    install(TARGETS quoin_cli RUNTIME)
endif()

# The C++ library by name, for those who link the static library with a C compiler.
set(quoin_cxx_libraries ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER quoin_cxx_libraries INCLUDE REGEX "^(stdc\\+\\+|c\\+\\+|m)$")
list(REMOVE_DUPLICATES quoin_cxx_libraries)

# ---- CMake package

install(EXPORT quoinTargets NAMESPACE quoin:: DESTINATION ${quoin_package_dir})
configure_package_config_file(cmake/quoinConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/quoinConfig.cmake
                              INSTALL_DESTINATION ${quoin_package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/quoinConfigVersion.cmake
                                 COMPATIBILITY ${quoin_compatibility})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/quoinConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/quoinConfigVersion.cmake
        DESTINATION ${quoin_package_dir})
if(NOT BUILD_SHARED_LIBS)
    install(FILES cmake/Dependencies.cmake DESTINATION ${quoin_package_dir} RENAME quoinDependencies.cmake)
endif()

# ---- pkg-config

set(quoin_pc_requires "")
set(quoin_pc_libs "")

# quoin_pc_needs(NAME LIBRARY MODULE): quoin::NAME by its .pc file; where it was found without one, by the library,
# with its folder unless every linker looks there.
function(quoin_pc_needs name library module)
    get_target_property(found quoin::${name} INTERFACE_LINK_LIBRARIES)
    if(found MATCHES "^(PkgConfig|PCRE2|pcre2)::")
        set(quoin_pc_requires "${quoin_pc_requires} ${module}" PARENT_SCOPE)
        return()
    endif()
    get_target_property(file ${found} IMPORTED_LOCATION)
    if(file)
        cmake_path(GET file PARENT_PATH folder)
        if(NOT folder IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
            string(APPEND quoin_pc_libs " -L${folder}")
        endif()
    endif()
    set(quoin_pc_libs "${quoin_pc_libs} -l${library}" PARENT_SCOPE)
endfunction()

quoin_pc_needs(pcre2 pcre2-8 libpcre2-8)
if(quoin_with_onednn)
    quoin_pc_needs(onednn dnnl dnnl)
endif()
if(CMAKE_THREAD_LIBS_INIT)
    string(APPEND quoin_pc_libs " ${CMAKE_THREAD_LIBS_INIT}")
endif()
if(CMAKE_DL_LIBS AND (quoin_with_onednn OR quoin_image_codecs))
    string(APPEND quoin_pc_libs " -l${CMAKE_DL_LIBS}")
endif()
foreach(library IN LISTS quoin_cxx_libraries)
    string(APPEND quoin_pc_libs " -l${library}")
endforeach()
# What the static library needs is needed by everyone who links it, so there it is not private but part of the one line
# Libs: some readers refuse a second one.
if(BUILD_SHARED_LIBS)
    set(quoin_pc_private .private)
    set(quoin_pc_definition "")
    string(PREPEND quoin_pc_libs "\nLibs.private:")
else()
    set(quoin_pc_private "")
    set(quoin_pc_definition " -DQUOIN_STATIC")
endif()
# The file finds its own place, so that the installed folder may be moved.
file(RELATIVE_PATH quoin_pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" quoin_pc_prefix "${quoin_pc_prefix}")
configure_file(cmake/quoin.pc.in ${CMAKE_CURRENT_BINARY_DIR}/quoin.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/quoin.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
