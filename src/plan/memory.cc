// Placement of buffers in one arena: largest first, each at the lowest gap that its neighbours in time leave.
#include <algorithm>
#include <functional>
#include <numeric>
#include <span>

#include "plan/plan.h"

namespace fovea::core {
namespace {

int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

struct Extent {
  int64_t begin, end;
};

// May `to` reach into `from`, which ends where it begins? Not where somebody else uses either at that step, too.
bool reaches(const std::vector<Interval>& intervals, size_t to, size_t from) {
  return intervals[from].over == static_cast<int>(to) && intervals[from].last == intervals[to].first;
}

// What of the placed interval `other` is taken as `mine` sees it.
Extent taken_by(const std::vector<Interval>& intervals, size_t other, size_t mine) {
  const Interval& o = intervals[other];
  const Extent all{o.offset, o.offset + rounded(o.bytes)};
  if (reaches(intervals, other, mine))  // mine is read: it begins behind the lead
    return {all.begin, std::min(all.end, o.offset + rounded(intervals[mine].lead))};
  if (reaches(intervals, mine, other))  // mine is written: it ends so far inside
    return {std::clamp(o.offset - rounded(o.lead) + rounded(intervals[mine].bytes), all.begin, all.end - 1), all.end};
  return all;
}

// Where it would lie as close as can be to the one that it reaches into; -1: there is none.
int64_t close_to_its_input(const std::vector<Interval>& intervals, std::span<const size_t> placed, size_t mine) {
  for (size_t k : placed)
    if (reaches(intervals, mine, k)) return intervals[k].offset - rounded(intervals[k].lead);
  return -1;
}

int64_t place_in_order(std::vector<Interval>& intervals, std::span<const size_t> order) {
  int64_t total = 0;
  for (size_t n = 0; n < order.size(); ++n) {
    const auto placed = order.first(n);
    Interval& mine = intervals[order[n]];
    const int64_t size = rounded(mine.bytes);
    std::vector<Extent> taken;  // of those alive together with this one
    for (size_t k : placed)
      if (const Interval& o = intervals[k]; o.first <= mine.last && mine.first <= o.last && o.bytes > 0)
        taken.push_back(taken_by(intervals, k, order[n]));
    std::ranges::sort(taken, {}, &Extent::begin);
    int64_t at = 0, best = -1, best_gap = INT64_MAX;
    for (const auto [begin, end] : taken) {
      if (begin - at >= size && begin - at < best_gap) best = at, best_gap = begin - at;
      at = std::max(at, end);
    }
    mine.offset = best >= 0 ? best : at;
    const int64_t close = close_to_its_input(intervals, placed, order[n]);
    if (close >= 0 && std::ranges::none_of(taken, [&](Extent e) { return e.begin < close + size && close < e.end; }))
      mine.offset = close;
    total = std::max(total, mine.offset + size);
  }
  return total;
}

}  // namespace

int64_t place(std::vector<Interval>& intervals) {
  std::vector<size_t> by_size(intervals.size()), reached;
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return intervals[a].bytes > intervals[b].bytes; });
  int64_t best = place_in_order(intervals, by_size);
  for (size_t i = 0; i < intervals.size(); ++i)
    if (intervals[i].over >= 0) reached.push_back(i);
  if (reached.empty()) return best;
  // Two that may overlap are placed one after the other, and then what is alive together with both, before others are
  // in the way: the one that is written behind the one that is read, or in front of it. Of a chain the end comes first.
  std::ranges::stable_sort(reached, std::greater(), [&](size_t i) { return intervals[i].last; });
  for (const bool written_first : {true, false}) {
    std::vector<size_t> order = by_size;
    for (size_t i : reached) {
      const auto to = static_cast<size_t>(intervals[i].over);
      const size_t moved = written_first ? i : to, anchor = written_first ? to : i;
      order.erase(std::ranges::find(order, moved));
      const auto behind = order.insert(std::ranges::find(order, anchor) + 1, moved) + 1;
      const int step = intervals[i].last;
      std::stable_partition(behind, order.end(),
                            [&](size_t k) { return intervals[k].first <= step && step <= intervals[k].last; });
    }
    std::vector<Interval> tried = intervals;
    if (const int64_t total = place_in_order(tried, order); total < best) best = total, intervals = std::move(tried);
  }
  return best;
}

}  // namespace fovea::core
