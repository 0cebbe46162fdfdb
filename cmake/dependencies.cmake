# Debian 12's libraries; packages/debian.txt lists the packages that bring them.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(hwy CONFIG REQUIRED)
find_package(fmt 9.1 CONFIG REQUIRED)
find_package(Protobuf 3.21 REQUIRED)
find_package(CLI11 2.1 CONFIG REQUIRED)
find_package(tomlplusplus 3.3 CONFIG REQUIRED)
find_package(nlohmann_json 3.11 CONFIG REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_program(FLATC_PROGRAM flatc REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(CAIRO REQUIRED IMPORTED_TARGET cairo)
if(FOVEA_TESTS)
  find_package(GTest 1.12 REQUIRED)
endif()

# Not find_package(dnnl): Debian's file asks for OpenCL's headers, which oneDNN's CPU engine has no use for.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(fovea_dnnl INTERFACE)
target_include_directories(fovea_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(fovea_dnnl INTERFACE ${DNNL_LIBRARY})

add_library(fovea_xxhash INTERFACE)
target_link_libraries(fovea_xxhash INTERFACE PkgConfig::XXHASH)
add_library(fovea_cairo INTERFACE)
target_link_libraries(fovea_cairo INTERFACE PkgConfig::CAIRO)

# The team behind base/parallel. oneDNN runs on libgomp, so we do too; the thread sanitizer does not see through
# libgomp, so there parallel_for is made of std::thread.
add_library(fovea_parallel INTERFACE)
target_link_libraries(fovea_parallel INTERFACE Threads::Threads)
if("thread" IN_LIST FOVEA_SANITIZE)
  target_compile_definitions(fovea_parallel INTERFACE FOVEA_NO_OPENMP)
else()
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  target_link_libraries(fovea_parallel INTERFACE OpenMP::OpenMP_CXX)
endif()
