#include "eval/coco.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <utility>

namespace fovea::core {
namespace {

constexpr size_t kThresholds = 10, kRecalls = 101, kAreas = 4, kMaxDetections = 100;
constexpr std::array<size_t, 3> kLimits = {1, 10, kMaxDetections};
enum Area : size_t { kAll, kSmall, kMedium, kLarge };
constexpr std::array<std::pair<double, double>, kAreas> kAreaRanges = {
    {{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}}};

// numpy.linspace's own values: start + i * step, the last one exact.
double iou_threshold(size_t i) {
  return i + 1 == kThresholds ? 0.95 : static_cast<double>(i) * ((0.95 - 0.5) / 9) + 0.5;
}
double recall_level(size_t i) { return i + 1 == kRecalls ? 1.0 : static_cast<double>(i) * (1.0 / 100); }

bool outside(double area, Area range) { return area < kAreaRanges[range].first || area > kAreaRanges[range].second; }

// Objects and detections of one class in one picture; detections by falling score, ties in their given order.
struct Group {
  std::vector<const CocoObject*> objects;
  std::vector<const CocoDetection*> detections;
  std::vector<double> ious;  // [detections, objects]
};
using GroupKey = std::pair<int64_t, int64_t>;  // category, image: pictures of a class follow each other by id
using Groups = std::map<GroupKey, Group>;

// A crowd is a region: what counts is how much of the detection lies in it.
double iou(const CocoBox& d, const CocoBox& g, bool crowd) {
  const double w = std::fmin(d.w + d.x, g.w + g.x) - std::fmax(d.x, g.x);
  if (w <= 0) return 0;
  const double h = std::fmin(d.h + d.y, g.h + g.y) - std::fmax(d.y, g.y);
  if (h <= 0) return 0;
  const double intersection = w * h, area = d.w * d.h;
  return intersection / (crowd ? area : area + g.w * g.h - intersection);
}

void prepare(Group& group) {
  auto by_score = [](const CocoDetection* a, const CocoDetection* b) { return a->score > b->score; };
  std::stable_sort(group.detections.begin(), group.detections.end(), by_score);
  if (group.detections.size() > kMaxDetections) group.detections.resize(kMaxDetections);
  for (const CocoDetection* d : group.detections)
    for (const CocoObject* g : group.objects) group.ious.push_back(iou(d->box, g->box, g->crowd));
}

Groups make_groups(const CocoLabels& labels, std::span<const CocoDetection> detections) {
  std::set<int64_t> categories, images;
  for (const CocoCategory& c : labels.categories) categories.insert(c.id);
  for (const CocoImage& i : labels.images) images.insert(i.id);
  Groups groups;
  for (const CocoObject& o : labels.objects)
    if (categories.count(o.category_id) && images.count(o.image_id))
      groups[{o.category_id, o.image_id}].objects.push_back(&o);
  for (const CocoDetection& d : detections)
    if (categories.count(d.category_id)) groups[{d.category_id, d.image_id}].detections.push_back(&d);
  for (auto& [key, group] : groups) prepare(group);
  return groups;
}

struct Outcome {
  double score = 0;
  size_t rank = 0;  // within its picture and class
  std::array<bool, kThresholds> matched{}, ignored{};
};

// Matches one group at one area range: greedily by score, each detection to the free object of highest IoU, counted
// objects before ignored ones.
class Matcher {
 public:
  Matcher(const Group& group, Area area) : group_(group), area_(area), order_(group.objects.size()) {
    for (const CocoObject* o : group.objects) ignored_.push_back(o->crowd || outside(o->area, area));
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return ignored_[a] < ignored_[b]; });
  }

  size_t counted() const { return static_cast<size_t>(std::count(ignored_.begin(), ignored_.end(), false)); }

  void match(std::vector<Outcome>& outcomes) const {
    const size_t first = outcomes.size();
    for (size_t d = 0; d < group_.detections.size(); ++d)
      outcomes.push_back({.score = group_.detections[d]->score, .rank = d});
    for (size_t t = 0; t < kThresholds; ++t) match_at(t, std::span(outcomes).subspan(first));
  }

 private:
  static constexpr size_t kNothing = std::numeric_limits<size_t>::max();

  void match_at(size_t t, std::span<Outcome> outcomes) const {
    std::vector<bool> taken(group_.objects.size());
    for (size_t d = 0; d < outcomes.size(); ++d) {
      const size_t g = best_object(d, iou_threshold(t), taken);
      if (g != kNothing) {
        taken[g] = true;
        outcomes[d].ignored[t] = ignored_[g];
        // pycocotools takes a match with the annotation of id 0 for none; so do we, to give its numbers.
        outcomes[d].matched[t] = group_.objects[g]->id != 0;
      }
      const CocoBox& box = group_.detections[d]->box;
      if (!outcomes[d].matched[t] && outside(box.w * box.h, area_)) outcomes[d].ignored[t] = true;
    }
  }

  size_t best_object(size_t d, double threshold, const std::vector<bool>& taken) const {
    double best_iou = std::min(threshold, 1 - 1e-10);
    size_t best = kNothing;
    for (size_t g : order_) {
      if (taken[g] && !group_.objects[g]->crowd) continue;
      if (best != kNothing && !ignored_[best] && ignored_[g]) break;
      const double value = group_.ious[d * group_.objects.size() + g];
      if (value < best_iou) continue;
      best_iou = value;
      best = g;
    }
    return best;
  }

  const Group& group_;
  Area area_;
  std::vector<bool> ignored_;
  std::vector<size_t> order_;
};

// Sums of what COCOeval.summarize averages.
struct Sum {
  double total = 0;
  int64_t count = 0;
  void add(double value, int64_t times = 1) {
    total += value;
    count += times;
  }
  double mean() const { return count ? total / static_cast<double>(count) : -1; }
};

struct Sums {
  std::array<std::array<Sum, kThresholds>, kAreas> precision;  // with 100 detections
  std::array<std::array<Sum, kLimits.size()>, kAreas> recall;
};

struct Curve {
  double precision_sum = 0;  // over the recall levels
  double recall = 0;
};

Curve curve(std::span<const Outcome* const> outcomes, size_t t, size_t counted) {
  std::vector<double> recall, precision;
  double tp = 0, fp = 0;
  for (const Outcome* o : outcomes) {
    if (!o->ignored[t]) (o->matched[t] ? tp : fp) += 1;
    recall.push_back(tp / static_cast<double>(counted));
    precision.push_back(tp / (fp + tp + std::numeric_limits<double>::epsilon()));
  }
  for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  Curve result{0, recall.empty() ? 0 : recall.back()};
  for (size_t r = 0; r < kRecalls; ++r) {
    auto at = std::lower_bound(recall.begin(), recall.end(), recall_level(r)) - recall.begin();
    if (at < static_cast<std::ptrdiff_t>(precision.size())) result.precision_sum += precision[static_cast<size_t>(at)];
  }
  return result;
}

// One class at one area range, its pictures by id.
void add_class(std::span<const Group* const> groups, Area area, Sums& sums) {
  std::vector<Outcome> outcomes;
  size_t counted = 0;
  for (const Group* group : groups) {
    Matcher matcher(*group, area);
    counted += matcher.counted();
    matcher.match(outcomes);
  }
  if (counted == 0) return;
  for (size_t m = 0; m < kLimits.size(); ++m) {
    std::vector<const Outcome*> order;
    for (const Outcome& o : outcomes)
      if (o.rank < kLimits[m]) order.push_back(&o);
    std::stable_sort(order.begin(), order.end(),
                     [](const Outcome* a, const Outcome* b) { return a->score > b->score; });
    for (size_t t = 0; t < kThresholds; ++t) {
      const Curve c = curve(order, t, counted);
      sums.recall[area][m].add(c.recall);
      if (kLimits[m] == kMaxDetections) sums.precision[area][t].add(c.precision_sum, kRecalls);
    }
  }
}

double mean_precision(const std::array<Sum, kThresholds>& sums) {
  Sum all;
  for (const Sum& s : sums) all.add(s.total, s.count);
  return all.mean();
}

CocoResult summarize(const Sums& s) {
  const auto& p = s.precision;
  const auto& r = s.recall;
  return {.ap = mean_precision(p[kAll]),
          .ap50 = p[kAll][0].mean(),
          .ap75 = p[kAll][5].mean(),
          .ap_small = mean_precision(p[kSmall]),
          .ap_medium = mean_precision(p[kMedium]),
          .ap_large = mean_precision(p[kLarge]),
          .ar_1 = r[kAll][0].mean(),
          .ar_10 = r[kAll][1].mean(),
          .ar_100 = r[kAll][2].mean(),
          .ar_small = r[kSmall][2].mean(),
          .ar_medium = r[kMedium][2].mean(),
          .ar_large = r[kLarge][2].mean()};
}

Status check(const CocoLabels& labels, std::span<const CocoDetection> detections) {
  std::set<int64_t> images;
  for (const CocoImage& image : labels.images) images.insert(image.id);
  for (const CocoDetection& d : detections) {
    if (!images.count(d.image_id)) return invalid_argument("detections: image_id {} is not in the labels", d.image_id);
    if (!std::isfinite(d.score + d.box.x + d.box.y + d.box.w + d.box.h))
      return invalid_argument("detections: expected finite numbers, found another for image_id {}", d.image_id);
  }
  return {};
}

}  // namespace

Result<CocoResult> evaluate(const CocoLabels& labels, std::span<const CocoDetection> detections) {
  FOVEA_TRY(check(labels, detections));
  const Groups groups = make_groups(labels, detections);
  Sums sums;
  for (auto it = groups.begin(); it != groups.end();) {
    std::vector<const Group*> of_class;
    for (const int64_t category = it->first.first; it != groups.end() && it->first.first == category; ++it)
      of_class.push_back(&it->second);
    for (size_t area = 0; area < kAreas; ++area) add_class(of_class, static_cast<Area>(area), sums);
  }
  return summarize(sums);
}

}  // namespace fovea::core
