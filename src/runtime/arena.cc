#include "runtime/arena.h"

#include <algorithm>
#include <set>

namespace fovea::core {
namespace {

constexpr int64_t kArenaLimit = int64_t{1} << 46;  // more than any machine has, and far from overflow when summed

size_t idx(int i) { return static_cast<size_t>(i); }

}  // namespace

ArenaLayout::ArenaLayout(Specialisation& s, Place place) : s_(s), plan_(*s.plan_), place_(place) {
  collect_buffers();
  collect_workspaces(plan_.run_steps);
}

void ArenaLayout::collect_buffers() {
  for (size_t b = 0; b < plan_.buffers.size(); ++b) {
    const PlanBuffer& buffer = plan_.buffers[b];
    if (buffer.last < 0 || buffer.shape_phase) continue;
    const PlanTensor& root = plan_.tensors[idx(buffer.tensor)];
    if (s_.places_[idx(buffer.tensor)].pool || root.format.place != place_) continue;
    const int64_t elements = storage_elements(root.format.layout, s_.sizes_->upper(root.shape));
    intervals_.push_back({buffer.first, buffer.last, dtype_bytes(root.dtype(), elements).value_or(0)});
    owner_.push_back({true, static_cast<int>(b)});
  }
}

void ArenaLayout::collect_workspaces(std::span<const Step> steps) {
  for (const Step& step : steps) {
    for (const auto& b : step.branches) collect_workspaces(b);
    const auto& kernel = s_.kernels_[idx(step.index)];
    if (!kernel || kernel->workspace_bytes() <= 0 || step.place != place_) continue;
    intervals_.push_back({step.position, step.position, kernel->workspace_bytes()});
    owner_.push_back({false, step.index});
  }
}

Status ArenaLayout::check_sizes() const {
  for (size_t i = 0; i < intervals_.size(); ++i)
    if (intervals_[i].bytes > kArenaLimit)
      return invalid_argument(
          "these sizes need {} bytes for {} alone", intervals_[i].bytes,
          owner_[i].is_buffer ? "'" + plan_.tensors[idx(plan_.buffers[idx(owner_[i].index)].tensor)].value->name + "'"
                              : "a kernel's workspace");
  return {};
}

Status ArenaLayout::run(std::vector<int64_t>& offset) {
  FOVEA_TRY(check_sizes());
  int64_t bytes = place_overlapping();
  if (place_ == Place::kDevice) bytes = place_beside(bytes);
  note_shared();
  s_.arena_bytes_[static_cast<size_t>(place_)] = bytes;
  for (size_t i = 0; i < intervals_.size(); ++i) {
    if (owner_[i].is_buffer) offset[idx(owner_[i].index)] = intervals_[i].offset;
    else s_.workspaces_[idx(owner_[i].index)] = intervals_[i].offset;
  }
  return {};
}

// ---- outputs that reach into inputs

// Where that lets everything do with less: at the steps with the most in use, as far as their kernels can.
int64_t ArenaLayout::place_overlapping() {
  std::vector<Interval> tried = intervals_;
  bool any = false;
  for (bool more = true; more; any |= more) {
    const int position = fullest(tried).position;
    const auto at = std::ranges::find_if(plan_.run_steps, [&](const Step& step) {
      return step.position == position && step.place == place_ && step.kind == Step::Kind::kGroup;
    });
    more = at != plan_.run_steps.end() && let_overlap(*at, tried);
  }
  const int64_t apart = place(intervals_);
  if (!any) return apart;
  const int64_t together = place(tried);
  if (together >= apart) return apart;
  intervals_ = std::move(tried);
  return together;
}

// The step's output 0 may reach into its input 0, which it is the last to read. False: it may not.
bool ArenaLayout::let_overlap(const Step& step, std::vector<Interval>& intervals) const {
  const PreparedKernel* kernel = s_.kernel(step);
  const int64_t lead = kernel ? kernel->overlap_lead() : -1;
  if (lead < 0 || step.inputs.empty()) return false;
  const int in = interval_of(step.inputs[0]), out = interval_of(step.outputs[0]);
  if (in < 0 || out < 0 || in == out) return false;
  const auto reads_it = [&](int t) { return t >= 0 && plan_.tensors[idx(t)].buffer == owner_[idx(in)].index; };
  Interval& from = intervals[idx(in)];
  if (from.last != step.position || intervals[idx(out)].first != step.position || from.reached_by >= 0 ||
      std::ranges::count_if(step.inputs, reads_it) > 1)
    return false;
  from.reached_by = out, from.lead = lead;
  return true;
}

// Of the buffer that begins with the tensor; -1: it is no such one.
int ArenaLayout::interval_of(int tensor) const {
  if (tensor < 0) return -1;
  const PlanTensor& t = plan_.tensors[idx(tensor)];
  if (t.home != PlanTensor::Home::kBuffer || s_.places_[idx(tensor)].element_offset != 0) return -1;
  const auto it = std::ranges::find_if(owner_, [&](const Owner& o) { return o.is_buffer && o.index == t.buffer; });
  return it == owner_.end() ? -1 : static_cast<int>(it - owner_.begin());
}

// By the step that reads the one and writes the other.
void ArenaLayout::note_shared() {
  for (const Interval& from : intervals_) {
    if (from.reached_by < 0) continue;
    const Interval& to = intervals_[idx(from.reached_by)];
    const int64_t end = to.offset + placed(to.bytes);
    if (to.offset > from.offset || end <= from.offset) continue;
    const auto step = std::ranges::find(plan_.run_steps, from.last, &Step::position);
    s_.shared_[idx(step->index)] = std::min(placed(from.bytes), end - from.offset);
  }
}

// ---- steps beside others

// Where that takes no more memory: all that can, or as many of the first kMostTried as there is room for, some from a
// later step on than they could or not beyond their turn.
int64_t ArenaLayout::place_beside(int64_t least) {
  constexpr size_t kMostTried = 64;
  int64_t bytes = least;
  const auto fits = [&](std::vector<Interval>& tried) {
    if (fullest(tried).bytes > least) return false;
    const int64_t needed = place(tried, least);
    if (needed > least) return false;
    intervals_ = std::move(tried), bytes = needed;
    return true;
  };
  std::vector<const Step*> steps;
  std::vector<Interval> all = intervals_;
  for (const Step& step : plan_.run_steps)
    if (step.before >= 0) {
      steps.push_back(&step);
      lengthen(step, {step.after, step.before}, all);
    }
  if (steps.empty()) return bytes;
  if (fits(all)) {
    for (const Step* step : steps) s_.windows_[idx(step->index)] = {step->after, step->before};
    return bytes;
  }
  for (const Step* step : std::span(steps).first(std::min(steps.size(), kMostTried)))
    for (const Window& window : windows_of(*step)) {
      std::vector<Interval> tried = intervals_;
      lengthen(*step, window, tried);
      if (!fits(tried)) continue;
      s_.windows_[idx(step->index)] = window;
      break;
    }
  return bytes;
}

// What a step touches that runs beside others is its own for as long as it may run.
void ArenaLayout::lengthen(const Step& step, Window window, std::vector<Interval>& intervals) const {
  std::set<int> buffers;
  for (const auto* list : {&step.inputs, &step.outputs})
    for (int t : *list)
      if (t >= 0 && plan_.tensors[idx(t)].home == PlanTensor::Home::kBuffer)
        buffers.insert(plan_.tensors[idx(t)].buffer);
  for (size_t i = 0; i < intervals.size(); ++i) {
    if (owner_[i].is_buffer ? !buffers.contains(owner_[i].index) : owner_[i].index != step.index) continue;
    intervals[i].first = std::min(intervals[i].first, window.after + 1);
    intervals[i].last = std::max(intervals[i].last, window.before - 1);
    intervals[i].reached_by = -1;  // it may be read until then
  }
}

// In which a step may run beside others: from one of the first positions that it can begin behind, and up to where its
// result is wanted, or to its turn; those in which there is anybody to run beside.
std::vector<ArenaLayout::Window> ArenaLayout::windows_of(const Step& step) const {
  constexpr size_t kMost = 4;
  std::vector<int> begin = {step.after};
  for (const Step& s : plan_.run_steps)
    if (begin.size() < kMost && s.position > step.after && s.position < step.position) begin.push_back(s.position);
  const auto anybody = [&](Window w) {
    return std::ranges::any_of(plan_.run_steps, [&](const Step& s) {
      return &s != &step && s.position > w.after && s.position < w.before && s.place == place_ &&
             s.kind == Step::Kind::kGroup && !s_.beside(s);
    });
  };
  std::vector<Window> windows;
  for (int after : begin)
    for (int before : {step.before, step.position + 1})
      if (anybody({after, before})) windows.push_back({after, before});
  return windows;
}

}  // namespace fovea::core
