# fovea_module(NAME [DEPS modules...] [LIBS external...] [TEST_LIBS external...])
#
# Makes the static library fovea_NAME of src/NAME/**/*.cc, and the test NAME_test of its *_test.cc. A folder that has no
# sources yet gives an interface library, so that the layers stand before their rooms are furnished.
# The suffix says who compiles a file: x_avx2.cc and x_avx512.cc get the instruction set of their name, and may be
# called only after a look at the processor.

set(FOVEA_AVX2_FLAGS -mavx2 -mfma -mf16c)
set(FOVEA_AVX512_FLAGS -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512)

# Says early which row of ops.inc has no file; tests/rules/manifest_test.py holds tables and files together both ways.
function(fovea_check_ops)
  set(inc ${PROJECT_SOURCE_DIR}/src/ops/ops.inc)
  if(EXISTS ${inc})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inc})
    file(STRINGS ${inc} rows REGEX "^FOVEA_(OP|CONTROL|IMPORT)\\(")
    foreach(row IN LISTS rows)
      string(REGEX REPLACE "^[^,]*, *([a-z0-9_]+).*" "\\1" file "${row}")
      if(NOT EXISTS ${PROJECT_SOURCE_DIR}/src/ops/${file}.cc)
        message(WARNING "ops.inc: ${row} has no file src/ops/${file}.cc")
      endif()
    endforeach()
  endif()
endfunction()

# LABEL_tests builds the programs of one kind: sanitizer builds need not build the rest.
foreach(label unit golden fuzz conformance threads full)
  add_custom_target(${label}_tests)
endforeach()

function(fovea_add_test target label)
  if(TARGET ${label}_tests)
    add_dependencies(${label}_tests ${target})
  endif()
  add_test(
    NAME ${target}
    COMMAND ${target} --gtest_output=xml:${PROJECT_BINARY_DIR}/results/${target}.xml --gtest_brief=1
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${target} PROPERTIES LABELS ${label} TIMEOUT 1200)
endfunction()

function(fovea_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPS;LIBS;TEST_LIBS")
  set(dir ${PROJECT_SOURCE_DIR}/src/${name})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${dir}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/src/(kernels|backends)/cuda/")
  list(FILTER sources EXCLUDE REGEX "_bench\\.cc$")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  if(name STREQUAL "ops")
    fovea_check_ops()
  endif()

  list(TRANSFORM arg_DEPS PREPEND fovea_)
  set(links ${arg_DEPS} ${arg_LIBS})
  if(NOT sources)
    add_library(fovea_${name} INTERFACE)
    target_include_directories(
      fovea_${name} INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${FOVEA_GENERATED_DIR}/include)
    target_link_libraries(fovea_${name} INTERFACE ${links})
  else()
    add_library(fovea_${name} STATIC ${sources})
    target_include_directories(
      fovea_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${FOVEA_GENERATED_DIR}/include)
    target_link_libraries(fovea_${name} PUBLIC ${links} PRIVATE fovea_warnings)
    add_dependencies(fovea_${name} fovea_git_hash)
    foreach(source IN LISTS sources)
      if(source MATCHES "_avx2\\.cc$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O3;${FOVEA_AVX2_FLAGS}")
      elseif(source MATCHES "_avx512\\.cc$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O3;${FOVEA_AVX512_FLAGS}")
      elseif(source MATCHES "/src/kernels/cpu/" AND CMAKE_BUILD_TYPE STREQUAL "Release")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O3")
      endif()
    endforeach()
  endif()

  if(FOVEA_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE fovea_${name} ${arg_TEST_LIBS} fovea_warnings GTest::gmock GTest::gtest_main)
    target_compile_options(${name}_test PRIVATE -Wno-dangling-else)  # if (x) EXPECT_... is meant as it stands
    target_compile_definitions(${name}_test PRIVATE FOVEA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    fovea_add_test(${name}_test unit)
  endif()
endfunction()
