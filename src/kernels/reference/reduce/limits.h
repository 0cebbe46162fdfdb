// The smallest and the largest value of an element type, in its compute type: what a maximum or a minimum begins with.
#pragma once

#include <limits>

#include "kernels/reference/reference.h"

namespace fovea::core {

template <typename C>
C lowest_of(DType type) {
  if constexpr (std::is_floating_point_v<C>) return -std::numeric_limits<C>::infinity();
  else {
    C value = 0;
    dispatch_dtype(type, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_integral_v<T>) value = static_cast<C>(std::numeric_limits<T>::lowest());
    });
    return value;
  }
}
template <typename C>
C highest_of(DType type) {
  if constexpr (std::is_floating_point_v<C>) return std::numeric_limits<C>::infinity();
  else {
    C value = 0;
    dispatch_dtype(type, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_integral_v<T>) value = static_cast<C>(std::numeric_limits<T>::max());
    });
    return value;
  }
}

}  // namespace fovea::core
