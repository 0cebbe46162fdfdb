#include "kernels/cpu/table.h"

namespace fovea::core {
namespace {

#define FOVEA_KERNEL(symbol, family, file) &kernel_##symbol,
constexpr const KernelRow* kRows[] = {
#include "kernels/cpu/kernels.inc"
    nullptr,  // so that the array is never empty
};
#undef FOVEA_KERNEL

}  // namespace

std::span<const KernelRow* const> cpu_kernels() { return {kRows, std::size(kRows) - 1}; }

const KernelRow* find_kernel(std::string_view name, const Device* device) {
  if (device)
    for (const KernelRow* row : device->kernels())
      if (row->name == name) return row;
  for (const KernelRow* row : cpu_kernels())
    if (row->name == name) return row;
  return nullptr;
}

}  // namespace fovea::core
