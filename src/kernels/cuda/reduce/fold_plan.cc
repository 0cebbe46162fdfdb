#include "kernels/cuda/reduce/fold_plan.h"

#include <algorithm>
#include <bit>

#include "kernels/cuda/reduce/fold_source.h"

namespace fovea::core::cuda::fold {
namespace {

constexpr int64_t kWantedBlocks = 512;  // what fills a large GPU; the same on all, and so are results
constexpr int64_t kLeastEach = 16;   // vectors of a thread in a slice: less is done sooner than a second launch begins
constexpr int64_t kMostEach = 2048;  // vectors that a thread adds up one by one: more would lose digits

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t power_of_two(int64_t n) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(n, 1))));
}

// As many threads a line as have `each` vectors of it; at least `across` neighbouring lines in a block, where there
// are.
Division divide(int64_t lines, int64_t length, bool columns, int64_t lanes, int64_t each, int64_t across) {
  const int64_t units = columns ? ceil_div(lines, lanes) : lines, steps = columns ? length : ceil_div(length, lanes);
  const int64_t most = kBlock / (columns ? std::min(across, power_of_two(units)) : 1);
  const int64_t parts = std::min(power_of_two(ceil_div(steps, each)), most);
  return {std::countr_zero(static_cast<uint64_t>(parts)), ceil_div(units, kBlock / parts), length, 1};
}

}  // namespace

Division divide_reduction(int64_t lines, int64_t length, bool columns, int64_t lanes) {
  // 128 bytes of neighbouring lines, of float32.
  Division d = divide(lines, length, columns, lanes, kOnTheWay, lanes == 1 ? 32 : 8);
  const int64_t along = columns ? 1 : lanes, steps = ceil_div(length, along), parts = int64_t{1} << d.log_parts;
  int64_t slices = std::min(ceil_div(kWantedBlocks, std::max<int64_t>(d.blocks, 1)), steps / (parts * kLeastEach));
  slices = std::max({slices, ceil_div(steps, parts * kMostEach), int64_t{1}});
  if (slices == 1) return d;
  d.slice = ceil_div(steps, slices) * along;
  d.slices = ceil_div(length, d.slice);
  return d;
}

Division divide_softmax(int64_t lines, int64_t length, bool columns, int64_t lanes) {
  return divide(lines, length, columns, lanes, kHeld, 8);
}

Division divide_slices(int64_t lines, int64_t slices) { return divide(lines, slices, true, 1, 1, 32); }

bool is_held(const Division& d, int64_t length, bool columns, int64_t lanes) {
  return length <= ((kHeld * (columns ? 1 : lanes)) << d.log_parts);
}

}  // namespace fovea::core::cuda::fold
