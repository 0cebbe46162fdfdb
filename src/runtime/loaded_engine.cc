#include "runtime/loaded_engine.h"

#include <algorithm>

#include "backends/cpu/target.h"

namespace fovea::core {
namespace {

// The recipes made for this machine, or none and why.
std::vector<Recipe> fitting_recipes(const EngineData& data, const Graph& graph, const Device* device,
                                    std::string& why) {
  const Target here = device ? device->target() : cpu_target();
  if (data.targets.empty()) why = "the engine holds no recipe";
  for (const EngineTarget& t : data.targets) {
    if (t.device != here.device || t.features != here.features)
      why = fmt::format("its recipe was made on '{}' ({}), this is '{}' ({})", t.device, t.features, here.device,
                        here.features);
    else if (t.libraries != here.libraries)
      why = fmt::format("its recipe was made with {}, here is {}", t.libraries, here.libraries);
    else if (t.build != here.build)
      why = fmt::format("its recipe was made by fovea {}, this is {}", t.build, here.build);
    else {
      for (const Recipe& r : t.recipes)
        if (auto a = from_recipe(graph, r, device); !a.ok()) {
          why = "its recipe does not fit: " + a.status().message();
          return {};
        }
      why.clear();
      return t.recipes;
    }
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<LoadedEngine>> LoadedEngine::open(const std::string& path, const LoadOptions& options) {
  FOVEA_TRY_SET(EngineData data, read_engine(path));
  return from(std::move(data), options);
}

Result<std::shared_ptr<LoadedEngine>> LoadedEngine::from(EngineData data, const LoadOptions& options) {
  if (options.threads < 0)
    return invalid_argument("threads: expected 0 (all cores) or more, found {}", options.threads);
  if (options.limits.specialisations < 1)
    return invalid_argument("specialisations to keep: expected at least 1, found {}", options.limits.specialisations);
  if (options.limits.bytes < 0)
    return invalid_argument("bytes of specialisations to keep: expected at least 0, found {}", options.limits.bytes);
  std::shared_ptr<LoadedEngine> e(new LoadedEngine);
  e->data_ = std::move(data);
  e->log_ = options.log;
  e->threads_ = options.threads > 0 ? options.threads : hardware_threads();
  TimingCache timings;
  if (!options.timing_cache.empty()) FOVEA_TRY(timings.load(options.timing_cache));
  e->device_ = options.device;
  std::vector<Recipe> recipes = fitting_recipes(e->data_, *e->data_.graph, e->device_.get(), e->replanned_);
  if (!e->replanned_.empty() && options.log)
    options.log(LogLevel::kWarning, fmt::format("planning anew for this machine: {}", e->replanned_));
  std::function<void()> release;
  if (e->data_.file) release = [file = e->data_.file] { file->release_pages(); };
  e->main_ = std::make_unique<PlannedGraph>(*e->data_.graph, std::move(recipes), timings, options.limits, options.log,
                                            std::move(release), e->device_);
  if (e->data_.preprocess) {
    CacheLimits limits = options.limits;
    // One for each size of pictures: a few kilobytes, while freeing a device's memory waits for all of its streams.
    if (e->device_) limits.specialisations = std::max(limits.specialisations, 1024);
    e->preprocess_ = std::make_unique<PlannedGraph>(*e->data_.preprocess, std::vector<Recipe>{}, std::move(timings),
                                                    limits, options.log, nullptr, e->device_);
  }
  return e;
}

}  // namespace fovea::core
