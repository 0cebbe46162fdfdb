#include "backends/cpu/target.h"

#include <fmt/format.h>

#include <oneapi/dnnl/dnnl.h>

#include "base/cpu_features.h"
#include "fovea/version.h"
#include "git_hash.h"

namespace fovea::core {

std::string version_string() { return FOVEA_VERSION_STRING; }
std::string git_hash() { return FOVEA_GIT_HASH; }

Target cpu_target() {
  const dnnl_version_t* v = dnnl_version();
  return {fmt::format("{} ({})", version_string(), git_hash()),
          fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch), cpu_name(),
          cpu_features_string(cpu_features())};
}

}  // namespace fovea::core
