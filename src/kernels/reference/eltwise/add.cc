#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Add(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) {
    if constexpr (std::is_same_v<decltype(a), int64_t>)
      return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    else return a + b;
  });
}

}  // namespace fovea::core
