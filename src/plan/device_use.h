// What a run asks of the device: in how many pieces, and where the host has to wait for it.
#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"

namespace fovea::core {

// A place where the host waits until the device has done what it was asked for so far.
struct Synchronisation {
  std::vector<std::string> onnx_nodes;  // what cannot go on before
  std::string op;                       // "Softmax", of a group "Conv+Relu"
  std::string why;
};

struct DeviceUse {
  int segments = 0;  // what is recorded, and started as a whole
  // As the executor does it, in the order of the steps; of an If those of both branches. The wait for the outputs at
  // the end is the caller's.
  std::vector<Synchronisation> synchronisations;
};
DeviceUse device_use(const Plan& plan);

// Can a step be recorded? What touches the caller's memory or the host's cannot.
inline bool recordable(const Step& step) {
  return step.place == Place::kDevice && step.kind != Step::Kind::kTransfer && step.kind != Step::Kind::kReadSizes;
}

}  // namespace fovea::core
