// For tests: boxes and scores of every kind of nastiness, and each framework's non-maximum suppression written down
// naively from its own documentation and code, with no regard to the operator Nms.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "ir/tensor.h"

namespace fovea::core::test {

enum class Nasty {
  kSmooth,
  kGrid,
  kSpecial
};  // uniform; few distinct values, so ties and exact IoUs; also NaN, infinity, inverted

struct Scene {
  int64_t b, n, q, c;
  std::vector<float> boxes;   // [b,n,q,4]
  std::vector<float> scores;  // [b,n,c]
  const float* box(int64_t image, int64_t i, int64_t k = 0) const {
    return &boxes[static_cast<size_t>(((image * n + i) * q + (q == 1 ? 0 : k)) * 4)];
  }
  float score(int64_t image, int64_t i, int64_t k = 0) const {
    return scores[static_cast<size_t>((image * n + i) * c + k)];
  }

  TensorPtr box_tensor() const {
    return q == 1 ? Tensor::of<float>({b, n, 4}, std::span(boxes)) : Tensor::of<float>({b, n, q, 4}, std::span(boxes));
  }
  TensorPtr score_tensor() const { return Tensor::of<float>({b, n, c}, std::span(scores)); }
};

inline Scene random_scene(std::mt19937& rng, int64_t b, int64_t n, int64_t q, int64_t c, Nasty nasty) {
  Scene s{b, n, q, c, {}, {}};
  std::uniform_real_distribution<float> unit(0, 1);
  const auto value = [&](float range) {
    return nasty == Nasty::kSmooth ? unit(rng) * range : static_cast<float>(rng() % 5) / 4 * range;
  };
  for (int64_t i = 0; i < b * n * q; ++i) {
    float x = value(0.7f), y = value(0.7f), w = value(0.6f), h = value(0.6f);
    if (nasty == Nasty::kSmooth) w += 0.1f, h += 0.1f;
    if (nasty == Nasty::kSpecial && rng() % 8 == 0) w = -w;
    std::array<float, 4> box = {x, y, x + w, y + h};
    constexpr float kInf = std::numeric_limits<float>::infinity();
    constexpr float kSpecials[] = {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf, 1e38f};
    if (nasty == Nasty::kSpecial && rng() % 6 == 0) box[rng() % 4] = kSpecials[rng() % 4];
    s.boxes.insert(s.boxes.end(), box.begin(), box.end());
  }
  for (int64_t i = 0; i < b * n * c; ++i) {
    float score = value(1);
    if (nasty == Nasty::kSpecial && rng() % 10 == 0)
      score = rng() % 2 ? std::numeric_limits<float>::quiet_NaN() : -std::numeric_limits<float>::infinity();
    s.scores.push_back(score);
  }
  return s;
}

using Indices = std::vector<std::array<int64_t, 3>>;  // image, class, box

struct Found {
  int64_t image, label, box;
  float score;
  std::array<float, 4> corners;
};

// Indices of values that are not NaN, the largest first, equal ones in their order.
inline std::vector<int64_t> order_of(const std::vector<float>& values) {
  std::vector<int64_t> order;
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isnan(values[i])) order.push_back(static_cast<int64_t>(i));
  std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) {
    return values[static_cast<size_t>(x)] > values[static_cast<size_t>(y)];
  });
  return order;
}

// TorchVision's formula: corners x0, y0, x1, y1.
inline float torch_iou(const float* a, const float* b, float offset = 0) {
  const auto area = [&](const float* r) { return (r[2] - r[0] + offset) * (r[3] - r[1] + offset); };
  const float w = std::max(0.f, std::min(a[2], b[2]) - std::max(a[0], b[0]) + offset),
              h = std::max(0.f, std::min(a[3], b[3]) - std::max(a[1], b[1]) + offset);
  return w * h / (area(a) + area(b) - w * h);
}

// ONNX Runtime's formula; y0, x0, y1, x1 with any two opposite corners, or centre x, centre y, width, height.
inline float onnx_iou(const float* a, const float* b, bool centre) {
  const auto side = [&](const float* r, bool x, float& lo, float& hi) {
    const float p = centre ? r[x ? 0 : 1] - r[x ? 2 : 3] / 2 : r[x ? 1 : 0],
                q = centre ? r[x ? 0 : 1] + r[x ? 2 : 3] / 2 : r[x ? 3 : 2];
    lo = centre || p < q ? p : q, hi = centre || p < q ? q : p;
  };
  float ax0, ax1, ay0, ay1, bx0, bx1, by0, by1;
  side(a, true, ax0, ax1), side(a, false, ay0, ay1), side(b, true, bx0, bx1), side(b, false, by0, by1);
  const float w = std::min(ax1, bx1) - std::max(ax0, bx0), h = std::min(ay1, by1) - std::max(ay0, by0);
  if (w <= 0 || h <= 0) return 0;
  const float area_a = (ax1 - ax0) * (ay1 - ay0), area_b = (bx1 - bx0) * (by1 - by0);
  if (area_a <= 0 || area_b <= 0 || w * h <= 0) return 0;
  return w * h / (area_a + area_b - w * h);
}

// Of scores, positions kept one after another; `overlaps(i, j)` says that a kept j removes i.
template <typename F>
std::vector<int64_t> greedy(const std::vector<int64_t>& order, int64_t most, const F& overlaps) {
  std::vector<int64_t> kept;
  for (int64_t i : order) {
    if (static_cast<int64_t>(kept.size()) == most) break;
    if (std::none_of(kept.begin(), kept.end(), [&](int64_t j) { return overlaps(i, j); })) kept.push_back(i);
  }
  return kept;
}

// ONNX NonMaxSuppression; no threshold: NaN.
inline Indices onnx_nms(const Scene& s, int64_t max_output, float iou_threshold, float score_threshold, bool centre) {
  Indices out;
  for (int64_t b = 0; b < s.b; ++b)
    for (int64_t k = 0; k < s.c; ++k) {
      std::vector<float> scores;
      for (int64_t i = 0; i < s.n; ++i) {
        float score = s.score(b, i, k);
        scores.push_back(std::isnan(score_threshold) || score > score_threshold ? score : NAN);
      }
      const auto overlaps = [&](int64_t i, int64_t j) {
        return onnx_iou(s.box(b, i), s.box(b, j), centre) > iou_threshold;
      };
      for (int64_t i : greedy(order_of(scores), max_output, overlaps)) out.push_back({b, k, i});
    }
  return out;
}

// torchvision.ops.batched_nms of one image: by score over all groups.
inline std::vector<int64_t> torch_batched_nms(const Scene& s, const std::vector<int64_t>& group, float iou_threshold) {
  const auto overlaps = [&](int64_t i, int64_t j) {
    return group[static_cast<size_t>(i)] == group[static_cast<size_t>(j)] &&
           torch_iou(s.box(0, i), s.box(0, j)) > iou_threshold;
  };
  return greedy(order_of(s.scores), s.n, overlaps);
}

// TensorFlow's NonMaxSuppressionV5 of one image and class: (box, score). With sigma, the best of the scores lowered so
// far is taken each time.
inline std::vector<std::pair<int64_t, float>> tf_nms_v5(const Scene& s, int64_t max_output, float iou_threshold,
                                                        float score_threshold, float sigma) {
  std::vector<float> scores = s.scores;
  std::vector<std::pair<int64_t, float>> out;
  while (static_cast<int64_t>(out.size()) < max_output) {
    int64_t best = -1;
    for (int64_t i = 0; i < s.n; ++i)
      if (scores[static_cast<size_t>(i)] > score_threshold &&
          (best < 0 || scores[static_cast<size_t>(i)] > scores[static_cast<size_t>(best)]))
        best = i;
    if (best < 0) break;
    out.emplace_back(best, scores[static_cast<size_t>(best)]);
    scores[static_cast<size_t>(best)] = NAN;
    for (int64_t i = 0; i < s.n; ++i) {
      const float iou = onnx_iou(s.box(0, i), s.box(0, best), false);
      float& score = scores[static_cast<size_t>(i)];
      if (sigma > 0) score *= static_cast<float>(std::exp(static_cast<double>(-0.5f / sigma * iou * iou)));
      else if (iou > iou_threshold) score = NAN;
    }
  }
  return out;
}

inline std::array<float, 4> corners_of(const float* box) { return {box[0], box[1], box[2], box[3]}; }

// The best `most` of one image's finds, ties by box, then class.
inline std::vector<Found> best_of(std::vector<Found> found, int64_t most) {
  std::stable_sort(found.begin(), found.end(), [](const Found& x, const Found& y) {
    if (x.score != y.score) return x.score > y.score;
    return x.box != y.box ? x.box < y.box : x.label < y.label;
  });
  if (most >= 0 && static_cast<int64_t>(found.size()) > most) found.resize(static_cast<size_t>(most));
  return found;
}

// Suppression class by class, as TensorFlow's CombinedNonMaxSuppression, TFLite's regular form and TensorRT's
// batchedNMS share it; `eligible(score)` and `overlaps(a, b)` are their comparisons.
template <typename E, typename O>
std::vector<Found> per_class_nms(const Scene& s, int64_t image, int64_t background, int64_t pre_top_k,
                                 int64_t per_class, int64_t total, const E& eligible, const O& overlaps) {
  std::vector<Found> found;
  for (int64_t k = 0; k < s.c; ++k) {
    if (k == background) continue;
    std::vector<float> scores;
    for (int64_t i = 0; i < s.n; ++i) scores.push_back(eligible(s.score(image, i, k)) ? s.score(image, i, k) : NAN);
    std::vector<int64_t> order = order_of(scores);
    if (pre_top_k >= 0 && static_cast<int64_t>(order.size()) > pre_top_k) order.resize(static_cast<size_t>(pre_top_k));
    for (int64_t i : greedy(order, per_class,
                            [&](int64_t x, int64_t y) { return overlaps(s.box(image, x, k), s.box(image, y, k)); }))
      found.push_back({image, k, i, s.score(image, i, k), corners_of(s.box(image, i, k))});
  }
  return best_of(found, total);
}

// TFLite's fast form: one suppression on each box's best class; each box kept gives its m best classes.
inline std::vector<Found> tflite_fast(const Scene& s, int64_t image, float score_threshold, float iou_threshold,
                                      int64_t most, int64_t m) {
  std::vector<std::vector<int64_t>> classes;
  std::vector<float> best;
  for (int64_t i = 0; i < s.n; ++i) {
    std::vector<float> scores;
    for (int64_t k = 1; k < s.c; ++k) scores.push_back(s.score(image, i, k));
    classes.push_back(order_of(scores));
    const float top = classes.back().empty() ? NAN : scores[static_cast<size_t>(classes.back()[0])];
    best.push_back(top >= score_threshold ? top : NAN);
  }
  const auto overlaps = [&](int64_t i, int64_t j) {
    return onnx_iou(s.box(image, i), s.box(image, j), false) > iou_threshold;
  };
  std::vector<Found> found;
  for (int64_t i : greedy(order_of(best), most, overlaps))
    for (int64_t k = 0; k < std::min(m, s.c - 1); ++k) {
      const int64_t label = classes[static_cast<size_t>(i)][static_cast<size_t>(k)];
      found.push_back({image, label, i, s.score(image, i, label + 1), corners_of(s.box(image, i))});
    }
  return found;
}

// MXNet's MultiBoxDetection behind its decoding, its rows of suppressed boxes left out; class 0 is the background.
inline std::vector<Found> mxnet_multibox(const Scene& s, int64_t image, float threshold, float nms_threshold,
                                         bool force_suppress, int64_t nms_topk) {
  std::vector<float> best;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < s.n; ++i) {
    float score = -1;
    int64_t id = 0;
    for (int64_t k = 1; k < s.c; ++k)
      if (s.score(image, i, k) > score) score = s.score(image, i, k), id = k;
    best.push_back(id > 0 && !(score < threshold) ? score : NAN);
    ids.push_back(id);
  }
  std::vector<int64_t> order = order_of(best);
  if (nms_topk > 0 && static_cast<int64_t>(order.size()) > nms_topk) order.resize(static_cast<size_t>(nms_topk));
  const auto overlaps = [&](int64_t i, int64_t j) {
    if (!force_suppress && ids[static_cast<size_t>(i)] != ids[static_cast<size_t>(j)]) return false;
    const float *a = s.box(image, i), *b = s.box(image, j);
    const float w = std::max(0.f, std::min(a[2], b[2]) - std::max(a[0], b[0])),
                h = std::max(0.f, std::min(a[3], b[3]) - std::max(a[1], b[1]));
    const float u = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h;
    return (u <= 0 ? 0 : w * h / u) >= nms_threshold;
  };
  std::vector<Found> found;
  for (int64_t i : greedy(order, s.n, overlaps))
    found.push_back(
        {image, ids[static_cast<size_t>(i)] - 1, i, best[static_cast<size_t>(i)], corners_of(s.box(image, i))});
  return found;
}

// TensorRT's EfficientNMS: the best `top` (box, class) pairs of the image, then suppression within the class or among
// all.
inline std::vector<Found> efficient_nms(const Scene& s, int64_t image, float score_threshold, float iou_threshold,
                                        int64_t top, int64_t most, bool agnostic) {
  std::vector<Found> all;
  for (int64_t i = 0; i < s.n; ++i)
    for (int64_t k = 0; k < s.c; ++k)
      if (s.score(image, i, k) > score_threshold)
        all.push_back({image, k, i, s.score(image, i, k), corners_of(s.box(image, i, k))});
  all = best_of(all, top);
  std::vector<Found> found;
  for (const Found& f : all) {
    if (static_cast<int64_t>(found.size()) == most) break;
    const bool removed = std::any_of(found.begin(), found.end(), [&](const Found& g) {
      return (agnostic || f.label == g.label) && torch_iou(f.corners.data(), g.corners.data()) >= iou_threshold;
    });
    if (!removed) found.push_back(f);
  }
  return found;
}

}  // namespace fovea::core::test
