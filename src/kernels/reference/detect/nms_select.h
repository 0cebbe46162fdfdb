// The selection of one image: candidates, groups, suppression, as ops/nms.cc describes it. C is float or double.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/context.h"
#include "ops/nms.h"

namespace fovea::core::nms {

template <typename C>
struct Candidate {
  C score;
  int64_t box, column;  // column: of the scores
  int64_t key;          // group
};

// Best first; ties by lowest box, then lowest column.
template <typename C>
bool before(const Candidate<C>& a, const Candidate<C>& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.box != b.box ? a.box < b.box : a.column < b.column;
}

template <typename C>
struct Limits {  // attributes, with what inputs override
  C score_threshold, iou_threshold;
  int64_t max_per_group;
};

// One image's inputs, dense.
template <typename C>
struct Image {
  const C* boxes;        // [n,q,4]
  const C* scores;       // [n,c]
  const int64_t* group;  // [n] or null
  int64_t n, q, c;

  const C* box(const Candidate<C>& k) const { return boxes + (k.box * q + (q == 1 ? 0 : k.column)) * 4; }
};

template <typename C>
bool passes(NmsCompare compare, C value, C threshold) {
  return compare == NmsCompare::kGreater ? value > threshold : value >= threshold;
}

// Calls f(Candidate) for each candidate whose score passes; `row` has room for c candidates.
template <typename C, typename F>
void for_each_candidate(const NmsAttrs& a, const Limits<C>& limits, const Image<C>& image, Candidate<C>* row,
                        const F& f) {
  for (int64_t n = 0; n < image.n; ++n) {
    const C* scores = image.scores + n * image.c;
    int64_t found = 0;
    for (int64_t k = 0; k < image.c; ++k) {
      if (k == a.background || !passes(a.score_compare, scores[k], limits.score_threshold)) continue;
      int64_t key = a.group == NmsGroup::kClass ? k : a.group == NmsGroup::kExplicit ? image.group[n] : 0;
      if (a.candidates == NmsCandidates::kArgmax && found == 1) {
        if (scores[k] > row[0].score) row[0] = {scores[k], n, k, key};
      } else {
        row[found++] = {scores[k], n, k, key};
      }
    }
    if (a.candidates == NmsCandidates::kTopM && found > a.top_m) {
      std::partial_sort(row, row + a.top_m, row + found, before<C>);
      found = a.top_m;
    }
    for (int64_t i = 0; i < found; ++i) f(row[i]);
  }
}

// The k best of [first, last) in front, in no order.
template <typename C>
int64_t keep_best(Candidate<C>* first, int64_t count, int64_t k) {
  if (k < 0 || k >= count) return count;
  if (k > 0) std::nth_element(first, first + (k - 1), first + count, before<C>);
  return k;
}

template <typename C>
struct Corners {
  C x0, y0, x1, y1, area;
};

template <typename C>
Corners<C> corners(const NmsAttrs& a, const C* b) {
  Corners<C> r{};
  switch (a.box_form) {
    case NmsBoxForm::kXyxy: r = {b[0], b[1], b[2], b[3], 0}; break;
    case NmsBoxForm::kYxyx: r = {b[1], b[0], b[3], b[2], 0}; break;
    // min and max give their first argument where the second is NaN: in this order a NaN comes through one of them.
    case NmsBoxForm::kAnyDiagonal:
      r = {std::min(b[1], b[3]), std::min(b[0], b[2]), std::max(b[3], b[1]), std::max(b[2], b[0]), 0};
      break;
    case NmsBoxForm::kCentre: r = {b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2, 0}; break;
    case NmsBoxForm::kXywh: r = {b[0], b[1], b[0] + b[2], b[1] + b[3], 0}; break;
  }
  const C offset = static_cast<C>(a.iou_offset), w = r.x1 - r.x0 + offset, h = r.y1 - r.y0 + offset;
  r.area = w > 0 && h > 0 ? w * h : 0;
  return r;
}

template <typename C>
C iou(const Corners<C>& a, const Corners<C>& b, C offset) {
  const C w = std::min(a.x1, b.x1) - std::max(a.x0, b.x0) + offset,
          h = std::min(a.y1, b.y1) - std::max(a.y0, b.y0) + offset;
  const C intersection = w > 0 && h > 0 ? w * h : 0;
  const C together = a.area + b.area - intersection;
  return intersection > 0 && a.area > 0 && b.area > 0 && together > 0 ? intersection / together : 0;
}

// Can any IoU pass? Rounding never takes one above 1: minimum, difference and product are monotonic in floating point.
template <typename C>
bool suppresses(const NmsAttrs& a, C threshold) {
  return a.iou_compare == NmsCompare::kGreater ? threshold < 1 : threshold <= 1;
}

// Greedy suppression of a sorted group in place: what is kept moves to the front.
template <typename C>
int64_t suppress(const NmsAttrs& a, const Limits<C>& limits, const Image<C>& image, Candidate<C>* group, int64_t count,
                 Corners<C>* kept) {
  const int64_t most = limits.max_per_group < 0 ? count : std::min(count, limits.max_per_group);
  if (!suppresses(a, limits.iou_threshold)) return most;
  const C offset = static_cast<C>(a.iou_offset);
  int64_t found = 0;
  for (int64_t i = 0; i < count && found < most; ++i) {
    const Corners<C> box = corners(a, image.box(group[i]));
    bool keep = true;
    for (int64_t j = 0; j < found && keep; ++j)
      keep = !passes(a.iou_compare, iou(box, kept[j], offset), limits.iou_threshold);
    if (!keep) continue;
    kept[found] = box;
    group[found++] = group[i];
  }
  return found;
}

template <typename C>
using Suppress = int64_t (*)(const NmsAttrs&, const Limits<C>&, const Image<C>&, Candidate<C>* group, int64_t count,
                             Corners<C>* kept);

template <typename C>
struct Queued {
  Candidate<C> candidate;
  int64_t compared;  // with how many of those kept
};
template <typename C>
using SuppressSoftly = int64_t (*)(const NmsAttrs&, const Limits<C>&, const Image<C>&, Candidate<C>* group,
                                   int64_t count, Corners<C>* kept, Queued<C>* queue);

// What an overlap leaves of a score; `scale` is -1 / (2 sigma). The exponential is float64's, rounded: the same on
// every device, but for one in a hundred million.
template <typename C>
C lowered(C score, C overlap, C scale) {
  return overlap > 0 ? score * static_cast<C>(std::exp(static_cast<double>(scale * overlap * overlap))) : score;
}

// Soft suppression. `queue` has room for `count`; keep(i, box) makes `box` the i-th of those kept, lower(score, box,
// begin, end) lowers a score by those kept of [begin, end), in this order, until it does not pass. So each score is
// lowered by those kept in their order, however often its candidate is looked at, and those of 0 and more are the same
// as if each box kept had lowered all the others at once. A negative score rises, but waits where it was.
template <typename C, typename Keep, typename Lower>
int64_t suppress_softly(const NmsAttrs& a, const Limits<C>& limits, const Image<C>& image, Candidate<C>* group,
                        int64_t count, Queued<C>* queue, const Keep& keep, const Lower& lower) {
  const int64_t most = limits.max_per_group < 0 ? count : std::min(count, limits.max_per_group);
  const auto behind = [](const Queued<C>& x, const Queued<C>& y) { return before(y.candidate, x.candidate); };
  for (int64_t i = 0; i < count; ++i) queue[i] = {group[i], 0};
  int64_t waiting = count, found = 0;
  std::make_heap(queue, queue + waiting, behind);
  while (waiting > 0 && found < most) {
    std::pop_heap(queue, queue + waiting, behind);
    Queued<C> next = queue[--waiting];
    const Corners<C> box = corners(a, image.box(next.candidate));
    const C score = lower(next.candidate.score, box, next.compared, found);
    next.compared = found;
    if (score == next.candidate.score) {
      keep(found, box);
      group[found++] = next.candidate;
    } else if (passes(a.score_compare, score, limits.score_threshold)) {
      next.candidate.score = score;
      queue[waiting++] = next;
      std::push_heap(queue, queue + waiting, behind);
    }
  }
  return found;
}

template <typename C>
C soft_scale(const NmsAttrs& a) {
  return C(-0.5) / static_cast<C>(a.soft_sigma);
}

template <typename C>
int64_t suppress_softly(const NmsAttrs& a, const Limits<C>& limits, const Image<C>& image, Candidate<C>* group,
                        int64_t count, Corners<C>* kept, Queued<C>* queue) {
  const C scale = soft_scale<C>(a), offset = static_cast<C>(a.iou_offset);
  const auto keep = [&](int64_t i, const Corners<C>& box) { kept[i] = box; };
  const auto lower = [&](C score, const Corners<C>& box, int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end && passes(a.score_compare, score, limits.score_threshold); ++j)
      score = lowered(score, iou(box, kept[j], offset), scale);
    return score;
  };
  return suppress_softly(a, limits, image, group, count, queue, keep, lower);
}

// Room for the largest image; `row` for one box's classes.
template <typename C>
struct Workspace {
  Candidate<C>*candidates, *row;
  Corners<C>* kept;
  Queued<C>* queue;  // null without soft suppression
  // Only where groups are classes.
  Candidate<C>* unsorted;
  int64_t* ends;  // of each class
  Suppress<C> hard = suppress<C>;
  SuppressSoftly<C> soft = suppress_softly<C>;
};

// Candidates of equal keys side by side.
template <typename C>
void collect_groups(const NmsAttrs& a, int64_t classes, Candidate<C>* all, int64_t count, const Workspace<C>& w) {
  if (a.group == NmsGroup::kExplicit)
    std::sort(all, all + count, [](const Candidate<C>& x, const Candidate<C>& y) { return x.key < y.key; });
  if (a.group != NmsGroup::kClass) return;
  std::fill_n(w.ends, classes, 0);
  std::copy_n(all, count, w.unsorted);
  for (int64_t i = 0; i < count; ++i) ++w.ends[all[i].key];
  for (int64_t k = 0, end = 0; k < classes; ++k) end = w.ends[k] += end;
  for (int64_t i = count; i-- > 0;) all[--w.ends[w.unsorted[i].key]] = w.unsorted[i];
}

// What one image keeps, best first, in w.candidates; returns how many.
template <typename C>
int64_t select(const NmsAttrs& a, const Limits<C>& limits, const Image<C>& image, const Workspace<C>& w) {
  Candidate<C>* all = w.candidates;
  int64_t count = 0;
  for_each_candidate(a, limits, image, w.row, [&](const Candidate<C>& k) { all[count++] = k; });
  if (a.pre_top_k_of == NmsScope::kImage) count = keep_best(all, count, a.pre_top_k);
  collect_groups(a, image.c, all, count, w);
  int64_t found = 0;
  for (int64_t begin = 0, end; begin < count; begin = end) {
    for (end = begin + 1; end < count && all[end].key == all[begin].key;) ++end;
    int64_t size = end - begin;
    if (a.pre_top_k_of == NmsScope::kGroup) size = keep_best(all + begin, size, a.pre_top_k);
    std::sort(all + begin, all + begin + size, before<C>);
    const int64_t kept = w.queue ? w.soft(a, limits, image, all + begin, size, w.kept, w.queue)
                                 : w.hard(a, limits, image, all + begin, size, w.kept);
    std::move(all + begin, all + begin + kept, all + found);
    found += kept;
  }
  found = keep_best(all, found, a.max_total);
  std::sort(all, all + found, before<C>);
  return found;
}

// The whole operator on float32 and shorter, with other ways to suppress a sorted group.
Status run(KernelContext& c, Suppress<float> hard, SuppressSoftly<float> soft);

}  // namespace fovea::core::nms
