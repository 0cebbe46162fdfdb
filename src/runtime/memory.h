// What a context takes to run a specialisation, and which kernels' workspaces are to blame for it.
#pragma once

#include <vector>

#include "runtime/specialisation.h"

namespace fovea::core {

struct WorkspaceNeed {
  int choice = -1;  // index into Plan::assignment.groups
  Place place = Place::kHost;
  int64_t bytes = 0;
  int64_t meanwhile = 0;  // what lies in the arena while the kernel runs, its workspace not counted
};

// Memory whose size only data decides, and what reference kernels take for a moment, is not in here.
struct MemoryNeeds {
  int64_t arena[2] = {0, 0};    // by Place, workspaces included
  int64_t buffers[2] = {0, 0};  // the most that lies in it at once, workspaces not counted
  // For inputs and outputs that change place, and for sizes that the device decides; inputs as if all of them came in
  // the memory that needs it, pageable or the device's.
  int64_t staging = 0;
  int64_t shape_tensors = 0;  // what depends on sizes alone
  std::vector<WorkspaceNeed> workspaces;
  int64_t total() const { return arena[0] + arena[1] + staging + shape_tensors; }
};
MemoryNeeds memory_needs(const Specialisation& specialisation);

// By input of the graph: does a step of the host read it, or is it an output?
std::vector<bool> inputs_that_the_host_reads(const Plan& plan);
// By input: is it brought to the device?
std::vector<bool> inputs_that_the_device_reads(const Plan& plan);
// Pinned memory for the outputs that the device makes.
int64_t host_output_bytes(const Specialisation& specialisation);

}  // namespace fovea::core
