// Placement of buffers in one arena: largest first, each at the lowest gap that its neighbours in time leave.
#include <algorithm>
#include <functional>
#include <numeric>

#include "plan/plan.h"

namespace fovea::core {

int64_t place(std::vector<Interval>& intervals) {
  std::vector<size_t> order(intervals.size()), placed;
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return intervals[a].bytes > intervals[b].bytes; });
  // Behind what it may be reached by, before others take that place.
  std::vector<size_t> behind;
  for (size_t i = 0; i < intervals.size(); ++i)
    if (intervals[i].over >= 0) behind.push_back(i);
  std::ranges::stable_sort(behind, std::greater(), [&](size_t i) { return intervals[i].last; });  // of a chain the end
  for (size_t i : behind) {
    order.erase(std::ranges::find(order, i));
    order.insert(std::ranges::find(order, static_cast<size_t>(intervals[i].over)) + 1, i);
  }
  int64_t total = 0;
  for (size_t i : order) {
    Interval& mine = intervals[i];
    const int64_t size = (mine.bytes + 63) / 64 * 64;
    std::vector<std::pair<int64_t, int64_t>> taken;  // [begin, end) of those alive together with this one
    for (size_t k : placed) {
      const Interval& o = intervals[k];
      if (o.first > mine.last || mine.first > o.last) continue;
      // Only while both are alive at one step alone, the one that reads this and writes the other.
      const bool over = mine.over >= 0 && k == static_cast<size_t>(mine.over) && mine.last == o.first;
      taken.emplace_back(o.offset, o.offset + ((over ? std::min(mine.lead, o.bytes) : o.bytes) + 63) / 64 * 64);
    }
    std::sort(taken.begin(), taken.end());
    int64_t at = 0, best = -1, best_gap = INT64_MAX;
    for (auto [begin, end] : taken) {
      if (begin - at >= size && begin - at < best_gap) best = at, best_gap = begin - at;
      at = std::max(at, end);
    }
    mine.offset = best >= 0 ? best : at;
    total = std::max(total, mine.offset + size);
    placed.push_back(i);
  }
  return total;
}

}  // namespace fovea::core
