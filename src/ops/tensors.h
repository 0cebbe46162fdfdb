// Constants that imports make.
#pragma once

#include "ir/tensor.h"

namespace fovea::core {

// `value` everywhere, rounded to `type`; null for types without a C++ number.
TensorPtr filled_tensor(DType type, Dims dims, double value);
inline TensorPtr scalar_tensor(DType type, double value) { return filled_tensor(type, {}, value); }

}  // namespace fovea::core
