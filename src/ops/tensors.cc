#include "ops/tensors.h"

namespace fovea::core {

TensorPtr filled_tensor(DType type, Dims dims, double value) {
  auto tensor = Tensor::allocate(type, std::move(dims));
  if (!tensor.ok()) return nullptr;
  const bool filled = dispatch_dtype(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T element;
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) element = T(static_cast<float>(value));
    else if constexpr (std::is_same_v<T, bool>) element = value != 0;
    else element = static_cast<T>(value);
    auto* p = reinterpret_cast<T*>((*tensor)->mutable_data());
    for (int64_t i = 0; i < (*tensor)->count(); ++i) p[i] = element;
  });
  return filled ? TensorPtr(*tensor) : nullptr;
}

}  // namespace fovea::core
