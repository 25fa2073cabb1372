# Ops of the table whose file is still to be written refuse to be prepared.
set(quoin_defined_ops "")
file(GLOB quoin_op_sources CONFIGURE_DEPENDS src/ops/*.cpp)
foreach(source IN LISTS quoin_op_sources)
    file(STRINGS ${source} lines REGEX "OpImplementation k[A-Za-z0-9]+Op")
    list(APPEND quoin_defined_ops ${lines})
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${quoin_op_sources} src/graph/op_list.inc)
file(STRINGS src/graph/op_list.inc lines REGEX "^QUOIN_OP")
set(missing [[#include "ops/op_kernel.h"
namespace quoin {
namespace {
Status refuse(InferContext& context) {
    return error(StatusCode::Unsupported, "node '", context.node().name, "': ", op_info(context.node().op).name,
                 " has no implementation");
}
}
]])
foreach(line IN LISTS lines)
    string(REGEX REPLACE "QUOIN_OP.[a-z]+, ([A-Za-z0-9]+),.*" "\\1" op "${line}")
    if(NOT "${quoin_defined_ops}" MATCHES "k${op}Op[{]")
        string(APPEND missing "extern const OpImplementation k${op}Op{refuse, nullptr, nullptr}\;\n")
    endif()
endforeach()
string(APPEND missing "}\n")
string(REPLACE "\\;" ";" missing "${missing}")
file(WRITE ${CMAKE_BINARY_DIR}/missing_ops.tmp "${missing}")
file(COPY_FILE ${CMAKE_BINARY_DIR}/missing_ops.tmp ${CMAKE_BINARY_DIR}/missing_ops.cpp ONLY_IF_DIFFERENT)
list(APPEND quoin_sources ${CMAKE_BINARY_DIR}/missing_ops.cpp)
