// What this machine's processor and build are, as recipes and timings name them.
#pragma once

#include "backends/target.h"

namespace fovea::core {

Target cpu_target();
std::string version_string();  // "0.1.0"
std::string git_hash();

}  // namespace fovea::core
