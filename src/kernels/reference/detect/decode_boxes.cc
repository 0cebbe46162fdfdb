// DecodeBoxes: ops/decode_boxes.cc says what it computes.
#include "kernels/reference/detect/decode_boxes.h"

namespace fovea::core {

Status reference_DecodeBoxes(KernelContext& c) {
  const auto run = [&]<typename C>(TypeTag<C>) {
    return decode::run<C>(c, [](const auto& a, const auto& factors, const auto& image) {
      for (int64_t i = 0; i < image.boxes; ++i) decode::decode_box(a, factors, image, i);
    });
  };
  const bool wide = c.in(0).dtype == DType::kFloat64 || c.in(1).dtype == DType::kFloat64;
  return wide ? run(TypeTag<double>{}) : run(TypeTag<float>{});
}

}  // namespace fovea::core
