#include "kernels/reference/reference.h"

namespace fovea::core {

Status reference_Size(KernelContext& c) {
  const int64_t count = c.in(0).count();
  store(c, c.out(), &count);
  return {};
}

}  // namespace fovea::core
