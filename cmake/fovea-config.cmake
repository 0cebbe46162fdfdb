# find_package(fovea): fovea::runtime runs engines, fovea::fovea also compiles models. Neither needs a further package.
include(${CMAKE_CURRENT_LIST_DIR}/fovea-targets.cmake)
