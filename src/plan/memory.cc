// Placement of buffers in one arena: largest first, each in the smallest gap that its neighbours in time leave; then in
// other orders, until no less is possible.
#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <span>

#include "plan/plan.h"

namespace fovea::core {
namespace {

struct Extent {
  int64_t begin, end;
};

// May `to` reach into `from`, which ends where it begins?
bool reaches(const std::vector<Interval>& intervals, size_t to, size_t from) {
  return intervals[from].reached_by == static_cast<int>(to) && intervals[from].last == intervals[to].first;
}

// What of the placed interval `other` is taken as `mine` sees it.
Extent taken_by(const std::vector<Interval>& intervals, size_t other, size_t mine) {
  const Interval& o = intervals[other];
  const Extent all{o.offset, o.offset + placed(o.bytes)};
  if (reaches(intervals, other, mine))  // mine is read: it begins behind the lead
    return {all.begin, std::min(all.end, o.offset + placed(intervals[mine].lead))};
  // Mine is written: it ends so far inside, but leaves something taken, so that it does not begin there.
  if (reaches(intervals, mine, other))
    return {std::clamp(o.offset - placed(o.lead) + placed(intervals[mine].bytes), all.begin, all.end - 1), all.end};
  return all;
}

// Where it would lie as close as can be to the one that it reaches into; -1: there is none.
int64_t close_to_its_input(const std::vector<Interval>& intervals, std::span<const size_t> before, size_t mine) {
  for (size_t k : before)
    if (reaches(intervals, mine, k)) return intervals[k].offset - placed(intervals[k].lead);
  return -1;
}

int64_t place_in_order(std::vector<Interval>& intervals, std::span<const size_t> order) {
  int64_t total = 0;
  for (size_t n = 0; n < order.size(); ++n) {
    const auto before = order.first(n);
    Interval& mine = intervals[order[n]];
    const int64_t size = placed(mine.bytes);
    std::vector<Extent> taken;  // of those alive together with this one
    for (size_t k : before)
      if (const Interval& o = intervals[k]; o.first <= mine.last && mine.first <= o.last && o.bytes > 0)
        taken.push_back(taken_by(intervals, k, order[n]));
    std::ranges::sort(taken, {}, &Extent::begin);
    int64_t at = 0, best = -1, best_gap = INT64_MAX;
    for (const auto [begin, end] : taken) {
      if (begin - at >= size && begin - at < best_gap) best = at, best_gap = begin - at;
      at = std::max(at, end);
    }
    mine.offset = best >= 0 ? best : at;
    const int64_t close = close_to_its_input(intervals, before, order[n]);
    if (close >= 0 && std::ranges::none_of(taken, [&](Extent e) { return e.begin < close + size && close < e.end; }))
      mine.offset = close;
    total = std::max(total, mine.offset + size);
  }
  return total;
}

using Order = std::vector<size_t>;

// Two that may overlap are placed one after the other, and then what is alive together with both, before others are in
// the way: the one that is written behind the one that is read, or in front of it. Of a chain the end comes first.
Order pairs_together(const std::vector<Interval>& intervals, Order order, bool written_first) {
  Order reached;
  for (size_t i = 0; i < intervals.size(); ++i)
    if (intervals[i].reached_by >= 0) reached.push_back(i);
  std::ranges::stable_sort(reached, std::greater(), [&](size_t i) { return intervals[i].last; });
  for (size_t i : reached) {
    const auto to = static_cast<size_t>(intervals[i].reached_by);
    const size_t moved = written_first ? i : to, anchor = written_first ? to : i;
    order.erase(std::ranges::find(order, moved));
    const auto behind = order.insert(std::ranges::find(order, anchor) + 1, moved) + 1;
    const int step = intervals[i].last;
    std::stable_partition(behind, order.end(),
                          [&](size_t k) { return intervals[k].first <= step && step <= intervals[k].last; });
  }
  return order;
}

}  // namespace

int64_t shared_bytes(const Interval& read, const Interval& written) {
  const int64_t in = placed(read.bytes), out = placed(written.bytes);
  return std::max<int64_t>(0, in + out - std::max(out, placed(read.lead) + in));
}

Fullest fullest(const std::vector<Interval>& intervals) {
  std::map<int, int64_t> change;
  for (const Interval& i : intervals) {
    change[i.first] += placed(i.bytes), change[i.last + 1] -= placed(i.bytes);
    if (i.reached_by < 0 || i.last != intervals[static_cast<size_t>(i.reached_by)].first) continue;
    const int64_t shared = shared_bytes(i, intervals[static_cast<size_t>(i.reached_by)]);
    change[i.last] -= shared, change[i.last + 1] += shared;
  }
  Fullest found;
  int64_t alive = 0;
  for (const auto& [position, bytes] : change)
    if (alive += bytes; alive > found.bytes) found = {position, alive};
  return found;
}

int64_t place(std::vector<Interval>& intervals, int64_t enough) {
  Order by_size(intervals.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::ranges::stable_sort(by_size, std::greater(), [&](size_t i) { return intervals[i].bytes; });
  std::vector<Order> orders = {by_size};
  if (std::ranges::any_of(intervals, [](const Interval& i) { return i.reached_by >= 0; }))
    for (const bool written_first : {true, false}) orders.push_back(pairs_together(intervals, by_size, written_first));
  // What came to lie on top has the first choice in the next attempt.
  constexpr int64_t kAttempts = 16, kComparisons = 200'000;
  const auto n = static_cast<int64_t>(intervals.size());
  const int64_t attempts = std::clamp<int64_t>(kComparisons / std::max<int64_t>(1, n * n), 1, kAttempts);
  const int64_t least = std::max(fullest(intervals).bytes, enough);
  std::vector<Interval> tried = intervals;
  int64_t best = INT64_MAX;
  for (Order& order : orders)
    for (int64_t i = 0; i < attempts && best > least; ++i) {
      const int64_t total = place_in_order(tried, order);
      if (total < best) best = total, intervals = tried;
      const auto top =
          std::ranges::find_if(order, [&](size_t k) { return tried[k].offset + placed(tried[k].bytes) == total; });
      if (top != order.end()) std::rotate(order.begin(), top, top + 1);
    }
  return best;
}

}  // namespace fovea::core
