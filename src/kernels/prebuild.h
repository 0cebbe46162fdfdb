// What prepare() would take long for on the host, for many groups side by side.
#pragma once

#include <functional>
#include <vector>

#include "kernels/kernel.h"

namespace fovea::core {

struct Prebuild {
  const KernelRow* row = nullptr;  // has a prebuild()
  PrepareContext context;          // its group must live on
};

// In threads of their own, for they wait for libraries and disks. `progress` hears in the calling thread how many are
// done; may be null. Nothing fails here: what could not be built prepare() tries again, and says why.
void prebuild_all(std::vector<Prebuild> work, const std::function<void(int done)>& progress = nullptr);

}  // namespace fovea::core
