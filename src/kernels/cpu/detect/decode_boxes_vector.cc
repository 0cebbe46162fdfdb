// Boxes from deltas and anchors, a vector of boxes at a time. One box for each anchor; R-CNN's box for each class is
// the reference kernel's.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/detect/decode_boxes_vector.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/table.h"
#include "kernels/reference/detect/decode_boxes.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::core {
namespace HWY_NAMESPACE {

// The boxes [begin, end) of an image, but for those past the last whole vector; returns where that ends.
int64_t decode_vectors(const DecodeBoxesAttrs& a, const decode::Factors<float>& factors,
                       const decode::Image<float>& image, int64_t begin, int64_t end) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V half = hn::Set(d, 0.5f), zero = hn::Zero(d), width = hn::Set(d, image.width),
          height = hn::Set(d, image.height), most = hn::Set(d, factors.max_log_size);
  // As std::clamp: NaN stays.
  const auto bounded = [&](V x, V high) {
    x = hn::IfThenElse(hn::Lt(x, zero), zero, x);
    return hn::IfThenElse(hn::Lt(high, x), high, x);
  };
  int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    V tx, ty, tw, th, ax, ay, aw, ah;
    hn::LoadInterleaved4(d, image.deltas + i * 4, tx, ty, tw, th);
    hn::LoadInterleaved4(d, image.anchors + i * 4, ax, ay, aw, ah);
    V* const t[] = {&tx, &ty, &tw, &th};
    for (size_t k = 0; k < 4; ++k)
      *t[k] = hn::Div(hn::Mul(*t[k], hn::Set(d, factors.variances[k])), hn::Set(d, factors.scales[k]));
    if (a.deltas == DeltaOrder::kYxhw) std::swap(tx, ty), std::swap(tw, th);
    if (a.anchors == AnchorForm::kYxCentre) std::swap(ax, ay), std::swap(aw, ah);
    if (a.anchors == AnchorForm::kXyxy) {
      aw = hn::Sub(aw, ax), ah = hn::Sub(ah, ay);
      ax = hn::Add(ax, hn::Mul(aw, half)), ay = hn::Add(ay, hn::Mul(ah, half));
    }
    if (a.max_log_size > 0) {
      tw = hn::IfThenElse(hn::Gt(tw, most), most, tw);
      th = hn::IfThenElse(hn::Gt(th, most), most, th);
    }
    const V x = hn::Add(hn::Mul(tx, aw), ax), y = hn::Add(hn::Mul(ty, ah), ay);
    const V w = hn::Mul(hn::Mul(exp(tw), aw), half), h = hn::Mul(hn::Mul(exp(th), ah), half);
    V x0 = hn::Sub(x, w), y0 = hn::Sub(y, h), x1 = hn::Add(x, w), y1 = hn::Add(y, h);
    if (a.clip) x0 = bounded(x0, width), x1 = bounded(x1, width), y0 = bounded(y0, height), y1 = bounded(y1, height);
    if (a.output == CornerOrder::kYxyx) std::swap(x0, y0), std::swap(x1, y1);
    hn::StoreInterleaved4(x0, y0, x1, y1, d, image.out + i * 4);
  }
  return i;
}

}  // namespace HWY_NAMESPACE
}  // namespace fovea::core
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fovea::core {
namespace {

HWY_EXPORT(decode_vectors);

class DecodeBoxesKernel final : public PreparedKernel {
 public:
  Status run(KernelContext& c) const override {
    return decode::run<float>(c, [&](const auto& a, const auto& factors, const auto& image) {
      constexpr int64_t kGrain = 2048;  // boxes worth a thread
      parallel_for(c.threads, image.boxes, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = HWY_DYNAMIC_DISPATCH(decode_vectors)(a, factors, image, begin, end); i < end; ++i)
          decode::decode_box(a, factors, image, i);
      });
    });
  }
};

std::vector<Group> match(const Graph&, const Node& anchor) { return {single_node_group(anchor)}; }

std::string refuse(const Group& group) {
  for (size_t i : {0, 1})
    if (group.inputs[i]->dtype != DType::kFloat32)
      return fmt::format("{}, not float32", to_string(group.inputs[i]->dtype));
  return group.inputs[0]->shape.size() == 4 ? "a box for each class" : "";
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext&) {
  return std::unique_ptr<PreparedKernel>(std::make_unique<DecodeBoxesKernel>());
}

}  // namespace

const KernelRow kernel_decode_boxes_vector = {.name = "decode_boxes_vector",
                                              .op = "DecodeBoxes",
                                              .strided_inputs = true,
                                              .dynamic_shapes = true,
                                              .match = match,
                                              .refuse = refuse,
                                              .prepare = prepare,
                                              .preference = 4};

}  // namespace fovea::core

#endif
