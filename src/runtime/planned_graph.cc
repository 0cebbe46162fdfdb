#include "runtime/planned_graph.h"

#include <cmath>

namespace fovea::core {

PlannedGraph::PlannedGraph(const Graph& graph, std::vector<Recipe> recipes, TimingCache timings, CacheLimits limits,
                           LogSink log, std::function<void()> release_masters, std::shared_ptr<Device> device)
    : graph_(graph),
      recipes_(std::move(recipes)),
      timings_(std::move(timings)),
      limits_(limits),
      log_(std::move(log)),
      release_masters_(release_masters),
      device_(std::move(device)),
      weights_(std::move(release_masters)) {}

Result<std::shared_ptr<const Specialisation>> PlannedGraph::specialise(std::span<const std::vector<int64_t>> shapes,
                                                                       int threads) {
  if (shapes.size() != graph_.inputs.size())
    return invalid_argument("the model has {} inputs, {} shapes were given", graph_.inputs.size(), shapes.size());
  FOVEA_TRY_SET(SymbolValues symbols, bind_inputs(graph_, shapes));
  return specialise(symbols, threads);
}

Result<std::shared_ptr<const Specialisation>> PlannedGraph::specialise(const SymbolValues& symbols, int threads) {
  if (threads < 1) return invalid_argument("threads: expected at least 1, found {}", threads);
  std::string key = std::to_string(threads);
  for (const auto& [name, value] : symbols) key += fmt::format(" {}={}", name, value);
  if (auto cached = find(key)) return cached;
  std::lock_guard making(making_);
  if (auto cached = find(key)) return cached;  // another thread made it meanwhile
  const Recipe* recipe = nearest(symbols);
  Banned banned;
  while (true) {
    FOVEA_TRY_SET(std::shared_ptr<const Plan> plan, plan_for({recipe, banned}, symbols, threads));
    std::vector<Specialisation::Refusal> refusals;
    auto made = Specialisation::make(std::move(plan), symbols, threads, weights_, refusals, device_.get());
    if (made.ok()) {
      remember(key, *made);
      if (release_masters_) release_masters_();
      return *made;
    }
    // Kernels that served the profile do not serve these sizes: choose again without them.
    const size_t before = banned.size();
    for (const auto& r : refusals) banned.try_emplace({r.position, r.kernel}, "refused such sizes");
    if (banned.size() == before) return made.status();
    if (log_)
      log_(LogLevel::kDebug,
           fmt::format("{}: choosing other kernels for {} groups", made.status().message(), banned.size() - before));
  }
}

std::shared_ptr<const Specialisation> PlannedGraph::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->key != key) continue;
    entries_.splice(entries_.begin(), entries_, it);
    return it->value;
  }
  return nullptr;
}

const Recipe* PlannedGraph::nearest(const SymbolValues& symbols) const {
  const Recipe* best = nullptr;
  double best_distance = 0;
  for (const Recipe& r : recipes_) {
    double distance = 0;
    for (const auto& [name, value] : symbols)
      if (auto it = r.profile.find(name); it != r.profile.end())
        distance +=
            std::fabs(std::log(static_cast<double>(value) / static_cast<double>(std::max<int64_t>(it->second, 1))));
    if (!best || distance < best_distance) best = &r, best_distance = distance;
  }
  return best;
}

Result<std::shared_ptr<const Plan>> PlannedGraph::plan_for(const PlanKey& key, const SymbolValues& symbols,
                                                           int threads) {
  if (auto it = plans_.find(key); it != plans_.end()) return it->second;
  const auto& [recipe, banned] = key;
  Assignment assignment;
  if (recipe && banned.empty()) {
    FOVEA_TRY_SET(assignment, from_recipe(graph_, *recipe, device_.get()));
  } else {
    Timer timer(timings_, threads, /*enabled=*/false);
    ChooseOptions options;
    options.threads = threads, options.banned = banned, options.prefer = recipe;
    options.device = device_.get();
    FOVEA_TRY_SET(assignment, choose(graph_, symbols, timer, weights_, options));
  }
  FOVEA_TRY_SET(Plan plan, build_plan(graph_, std::move(assignment)));
  return plans_[key] = std::make_shared<const Plan>(std::move(plan));
}

void PlannedGraph::remember(const std::string& key, std::shared_ptr<const Specialisation> value) {
  std::lock_guard lock(mutex_);
  entries_.push_front({key, std::move(value)});
  int64_t bytes = 0;
  int count = 0;
  for (auto it = entries_.begin(); it != entries_.end();) {
    bytes += it->value->bytes();
    // The newest always stays; contexts keep what they use alive themselves.
    if (++count > 1 && (count > limits_.specialisations || bytes > limits_.bytes)) it = entries_.erase(it);
    else ++it;
  }
}

}  // namespace fovea::core
