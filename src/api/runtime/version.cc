#include <fovea/api.h>

#include "backends/cpu/target.h"

namespace fovea {

const char* library_version() noexcept { return FOVEA_VERSION_STRING; }
const char* library_git_hash() noexcept {
  static const std::string hash = core::git_hash();
  return hash.c_str();
}
const char* library_dependencies() noexcept {
  static const std::string libraries = core::cpu_target().libraries;
  return libraries.c_str();
}

}  // namespace fovea

extern "C" const char* fovea_version(void) { return fovea::library_version(); }
