# Which of the libraries that compute heavy ops are there (QUOIN_ONEDNN, QUOIN_EIGEN):
#   quoin_libraries         what libquoin links
#   quoin_absent_sources    pattern of the files that need what is not there
#   quoin_providers         the names of all providers
#   quoin_tell_providers()  tells the files that name the providers which are there

set(quoin_libraries quoin::pcre2 Threads::Threads)
set(quoin_provider_definitions "")
set(quoin_absent_sources "/src/nothing$")

set(quoin_with_onednn OFF)
set(quoin_with_eigen OFF)
if(QUOIN_ONEDNN AND NOT onednn_MISSING)
    set(quoin_with_onednn ON)
    list(APPEND quoin_libraries quoin::onednn ${CMAKE_DL_LIBS})
    list(APPEND quoin_provider_definitions QUOIN_WITH_ONEDNN)
elseif(QUOIN_ONEDNN STREQUAL "AUTO")
    message(STATUS "Without oneDNN: ${onednn_MISSING}")
elseif(QUOIN_ONEDNN)
    message(FATAL_ERROR "QUOIN_ONEDNN is ${QUOIN_ONEDNN}, but ${onednn_MISSING}")
endif()
if(NOT quoin_with_onednn)
    string(APPEND quoin_absent_sources "|/src/ops/onednn[a-z_]*\\.cpp$")
endif()

if(QUOIN_EIGEN)
    find_package(Eigen3 3.4 QUIET NO_MODULE)
    if(TARGET Eigen3::Eigen)
        set(quoin_with_eigen ON)
        list(APPEND quoin_provider_definitions QUOIN_WITH_EIGEN)
    elseif(QUOIN_EIGEN STREQUAL "AUTO")
        message(STATUS "Without Eigen: its CMake package Eigen3 was not found")
    else()
        message(FATAL_ERROR "QUOIN_EIGEN is ${QUOIN_EIGEN}, but its CMake package Eigen3 was not found")
    endif()
endif()
if(NOT quoin_with_eigen)
    string(APPEND quoin_absent_sources "|/src/ops/eigen[a-z_]*\\.cpp$")
endif()

set(quoin_providers native reference)
foreach(provider IN ITEMS onednn eigen)
    if(quoin_with_${provider})
        list(APPEND quoin_providers ${provider})
    endif()
endforeach()

function(quoin_tell_providers)
    set_source_files_properties(src/ops/providers.cpp src/ops/convolution_providers.cpp
                                src/ops/channels_last_pool.cpp src/ops/product_providers.cpp PROPERTIES COMPILE_DEFINITIONS "${quoin_provider_definitions}")
    if(quoin_with_eigen)
        get_target_property(headers Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
        set_source_files_properties(src/ops/eigen.cpp PROPERTIES COMPILE_OPTIONS "-isystem;${headers}")
    endif()
endfunction()
