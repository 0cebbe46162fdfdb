// Placement of buffers in one arena: largest first, each at the lowest gap that its neighbours in time leave.
#include <algorithm>
#include <numeric>

#include "plan/plan.h"

namespace fovea::core {

int64_t place(std::vector<Interval>& intervals) {
  std::vector<size_t> order(intervals.size()), placed;
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return intervals[a].bytes > intervals[b].bytes; });
  int64_t total = 0;
  for (size_t i : order) {
    Interval& mine = intervals[i];
    const int64_t size = (mine.bytes + 63) / 64 * 64;
    std::vector<std::pair<int64_t, int64_t>> taken;  // [begin, end) of those alive together with this one
    for (size_t k : placed) {
      const Interval& o = intervals[k];
      if (o.first <= mine.last && mine.first <= o.last)
        taken.emplace_back(o.offset, o.offset + (o.bytes + 63) / 64 * 64);
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
