# Headers that are made, not written: version, git hash, protobuf's and FlatBuffers'.

set(FOVEA_GENERATED_DIR ${PROJECT_BINARY_DIR}/generated)

configure_file(${PROJECT_SOURCE_DIR}/cmake/version.h.in ${FOVEA_GENERATED_DIR}/include/fovea/version.h @ONLY)

# Looked at on every build, written only when the hash changed: a commit rebuilds the one .cc that includes it.
add_custom_target(fovea_git_hash
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DOUTPUT=${FOVEA_GENERATED_DIR}/include/git_hash.h
          -P ${PROJECT_SOURCE_DIR}/cmake/git_hash.cmake
  BYPRODUCTS ${FOVEA_GENERATED_DIR}/include/git_hash.h
  VERBATIM)

# onnx.proto comes with the pinned onnx wheel, so that reader and Python package agree on the newest opset.
if(NOT FOVEA_ONNX_PROTO)
  file(GLOB found ${PROJECT_SOURCE_DIR}/build/venv/lib/python3*/site-packages/onnx/onnx.proto)
  if(NOT found)
    message(FATAL_ERROR "onnx.proto not found in build/venv. Run './run build' once, which installs the pinned onnx "
                        "package there, or give its path with -DFOVEA_ONNX_PROTO=PATH.")
  endif()
  list(GET found 0 onnx_proto)
else()
  set(onnx_proto ${FOVEA_ONNX_PROTO})
endif()
set(proto_dir ${FOVEA_GENERATED_DIR}/proto)
file(MAKE_DIRECTORY ${proto_dir}/onnx)
add_custom_command(
  OUTPUT ${proto_dir}/onnx/onnx.pb.cc ${proto_dir}/onnx/onnx.pb.h
  COMMAND ${CMAKE_COMMAND} -E copy ${onnx_proto} ${proto_dir}/onnx/onnx.proto
  COMMAND protobuf::protoc -I ${proto_dir} --cpp_out ${proto_dir} ${proto_dir}/onnx/onnx.proto
  DEPENDS ${onnx_proto}
  VERBATIM)
add_library(fovea_onnx_proto STATIC ${proto_dir}/onnx/onnx.pb.cc)
target_include_directories(fovea_onnx_proto SYSTEM PUBLIC ${proto_dir})
target_link_libraries(fovea_onnx_proto PUBLIC protobuf::libprotobuf-lite)  # as onnx.proto's LITE_RUNTIME asks

# src/engine/x.fbs -> #include "engine/x_generated.h"
add_library(fovea_engine_schema INTERFACE)
target_include_directories(fovea_engine_schema SYSTEM INTERFACE ${FOVEA_GENERATED_DIR}/flatbuffers)
file(GLOB schemas CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/engine/*.fbs)
set(schema_headers)
foreach(schema IN LISTS schemas)
  cmake_path(GET schema STEM stem)
  set(header ${FOVEA_GENERATED_DIR}/flatbuffers/engine/${stem}_generated.h)
  add_custom_command(
    OUTPUT ${header}
    COMMAND ${FLATC_PROGRAM} --cpp -o ${FOVEA_GENERATED_DIR}/flatbuffers/engine ${schema}
    DEPENDS ${schemas}
    VERBATIM)
  list(APPEND schema_headers ${header})
endforeach()
add_custom_target(fovea_engine_schema_headers DEPENDS ${schema_headers})
add_dependencies(fovea_engine_schema fovea_engine_schema_headers)
