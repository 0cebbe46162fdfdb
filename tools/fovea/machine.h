// What the machine that runs an engine can do at its best: what the device says of itself, what is measured, or what
// the user says.
#pragma once

#include "runtime/loaded_engine.h"

namespace fovea::core::tool {

struct Machine {
  Place place = Place::kHost;  // where the limits hold
  Limits limits;
  std::string describe() const;  // "bytes / 10.0 GB/s or operations / 50.0 GFLOP/s, the larger"
};
// Figures above 0 count for what would be read or measured: GB/s and GFLOP/s.
Result<Machine> find_machine(LoadedEngine& engine, double bandwidth, double peak);

}  // namespace fovea::core::tool
