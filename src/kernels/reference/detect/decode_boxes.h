// What DecodeBoxes' kernels share: one box, and the walk over the images. ops/decode_boxes.cc says what is computed.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"
#include "ops/decode_boxes.h"

namespace fovea::core::decode {

template <typename C>
struct Centre {
  C x, y, w, h;
};

template <typename C>
Centre<C> anchor_of(AnchorForm form, const C* a) {
  switch (form) {
    case AnchorForm::kCentre: return {a[0], a[1], a[2], a[3]};
    case AnchorForm::kYxCentre: return {a[1], a[0], a[3], a[2]};
    case AnchorForm::kXyxy: return {a[0] + (a[2] - a[0]) / 2, a[1] + (a[3] - a[1]) / 2, a[2] - a[0], a[3] - a[1]};
  }
  return {};
}

// Attributes in the compute type.
template <typename C>
struct Factors {
  C variances[4] = {1, 1, 1, 1}, scales[4] = {1, 1, 1, 1};
  C max_log_size;

  explicit Factors(const DecodeBoxesAttrs& a) : max_log_size(static_cast<C>(a.max_log_size)) {
    std::transform(a.variances.begin(), a.variances.end(), variances, [](double v) { return static_cast<C>(v); });
    std::transform(a.scales.begin(), a.scales.end(), scales, [](double v) { return static_cast<C>(v); });
  }
};

template <typename C>
Centre<C> centre_of(const DecodeBoxesAttrs& a, const Factors<C>& factors, const C* delta, const Centre<C>& anchor) {
  C t[4];
  for (int i = 0; i < 4; ++i) t[i] = delta[i] * factors.variances[i] / factors.scales[i];
  if (a.deltas == DeltaOrder::kYxhw) std::swap(t[0], t[1]), std::swap(t[2], t[3]);
  if (a.max_log_size > 0)
    for (int i : {2, 3}) t[i] = t[i] > factors.max_log_size ? factors.max_log_size : t[i];
  return {t[0] * anchor.w + anchor.x, t[1] * anchor.h + anchor.y, std::exp(t[2]) * anchor.w, std::exp(t[3]) * anchor.h};
}

template <typename C>
void write(const DecodeBoxesAttrs& a, const Centre<C>& box, C height, C width, C* out) {
  C x0 = box.x - box.w / 2, y0 = box.y - box.h / 2, x1 = box.x + box.w / 2, y1 = box.y + box.h / 2;
  if (a.clip) {
    x0 = std::clamp(x0, C(0), width), x1 = std::clamp(x1, C(0), width);
    y0 = std::clamp(y0, C(0), height), y1 = std::clamp(y1, C(0), height);
  }
  if (a.output == CornerOrder::kYxyx) std::swap(x0, y0), std::swap(x1, y1);
  out[0] = x0, out[1] = y0, out[2] = x1, out[3] = y1;
}

// The boxes of one image: rows of four numbers, `classes` of them for each anchor.
template <typename C>
struct Image {
  const C *deltas, *anchors;
  int64_t boxes, classes;
  C height, width;  // to clip to, not negative
  C* out;
};

template <typename C>
void decode_box(const DecodeBoxesAttrs& a, const Factors<C>& factors, const Image<C>& image, int64_t box) {
  const Centre<C> anchor = anchor_of(a.anchors, image.anchors + box * 4);
  for (int64_t row = box * image.classes; row < (box + 1) * image.classes; ++row)
    write(a, centre_of(a, factors, image.deltas + row * 4, anchor), image.height, image.width, image.out + row * 4);
}

// Calls decode_image(attributes, factors, image) for every image.
template <typename C, typename F>
Status run(KernelContext& c, F&& decode_image) {
  const auto& a = c.attrs<DecodeBoxesAttrs>();
  const TensorRef &deltas = c.in(0), &anchors = c.in(1);
  const auto at = [](int i) { return static_cast<size_t>(i); };
  const int64_t images = deltas.rank == 2 ? 1 : deltas.dims[0], boxes = deltas.dims[deltas.rank == 2 ? 0 : 1];
  const int64_t classes = deltas.rank == 4 ? deltas.dims[2] : 1;
  const bool own = anchors.rank == 3;  // each image its own anchors
  if (anchors.dims[at(anchors.rank - 2)] != boxes || anchors.dims[at(anchors.rank - 1)] != 4 ||
      deltas.dims[at(deltas.rank - 1)] != 4 || (own && anchors.dims[0] != images))
    return invalid_argument("deltas [{}] and anchors [{}] do not belong together", fmt::join(deltas.shape(), ","),
                            fmt::join(anchors.shape(), ","));
  const C *d = load<C>(c, deltas), *p = load<C>(c, anchors), *size = c.has(2) ? load<C>(c, c.in(2)) : nullptr;
  if (size && c.in(2).count() != (c.in(2).rank == 2 ? 2 * images : 2))
    return invalid_argument("size: expected height and width for {} images, found {} numbers", images, c.in(2).count());
  C* out = result_buffer<C>(c, c.out());
  const Factors<C> factors(a);
  for (int64_t b = 0; b < images; ++b) {
    const C* limits = size && c.in(2).rank == 2 ? size + 2 * b : size;
    const int64_t from = b * boxes * classes * 4;
    // max(., 0): a hostile negative size would make clamp's bounds contradict.
    decode_image(a, factors,
                 Image<C>{d + from, p + (own ? b * boxes * 4 : 0), boxes, classes,
                          std::max(limits ? limits[0] : static_cast<C>(a.clip_height), C(0)),
                          std::max(limits ? limits[1] : static_cast<C>(a.clip_width), C(0)), out + from});
  }
  finish(c, c.out(), out);
  return {};
}

}  // namespace fovea::core::decode
