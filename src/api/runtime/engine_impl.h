#pragma once

#include <fovea/engine.h>

#include "runtime/loaded_engine.h"

namespace fovea {

struct Engine::Impl {
  std::shared_ptr<core::LoadedEngine> engine;
};

}  // namespace fovea
