# What users get: the command line, the two shared libraries, their headers and find_package(fovea).

add_custom_target(products)

file(GLOB tool_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tools/fovea/*.cc)
if(tool_sources)
  add_executable(fovea_tool ${tool_sources})
  set_target_properties(fovea_tool PROPERTIES OUTPUT_NAME fovea)
  target_link_libraries(fovea_tool PRIVATE fovea_builder fovea_picture fovea_eval fovea_warnings CLI11::CLI11
                                           nlohmann_json::nlohmann_json)
  target_include_directories(fovea_tool PRIVATE ${PROJECT_SOURCE_DIR}/tools)
  add_dependencies(fovea_tool fovea_git_hash)
  add_dependencies(products fovea_tool)
  install(TARGETS fovea_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# The public edge is compiled straight into each library, so that the linker cannot drop it from an archive; everything
# below is hidden, and comes in from the static modules as it is needed.
function(fovea_shared_library target api_dir)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "PUBLIC;PRIVATE")
  add_library(${target} SHARED ${${api_dir}_sources})
  target_include_directories(
    ${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${FOVEA_GENERATED_DIR}/include>
                     $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  # BUILD_INTERFACE keeps our static modules out of the exported target: they are inside the library already.
  target_link_libraries(${target} PUBLIC ${arg_PUBLIC} PRIVATE $<BUILD_INTERFACE:${arg_PRIVATE}>
                                                               $<BUILD_INTERFACE:fovea_warnings>)
  set_target_properties(${target} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                                            INSTALL_RPATH "$ORIGIN")
  # Hidden visibility leaves out the standard library's templates over our types.
  target_link_options(${target} PRIVATE "LINKER:--exclude-libs,ALL")
  add_dependencies(${target} fovea_git_hash)
  add_dependencies(products ${target})
  install(TARGETS ${target} EXPORT fovea LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

file(GLOB runtime_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/api/runtime/*.cc)
file(GLOB compiler_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/api/compiler/*.cc)
if(runtime_sources)
  fovea_shared_library(fovea_runtime_shared runtime PRIVATE fovea_picture)
  set_target_properties(fovea_runtime_shared PROPERTIES OUTPUT_NAME fovea_runtime EXPORT_NAME runtime)
  add_library(fovea::runtime ALIAS fovea_runtime_shared)
  if(compiler_sources)
    fovea_shared_library(fovea_compiler_shared compiler PUBLIC fovea_runtime_shared PRIVATE fovea_builder)
    set_target_properties(fovea_compiler_shared PROPERTIES OUTPUT_NAME fovea EXPORT_NAME fovea)
    add_library(fovea::fovea ALIAS fovea_compiler_shared)
  endif()

  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/fovea DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  install(FILES ${FOVEA_GENERATED_DIR}/include/fovea/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea)
  include(CMakePackageConfigHelpers)
  set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/fovea-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(EXPORT fovea NAMESPACE fovea:: FILE fovea-targets.cmake DESTINATION ${config_dir})
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/fovea-config.cmake ${PROJECT_BINARY_DIR}/fovea-config-version.cmake DESTINATION ${config_dir})
endif()
