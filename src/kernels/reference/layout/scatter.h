// What ScatterND and ScatterElements share: combining an update with what is there.
#pragma once

#include <cmath>

#include "kernels/reference/layout/copy.h"
#include "ops/scatter.h"

namespace fovea::core {

template <typename C>
C scatter_combine(ScatterReduction reduction, C old, C update) {
  if constexpr (std::is_floating_point_v<C>) {
    if (reduction == ScatterReduction::kMax || reduction == ScatterReduction::kMin) {
      if (std::isnan(old) || std::isnan(update)) return std::numeric_limits<C>::quiet_NaN();
    }
  }
  using W = std::conditional_t<std::is_integral_v<C>, uint64_t, C>;  // integers wrap
  switch (reduction) {
    case ScatterReduction::kAdd: return static_cast<C>(static_cast<W>(old) + static_cast<W>(update));
    case ScatterReduction::kMul: return static_cast<C>(static_cast<W>(old) * static_cast<W>(update));
    case ScatterReduction::kMax: return std::max(old, update);
    case ScatterReduction::kMin: return std::min(old, update);
    case ScatterReduction::kNone: break;
  }
  return update;
}

// Calls scatter(y, updates, combine) on dense arrays: of the elements' bits without a reduction, of numbers otherwise;
// y holds the input's elements before. combine(old, update) is the new element.
template <typename F>
Status scatter_into(KernelContext& c, ScatterReduction reduction, F scatter) {
  const TensorRef &x = c.in(0), &updates = c.in(2), &y = c.out();
  Status status;
  if (reduction == ScatterReduction::kNone) {
    const int bytes = element_size(x.dtype);
    StridedBytes to{element_buffer(c, y), row_major_strides(y.shape())};
    copy_strided(x.shape(), to, readable(c, x), bytes, c.threads);
    const std::byte* from = load_elements(c, updates);
    dispatch_size(bytes, [&](auto tag) {
      using U = typename decltype(tag)::type;
      status = scatter(reinterpret_cast<U*>(to.data), reinterpret_cast<const U*>(from),
                       [](const U&, const U& update) { return update; });
    });
    if (status.ok()) finish_elements(c, y, to.data);
    return status;
  }
  dispatch_compute(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C *from = load<C>(c, x), *update = load<C>(c, updates);
    C* to = c.scratch->array<C>(y.count());
    std::copy(from, from + x.count(), to);
    status = scatter(to, update, [&](C old, C with) { return scatter_combine(reduction, old, with); });
    if (status.ok()) store(c, y, to);
  });
  return status;
}

}  // namespace fovea::core
