#include "kernels/cuda/eltwise/chain_loops.h"

#include <algorithm>

#include "kernels/cuda/device/divide.cuh"

namespace fovea::core::cuda::chain {

void Loops::add(int64_t n, const Steps& steps) {
  if (n == 1) return;
  bool joins = rank > 0;
  for (size_t i = 0; joins && i < steps.size(); ++i) joins = strides[i][rank - 1] == steps[i] * n;
  if (!joins) size[rank++] = 1;
  size[rank - 1] *= n;
  for (size_t i = 0; i < steps.size(); ++i) strides[i][rank - 1] = steps[i];
}

Division division_of(int64_t d) {
  const Divisor r(d);
  return {r.divisor, r.magic, r.shift};
}

bool aligned(const void* p, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) == 0;
}

Result<std::array<int64_t, kMaxRank>> broadcast(std::span<const int64_t> shape,
                                                const std::array<int64_t, kMaxRank>& strides,
                                                std::span<const int64_t> to, size_t input) {
  std::array<int64_t, kMaxRank> result{};
  bool ok = shape.size() <= to.size();
  for (size_t d = 0; ok && d < shape.size(); ++d) {
    const size_t at = d + to.size() - shape.size();
    ok = shape[d] == to[at] || shape[d] == 1;
    result[at] = shape[d] == 1 ? 0 : strides[d];
  }
  if (ok) return result;
  return invalid_argument("input {} cannot be broadcast: its shape is [{}], the output's [{}]", input,
                          fmt::join(shape, ","), fmt::join(to, ","));
}

}  // namespace fovea::core::cuda::chain
