#pragma once

#include <fovea/engine.h>

#include "runtime/loaded_engine.h"

namespace fovea {

struct Engine::Impl {
  std::shared_ptr<core::LoadedEngine> engine;
};

inline const std::shared_ptr<core::LoadedEngine>& opened(const Engine& e) {
  if (!e.impl())
    throw Error(ErrorCode::kInvalidArgument, "an Engine was used that holds none: make it with Engine::open()");
  return e.impl()->engine;
}

}  // namespace fovea
