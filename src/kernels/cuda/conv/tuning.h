// A library's ways to do one thing, timed against each other when a kernel is prepared.
#pragma once

#include <functional>

#include "kernels/cuda/common.h"

namespace fovea::core::cuda {

// Numbers between -1 and 1 at random: on zeros a GPU takes less power, keeps a higher clock, and another way may win.
Status fill_random(Stream& stream, DType type, const DeviceMemory& memory);
Result<DeviceMemory> random_memory(Stream& stream, DType type, int64_t elements);

// Milliseconds of `run`, which works on `stream`: the median of launches of a captured graph, so that what the host
// needs to start it does not count. Where the first look finds it far slower than `best`, that is the answer.
Result<double> time_runs(Stream& stream, double best, const std::function<Status()>& run);

}  // namespace fovea::core::cuda
