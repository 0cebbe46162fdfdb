#pragma once

#include "ops/window.h"

namespace fovea::core {

struct PoolAttrs : WindowAttrs {
  std::vector<int64_t> kernel_shape;
  bool ceil_mode = false;  // the last window may reach past the padding, but not start there
  static void pool_fields(auto& self, auto&& field) {
    field("kernel_shape", self.kernel_shape);
    window_fields(self, field);
    field("ceil_mode", self.ceil_mode);
  }
};

struct MaxPoolAttrs : PoolAttrs {
  int64_t storage_order = 0;  // of Indices: 0 row-major, 1 column-major
  static void fields(auto& self, auto&& field) {
    pool_fields(self, field);
    field("storage_order", self.storage_order);
  }
};

struct AveragePoolAttrs : PoolAttrs {
  bool count_include_pad = false;  // divide by the elements of the padded input, not only by those of the input
  static void fields(auto& self, auto&& field) {
    pool_fields(self, field);
    field("count_include_pad", self.count_include_pad);
  }
};

struct LpPoolAttrs : PoolAttrs {
  int64_t p = 2;
  static void fields(auto& self, auto&& field) {
    pool_fields(self, field);
    field("p", self.p);
  }
};

// x: [n, c, spatial...]
Result<Windows> pool_windows(const PoolAttrs& attrs, std::span<const int64_t> x);

}  // namespace fovea::core
