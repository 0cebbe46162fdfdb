# -DFOVEA_CUDA=ON: the CUDA backend, a library of its own (libfovea_cuda.so) that is opened when a GPU is asked for. It
# holds the modules up to kernels once more, hidden, so that the program that opens it need export nothing.

if(NOT FOVEA_CUDA)
  return()
endif()
set(FOVEA_CUDA_ARCHITECTURES "90a" CACHE STRING "GPUs to compile for: 80;90a, and PTX as 75-virtual;90-virtual; 'all' is those four")
string(REPLACE "," ";" FOVEA_CUDA_ARCHITECTURES "${FOVEA_CUDA_ARCHITECTURES}")
if(FOVEA_CUDA_ARCHITECTURES STREQUAL "all")
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 75-virtual 90-virtual)
else()
  list(TRANSFORM FOVEA_CUDA_ARCHITECTURES REPLACE "^([0-9]+a?)$" "\\1-real" OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
endif()
if(NOT CMAKE_CUDA_COMPILER)
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS /usr/local/cuda/bin ENV CUDA_PATH PATH_SUFFIXES bin)
endif()
if(CCACHE_PROGRAM)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
enable_language(CUDA)
# CMake 3.25 does not know what it is called there.
foreach(option STANDARD EXTENSION)
  if(NOT CMAKE_CUDA20_${option}_COMPILE_OPTION)
    set(CMAKE_CUDA20_${option}_COMPILE_OPTION "-std=c++20")
  endif()
endforeach()
set(CMAKE_CUDA_STANDARD 20)
find_package(CUDAToolkit 13.0 REQUIRED)  # its libraries are opened by the names that they have there

find_path(CUDNN_INCLUDE_DIR cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${PROJECT_SOURCE_DIR}/build/cuda/cudnn/include)
find_path(CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h HINTS ${PROJECT_SOURCE_DIR}/build/cuda/cudnn-frontend/include)
find_path(CUTLASS_INCLUDE_DIR cutlass/gemm/kernel/gemm_universal.hpp HINTS ${PROJECT_SOURCE_DIR}/build/cuda/cutlass/include)
foreach(header CUDNN_INCLUDE_DIR CUDNN_FRONTEND_INCLUDE_DIR CUTLASS_INCLUDE_DIR)
  if(NOT ${header})
    message(FATAL_ERROR "${header} not found: './run build' puts cuDNN's and CUTLASS's headers in place where nvcc is; otherwise give it with -D${header}=PATH.")
  endif()
endforeach()

file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/backends/cuda/*.cc ${PROJECT_SOURCE_DIR}/src/backends/cuda/*.cu
  ${PROJECT_SOURCE_DIR}/src/kernels/cuda/*.cc ${PROJECT_SOURCE_DIR}/src/kernels/cuda/*.cu)
set(cuda_tests ${cuda_sources})
list(FILTER cuda_tests INCLUDE REGEX "_test\\.cc$")
list(FILTER cuda_sources EXCLUDE REGEX "_(test|bench|fake)\\.cc$")
# What it has code for, to say so where that is not enough.
list(JOIN FOVEA_CUDA_ARCHITECTURES ", " architectures)
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backends/cuda/code_check.cc PROPERTIES
  COMPILE_DEFINITIONS "FOVEA_CUDA_ARCHITECTURES=\"${architectures}\"")

if("90a-real" IN_LIST CMAKE_CUDA_ARCHITECTURES)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backends/cuda/device.cc PROPERTIES COMPILE_DEFINITIONS FOVEA_SM90A)
endif()

add_library(fovea_cuda_objects STATIC ${cuda_sources})
target_include_directories(fovea_cuda_objects PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${FOVEA_GENERATED_DIR}/include)
target_include_directories(fovea_cuda_objects SYSTEM PRIVATE ${CUDNN_INCLUDE_DIR} ${CUDNN_FRONTEND_INCLUDE_DIR} ${CUTLASS_INCLUDE_DIR})
target_compile_definitions(fovea_cuda_objects PRIVATE NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING)
target_link_libraries(fovea_cuda_objects PUBLIC fovea_kernels CUDA::cudart_static ${CMAKE_DL_LIBS})
# Device code (.cu) knows nothing of fovea: plain functions in a header of the same name, called by the row's .cc.
target_compile_options(fovea_cuda_objects PRIVATE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${FOVEA_WERROR}>>:-Werror>
  $<$<COMPILE_LANGUAGE:CUDA>:-O3 --expt-relaxed-constexpr -lineinfo -Xcompiler=-Wall,-Wextra -Werror=all-warnings>)

# The entry alone is exported; it pulls in the rest.
add_library(fovea_cuda SHARED ${PROJECT_SOURCE_DIR}/cmake/empty.cc)
target_link_libraries(fovea_cuda PRIVATE -Wl,--whole-archive fovea_cuda_objects -Wl,--no-whole-archive)
target_link_options(fovea_cuda PRIVATE "LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/backend.map" "LINKER:-z,defs")
set_target_properties(fovea_cuda PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/backend.map)
add_dependencies(products fovea_cuda)
install(TARGETS fovea_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

if(FOVEA_TESTS AND cuda_tests)
  add_executable(cuda_test ${cuda_tests})
  target_link_libraries(cuda_test PRIVATE -Wl,--whole-archive fovea_cuda_objects -Wl,--no-whole-archive fovea_interpreter fovea_warnings GTest::gmock GTest::gtest_main)
  target_compile_options(cuda_test PRIVATE -Wno-dangling-else)
  target_compile_definitions(cuda_test PRIVATE FOVEA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backends/cuda/libraries_test.cc PROPERTIES
    COMPILE_DEFINITIONS "FOVEA_CUDA_ARCHITECTURES=\"${architectures}\";FOVEA_FAKE_CUDA=\"${PROJECT_BINARY_DIR}/fake_cuda\"")
  fovea_add_test(cuda_test unit)

  # fovea_fake_library(FOLDER NAME VERSION [DEFINITION]): what libraries_test.cc opens in place of lib<NAME>.so.<VERSION>.
  function(fovea_fake_library folder name version)
    add_library(fake_${folder} SHARED ${PROJECT_SOURCE_DIR}/src/backends/cuda/libraries_fake.cc)
    target_compile_definitions(fake_${folder} PRIVATE ${ARGN})
    set_target_properties(fake_${folder} PROPERTIES OUTPUT_NAME ${name} SUFFIX .so.${version} CXX_VISIBILITY_PRESET default
                                                    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fake_cuda/${folder})
    add_dependencies(cuda_test fake_${folder})
  endfunction()
  fovea_fake_library(cudart cudart 13)
  fovea_fake_library(cudnn cudnn 9 FOVEA_FAKE_CUDNN=90800)
  fovea_fake_library(old_cudnn cudnn 9 FOVEA_FAKE_CUDNN=90100)
  fovea_fake_library(no_cudnn cudnn 9)
  fovea_fake_library(nvrtc nvrtc 13 FOVEA_FAKE_NVRTC=1)
  fovea_fake_library(old_nvrtc nvrtc 13 FOVEA_FAKE_NVRTC=0)
endif()
