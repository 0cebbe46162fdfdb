#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "bench.h"

namespace fovea::core::tool {
namespace {

constexpr int kMostContexts = 4;

// The largest batch that the engine was compiled for, or 1.
int64_t largest_profile(LoadedEngine& engine, const Dim& axis) {
  int64_t largest = 1;
  for (const EngineTarget& target : engine.data().targets)
    for (const Recipe& recipe : target.recipes)
      if (auto it = recipe.profile.find(axis.symbol()->name); it != recipe.profile.end())
        largest = std::max(largest, it->second);
  return largest;
}

// As --batch has them, else powers of two up to the largest profile, and that.
std::vector<int64_t> batches_of(const BenchOptions& o, LoadedEngine& engine, const RunSizes& sizes) {
  std::vector<int64_t> batches = o.batches;
  const Dim* axis = batch_axis(engine.main().graph(), sizes.card_or_null());
  if (batches.empty() && axis && axis->op() == ExprOp::kSymbol) {
    const int64_t most = largest_profile(engine, *axis);
    for (int64_t b = 1; b < most; b *= 2)
      if (b >= axis->lo()) batches.push_back(b);
    batches.push_back(most);
  }
  if (batches.empty()) batches.push_back(0);  // what the engine has
  std::ranges::sort(batches);
  batches.erase(std::ranges::unique(batches).begin(), batches.end());
  return batches;
}

nlohmann::ordered_json to_json(const Measured& m) {
  return {{"batch", m.batch},        {"contexts", m.contexts},       {"images_per_second", m.images_per_second()},
          {"median_ms", m.median()}, {"p90_ms", m.percentile(90)},   {"p99_ms", m.percentile(99)},
          {"runs", m.times.size()},  {"devices", to_json(m.watched)}};
}

const Measured& find_best(std::span<const Measured> all) {
  return *std::ranges::max_element(all, {}, &Measured::images_per_second);
}

// The fewest pictures in flight that reach the share; of several the one that answers soonest.
const Measured& find_knee(std::span<const Measured> all) {
  const double enough = kKneeShare * find_best(all).images_per_second();
  const Measured* knee = nullptr;
  const auto cost = [](const Measured& m) { return std::pair(m.batch * m.contexts, m.median()); };
  for (const Measured& m : all)
    if (m.images_per_second() >= enough && (!knee || cost(m) < cost(*knee))) knee = &m;
  return *knee;
}

void print_row(const Measured& m) {
  std::printf("%7lld %9d %12.1f %10.2f %10.2f %10.2f %8zu\n", static_cast<long long>(m.batch), m.contexts,
              m.images_per_second(), m.median(), m.percentile(90), m.percentile(99), m.times.size());
  std::fflush(stdout);
}

}  // namespace

Status sweep(const BenchOptions& o, const Engines& engines) {
  FOVEA_TRY_SET(const RunSizes usual, choose_sizes(*engines[0], o.shapes, 0));
  std::vector<Measured> all;
  std::printf("%7s %9s %12s %10s %10s %10s %8s\n", "batch", "contexts", "images/s", "median ms", "p90 ms", "p99 ms",
              "runs");
  for (const int64_t batch : batches_of(o, *engines[0], usual)) {
    FOVEA_TRY_SET(const RunSizes sizes, choose_sizes(*engines[0], o.shapes, batch));
    for (int contexts = 1; contexts <= kMostContexts; ++contexts) {
      auto callers = make_callers(o, engines, sizes, {}, contexts);
      if (!callers.ok() && callers.status().kind() == ErrorKind::kSystem && !all.empty()) {
        Progress::clear();
        std::printf("%7lld %9d %s\n", static_cast<long long>(sizes.batch), contexts,
                    callers.status().message().c_str());
        break;  // more contexts need more of what there is too little of
      }
      FOVEA_TRY(callers.status());
      FOVEA_TRY_SET(Measured m, measure(o, engines, *callers, sizes, contexts));
      print_row(m);
      all.push_back(std::move(m));
    }
  }
  const Measured &best = find_best(all), &knee = find_knee(all);
  std::printf(
      "knee: batch %lld with %d contexts, %.1f images/s, a batch in %.2f ms: %.0f %% of the best, which is %.1f "
      "images/s with batch %lld and %d contexts\n",
      static_cast<long long>(knee.batch), knee.contexts, knee.images_per_second(), knee.median(),
      100 * knee.images_per_second() / best.images_per_second(), best.images_per_second(),
      static_cast<long long>(best.batch), best.contexts);
  if (o.json.empty()) return {};
  nlohmann::ordered_json json{
      {"engine", o.engine},       {"device", o.device},    {"memory", o.memory},   {"threads", engines[0]->threads()},
      {"knee_share", kKneeShare}, {"knee", to_json(knee)}, {"best", to_json(best)}};
  for (const Measured& m : all) json["sweep"].push_back(to_json(m));
  return write_file(o.json, json.dump(1) + "\n");
}

}  // namespace fovea::core::tool
