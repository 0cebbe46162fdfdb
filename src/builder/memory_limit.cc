#include "builder/memory_limit.h"

#include <algorithm>

namespace fovea::core {
namespace {

// Adds up what is packed, and keeps nothing.
class CountingWeights final : public PackedWeights {
 public:
  std::shared_ptr<void> find(const std::string&) override { return nullptr; }
  std::shared_ptr<void> put(const std::string&, std::shared_ptr<void> packed, int64_t bytes) override {
    total += bytes;
    return packed;
  }
  int64_t total = 0;
};

std::string megabytes(int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

std::string formats_key(const FormatChoice& formats) {
  std::string s;
  for (const auto* list : {&formats.inputs, &formats.outputs})
    for (const Format& f : *list) s += to_string(f) + " ";
  return s;
}

const CandidateNote* note_of_chosen(const GroupChoice& c) {
  for (const CandidateNote& n : c.candidates)
    if (n.ms >= 0 && n.row == c.row && n.choice == c.formats) return &n;
  return nullptr;
}

// Other kernels for the same nodes.
template <typename F>
void each_alternative(const GroupChoice& c, F&& f) {
  for (const CandidateNote& n : c.candidates)
    if (n.ms >= 0 && n.row && n.row != c.row) f(n);
}

}  // namespace

MemoryLimit::MemoryLimit(int64_t bytes, const Graph& graph, int threads, Device* device)
    : bytes_(bytes), positions_(node_positions(graph)), threads_(threads), device_(device) {}

MemoryLimit::Key MemoryLimit::key(const GroupChoice& c) const {
  return {positions_.at(c.group.nodes.back()), std::string(c.row->name)};
}

Result<bool> MemoryLimit::lighten(const ProfileReport& report, const Sizes& sizes, ChooseOptions& options) {
  changed_ = false;
  if (!least_ || report.total_bytes() < least_->total_bytes()) least_ = report;
  int64_t excess = report.total_bytes() - bytes_;
  FOVEA_TRY(shrink_workspaces(report, /*may_ban=*/false, sizes, options, excess));
  if (excess > 0) FOVEA_TRY(shed_weights(report, sizes, options, excess));
  if (excess > 0 || !changed_) FOVEA_TRY(shrink_workspaces(report, /*may_ban=*/true, sizes, options, excess));
  return changed_;
}

// Made ready as a run would have it, once: kernels know what they take only then.
Result<MemoryLimit::Footprint> MemoryLimit::footprint(const GroupChoice& c, const KernelRow& row,
                                                      const FormatChoice& formats, const std::string& variant,
                                                      const Sizes& sizes) {
  std::string id =
      fmt::format("{} {} {} {}", positions_.at(c.group.nodes.back()), row.name, formats_key(formats), variant);
  for (const auto& [name, size] : sizes.values()) id += fmt::format(" {}={}", name, size);
  if (auto it = known_.find(id); it != known_.end()) return it->second;
  CountingWeights weights;
  PrepareContext context = describe_group(c.group, formats, sizes, threads_, weights, device_);
  context.variant = variant;
  FOVEA_TRY_SET(auto kernel, row.prepare(context));
  return known_[id] = {weights.total, kernel->workspace_bytes()};
}

// A kernel that was told how much it has and still takes more has nothing smaller.
bool MemoryLimit::can_shrink(const GroupChoice& c, int64_t workspace, const ChooseOptions& options) const {
  if (!c.row->limits_workspace) return false;
  auto told = options.workspace_limits.find(key(c));
  return told == options.workspace_limits.end() || workspace <= told->second;
}

// The smallest workspace of the group's other candidates, if it is smaller than this one.
int64_t MemoryLimit::least_of_others(const GroupChoice& c, int64_t workspace, const Sizes& sizes) {
  int64_t least = workspace;
  each_alternative(c, [&](const CandidateNote& n) {
    auto f = footprint(c, *n.row, n.choice, n.variant, sizes);
    if (f.ok()) least = std::min(least, n.row->limits_workspace ? 0 : f->workspace);
  });
  return least;
}

// Brings the arenas down by as much as `excess`, which falls by what that should save.
Status MemoryLimit::shrink_workspaces(const ProfileReport& report, bool may_ban, const Sizes& sizes,
                                      ChooseOptions& options, int64_t& excess) {
  for (Place place : {Place::kHost, Place::kDevice}) {
    if (excess <= 0) break;
    const int64_t arena = report.memory.arena[static_cast<size_t>(place)];
    const int64_t buffers = report.memory.buffers[static_cast<size_t>(place)];
    int64_t peak = buffers, floor = buffers;
    std::vector<std::pair<const WorkspaceNeed*, int64_t>> needs;  // with what each can come down to
    for (const WorkspaceNeed& n : report.memory.workspaces) {
      if (n.place != place) continue;
      const GroupChoice& c = report.groups[static_cast<size_t>(n.choice)];
      const int64_t least = can_shrink(c, n.bytes, options) ? 0
                            : may_ban                       ? least_of_others(c, n.bytes, sizes)
                                                            : n.bytes;
      needs.emplace_back(&n, least);
      peak = std::max(peak, n.meanwhile + n.bytes), floor = std::max(floor, n.meanwhile + least);
    }
    const int64_t gaps = std::max<int64_t>(arena - peak, 0);  // that no order of placing avoided
    const int64_t target = std::max(arena - excess, floor + gaps);
    for (const auto& [need, least] : needs) {
      const int64_t room = std::max(target - gaps - need->meanwhile, least) / 64 * 64;
      if (need->bytes > room && need->bytes > least)
        FOVEA_TRY(make_do(report.groups[static_cast<size_t>(need->choice)], need->bytes, room, sizes, options));
    }
    excess -= std::max<int64_t>(arena - target, 0);
  }
  return {};
}

// With `room` bytes of workspace: the kernel is told, or another one has to.
Status MemoryLimit::make_do(const GroupChoice& c, int64_t workspace, int64_t room, const Sizes& sizes,
                            ChooseOptions& options) {
  if (can_shrink(c, workspace, options)) {
    int64_t& told = options.workspace_limits.try_emplace(key(c), kAnyWorkspace).first->second;
    changed_ |= room < told;
    told = std::min(told, room);
    return {};
  }
  FOVEA_TRY_SET(const Footprint f, footprint(c, *c.row, c.formats, c.variant, sizes));
  ban(c, f, options);
  return {};
}

// Those kernels go first that save most for the time they cost.
Status MemoryLimit::shed_weights(const ProfileReport& report, const Sizes& sizes, ChooseOptions& options,
                                 int64_t& excess) {
  struct Heavy {
    const GroupChoice* choice;
    Footprint takes;
    int64_t bytes;
    double bytes_per_ms;
  };
  std::vector<Heavy> heavy;
  for (const GroupChoice& c : report.groups) {
    const CandidateNote* chosen = c.row ? note_of_chosen(c) : nullptr;
    if (!chosen) continue;
    FOVEA_TRY_SET(const Footprint now, footprint(c, *c.row, c.formats, c.variant, sizes));
    if (now.weights == 0) continue;
    const CandidateNote* next = nullptr;
    int64_t lighter = 0;
    each_alternative(c, [&](const CandidateNote& n) {
      auto f = footprint(c, *n.row, n.choice, n.variant, sizes);
      if (f.ok() && f->weights < now.weights && (!next || n.ms < next->ms)) next = &n, lighter = f->weights;
    });
    if (!next) continue;
    const int64_t saved = now.weights - lighter;
    heavy.push_back({&c, now, saved, static_cast<double>(saved) / std::max(next->ms - chosen->ms, 1e-6)});
  }
  std::ranges::stable_sort(heavy, std::greater<>(), &Heavy::bytes_per_ms);
  for (const Heavy& h : heavy) {
    ban(*h.choice, h.takes, options);
    if ((excess -= h.bytes) <= 0) break;
  }
  return {};
}

void MemoryLimit::ban(const GroupChoice& c, const Footprint& takes, ChooseOptions& options) {
  const int64_t bytes = takes.weights + takes.workspace;
  const std::string why = fmt::format("its {} bytes of packed weights and workspace do not fit --memory-limit", bytes);
  if (!options.banned.try_emplace(key(c), why).second) return;
  banned_[key(c)] = bytes;
  changed_ = true;
}

void MemoryLimit::annotate(ProfileReport& report) const {
  report.memory_limit = bytes_;
  for (GroupChoice& c : report.groups)
    for (CandidateNote& n : c.candidates)
      if (auto it = banned_.find({positions_.at(c.group.nodes.back()), n.kernel}); n.ms < 0 && it != banned_.end())
        n.bytes = it->second;
}

Status MemoryLimit::over() const {
  const ProfileReport& r = *least_;
  const MemoryNeeds& m = r.memory;
  int64_t workspaces = 0;
  std::string largest;
  int64_t most = 0;
  for (size_t p = 0; p < 2; ++p) workspaces += m.arena[p] - std::min(m.arena[p], m.buffers[p]);
  for (const WorkspaceNeed& n : m.workspaces)
    if (n.bytes > most) {
      const GroupChoice& c = r.groups[static_cast<size_t>(n.choice)];
      most = n.bytes,
      largest = fmt::format(" (the largest: {} on {}, {} bytes)", c.row->name, c.group.nodes[0]->label(), n.bytes);
    }
  if (workspaces == 0) largest.clear();
  std::string sizes;
  for (const auto& [name, size] : r.profile) sizes += fmt::format("{}{}={}", sizes.empty() ? "" : ",", name, size);
  return invalid_argument(
      "--memory-limit: expected at least {} bytes ({}), found {}: with the smallest kernels profile {} needs {} for "
      "values, {} for workspaces{}, {} for packed weights, {} for inputs and outputs that change place and {} for "
      "constants and what depends on sizes alone",
      r.total_bytes(), megabytes(r.total_bytes()), bytes_, sizes.empty() ? "with fixed sizes" : sizes,
      megabytes(m.buffers[0] + m.buffers[1]), megabytes(workspaces), largest, megabytes(r.packed_weight_bytes),
      megabytes(m.staging), megabytes(m.shape_tensors));
}

}  // namespace fovea::core
