# QUOIN_KERNELS_ONLY: for a machine that lacks the libraries of the other rooms, such as an emulated one.

add_subdirectory(src/kernels)
file(GLOB quoin_core_sources CONFIGURE_DEPENDS src/core/*.cpp)
add_library(quoin_internal STATIC ${quoin_core_sources} src/kernels/kernels.cpp ${QUOIN_KERNEL_OBJECTS})
target_include_directories(quoin_internal PUBLIC src)
target_link_libraries(quoin_internal PUBLIC Threads::Threads)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
enable_testing()
add_subdirectory(tests)
