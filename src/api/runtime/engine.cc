#include <fovea/engine.h>

#include "api/bridge.h"
#include "api/runtime/device_impl.h"
#include "api/runtime/engine_impl.h"

namespace fovea {
namespace {

TensorInfo describe(const core::Value& v, const std::string& name) {
  TensorInfo info{name, static_cast<ElementType>(v.dtype), {}, {}};
  for (const core::Dim& d : v.shape) {
    info.shape.push_back(d.is_const() ? d.int_value() : -1);
    info.symbolic.push_back(d.str());
  }
  return info;
}

}  // namespace

Engine Engine::open(const std::string& path, const EngineOptions& options) {
  return edge([&] {
    core::LoadOptions load;
    load.device = inner(options.device);
    load.threads = options.threads, load.timing_cache = options.timing_cache;
    load.limits.specialisations = options.max_specialisations;
    load.limits.bytes = options.max_specialisation_bytes;
    load.log = log_sink(options.log);
    Engine e;
    e.impl_ = std::make_shared<Impl>();
    e.impl_->engine = take(core::LoadedEngine::open(path, load));
    return e;
  });
}

std::vector<TensorInfo> Engine::inputs() const {
  return edge([&] {
    std::vector<TensorInfo> out;
    for (const core::Value* v : opened(*this)->main().graph().inputs) out.push_back(describe(*v, v->name));
    return out;
  });
}

std::vector<TensorInfo> Engine::outputs() const {
  return edge([&] {
    std::vector<TensorInfo> out;
    const core::Graph& g = opened(*this)->main().graph();
    for (size_t i = 0; i < g.outputs.size(); ++i) out.push_back(describe(*g.outputs[i], g.output_names[i]));
    return out;
  });
}

int Engine::threads() const {
  return edge([&] { return opened(*this)->threads(); });
}
std::string Engine::replanned() const {
  return edge([&] { return opened(*this)->replanned(); });
}
std::string Engine::fovea_version() const {
  return edge([&] { return opened(*this)->data().fovea_version; });
}
std::string Engine::git_hash() const {
  return edge([&] { return opened(*this)->data().git_hash; });
}
std::string Engine::source_name() const {
  return edge([&] { return opened(*this)->data().source_name; });
}
bool Engine::has_card() const {
  return edge([&] { return !opened(*this)->data().card.empty(); });
}
std::string Engine::card() const {
  return edge([&] { return opened(*this)->data().card; });
}

}  // namespace fovea
