#include <fovea/engine.h>

#include <algorithm>
#include <cstring>

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

size_t bytes_of(const core::TensorRef& r) {
  return static_cast<size_t>(core::dtype_bytes(r.dtype, r.count()).value_or(0));
}

std::string name_of(const core::Device* device) { return device ? device->name() : "cpu"; }

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

struct Context::Impl {
  std::shared_ptr<core::LoadedEngine> engine;
  core::Executor executor;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
  std::vector<core::TensorRef> in, out;
  std::vector<std::shared_ptr<core::DeviceEvent>> events;  // used again when nobody holds them any more

  ~Impl() {
    if (executor.stream()) (void)executor.stream()->synchronize();  // it may still use this context's memory
  }

  // The shapes that the executor keeps ready, most recent first.
  struct Ready {
    std::vector<std::vector<int64_t>> shapes;
    std::shared_ptr<const core::Specialisation> specialisation;
    bool outputs_on_device = false;  // all of them, and their sizes are known before the run
  };
  std::vector<Ready> ready;

  static void look_at_plan(Ready& r) {
    const core::Plan& plan = r.specialisation->plan();
    r.outputs_on_device = true;
    for (int t : plan.outputs) {
      const core::PlanTensor& output = plan.tensors[static_cast<size_t>(t)];
      r.outputs_on_device &= output.format.place == core::Place::kDevice &&
                             output.home == core::PlanTensor::Home::kBuffer && !output.dynamic;
    }
  }

  // `shape(i)` is that of input i. Where these shapes are ready nothing is looked up or allocated.
  template <typename Shape>
  void bind(size_t inputs, Shape&& shape) {
    auto same = std::ranges::find_if(ready, [&](const Ready& r) {
      if (r.shapes.size() != inputs) return false;
      for (size_t i = 0; i < inputs; ++i)
        if (r.shapes[i] != shape(i)) return false;
      return true;
    });
    if (same == ready.end()) {
      Ready made;
      for (size_t i = 0; i < inputs; ++i) made.shapes.push_back(shape(i));
      made.specialisation = take(engine->main().specialise(made.shapes, engine->threads()));
      if (engine->device()) look_at_plan(made);
      if (executor.stream()) check(executor.stream()->synchronize());  // what it works on may be given up
      if (ready.size() == core::Executor::kKept) ready.pop_back();
      same = ready.insert(ready.end(), std::move(made));
    }
    std::rotate(ready.begin(), same, same + 1);
    check(executor.bind(ready[0].specialisation));
  }

  void set_inputs(std::span<const Tensor> inputs) {
    const core::Graph& g = engine->main().graph();
    if (inputs.size() != g.inputs.size())
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("expected {} inputs, found {}", g.inputs.size(), inputs.size()));
    in.resize(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      const core::Value& want = *g.inputs[i];
      const auto type = static_cast<core::DType>(inputs[i].type());
      if (type != want.dtype)
        throw Error(ErrorCode::kInvalidArgument, fmt::format("input '{}': expected {}, found {}", want.name,
                                                             core::to_string(want.dtype), core::to_string(type)));
      if (inputs[i].shape().size() > core::kMaxRank)
        throw Error(ErrorCode::kInvalidArgument,
                    fmt::format("input '{}': rank {}", want.name, inputs[i].shape().size()));
      check_device("input", want.name, inputs[i]);
      if (executor.writes_to(inputs[i].data(), inputs[i].bytes()))
        throw Error(ErrorCode::kInvalidArgument,
                    fmt::format("input '{}' lies in this context's own memory (is it an output of an earlier run?), "
                                "which the run overwrites: copy it first",
                                want.name));
      in[i] = core::TensorRef::dense_of(type, inputs[i].shape(), const_cast<void*>(inputs[i].data()));
    }
    bind(
        inputs.size(), [&](size_t i) -> const auto& { return inputs[i].shape(); });
  }

  void check_device(std::string_view what, const std::string& name, const Tensor& t) const {
    if (t.device().handle() && t.device().handle().get() != engine->device())
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("{} '{}' lies on {}, the engine runs on {}: copy it there, or to the host", what, name,
                              t.device().name(), name_of(engine->device())));
  }

  // Where the caller wants outputs: what can be said before the run.
  void check_outputs(std::span<const Tensor> outputs) const {
    const core::Graph& g = engine->main().graph();
    if (outputs.size() != g.outputs.size())
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("expected {} outputs, found {}", g.outputs.size(), outputs.size()));
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& to = outputs[i];
      const auto type = static_cast<core::DType>(to.type());
      if (to.read_only() || type != g.outputs[i]->dtype)
        throw Error(ErrorCode::kInvalidArgument,
                    fmt::format("output '{}': expected writable {} memory, found {}{}", g.output_names[i],
                                core::to_string(g.outputs[i]->dtype), to.read_only() ? "read-only " : "",
                                core::to_string(type)));
      check_device("output", g.output_names[i], to);
      if (executor.writes_to(to.data(), to.bytes()))
        throw Error(ErrorCode::kInvalidArgument,
                    fmt::format("output '{}' lies in this context's own memory (is it an output of an earlier run?): "
                                "give a tensor of your own",
                                g.output_names[i]));
      for (size_t k = 0; k < i; ++k)
        if (core::overlap(to.data(), to.bytes(), outputs[k].data(), outputs[k].bytes()))
          throw Error(ErrorCode::kInvalidArgument,
                      fmt::format("outputs '{}' and '{}' share memory: give each a tensor of its own",
                                  g.output_names[k], g.output_names[i]));
    }
  }

  // Nothing is written before all is known to fit. An output may take the memory of an input, which is read no more,
  // except where the network passes an input through: then a result would be overwritten before it is copied.
  void check_room(std::span<const Tensor> outputs) const {
    const core::Graph& g = engine->main().graph();
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& to = outputs[i];
      if (to.bytes() < bytes_of(out[i]))
        throw Error(ErrorCode::kInvalidArgument,
                    fmt::format("output '{}': expected writable {} memory of {} bytes, found {}", g.output_names[i],
                                core::to_string(out[i].dtype), bytes_of(out[i]), to.bytes()));
      for (size_t k = 0; k < out.size(); ++k)
        if (core::overlap(to.data(), to.bytes(), out[k].data, bytes_of(out[k])))
          throw Error(ErrorCode::kInvalidArgument,
                      fmt::format("output '{}' shares memory with an input that the network passes through as output "
                                  "'{}': give it a tensor of its own",
                                  g.output_names[i], g.output_names[k]));
    }
  }

  // set_inputs() and the run up to where it can be waited for, behind what `stream` has been asked for.
  void start(std::span<const Tensor> inputs, StreamHandle* stream = nullptr) {
    set_inputs(inputs);
    out.resize(engine->main().graph().outputs.size());
    if (stream) {
      const auto before = fresh_event();
      std::lock_guard lock(stream->mutex);
      check(stream->stream->record(*before));
      check(executor.stream()->wait_for(*before));
    }
    check(executor.enqueue(in));
  }

  void run(std::span<const Tensor> inputs) {
    start(inputs);
    check(executor.finish(out));
  }

  // The event is empty where all is over already.
  std::shared_ptr<core::DeviceEvent> run(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                                         StreamHandle* stream = nullptr) {
    check_outputs(outputs);
    start(inputs, stream);
    // Steps are observed, and checked, when they are over.
    const bool stays = ready[0].outputs_on_device && !executor.observer && !executor.check_finite;
    check(stays ? executor.finish_on_device(out) : executor.finish(out));
    check_room(outputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const core::TensorRef& r = out[i];
      if (const size_t bytes = bytes_of(r); bytes > 0) {
        if (stays || outputs[i].device().handle())
          check(executor.stream()->copy(outputs[i].data(), r.data, static_cast<int64_t>(bytes)));
        else std::memcpy(outputs[i].data(), r.data, bytes);
      }
      outputs[i].shape_.assign(r.shape().begin(), r.shape().end());
    }
    if (!engine->device()) return nullptr;
    if (!stream || !stays) {
      check(executor.stream()->synchronize());
      return nullptr;
    }
    auto over = fresh_event();
    check(executor.stream()->record(*over));
    std::lock_guard lock(stream->mutex);
    check(stream->stream->wait_for(*over));
    return over;
  }

  std::shared_ptr<core::DeviceEvent> fresh_event() {
    for (const auto& e : events)
      if (e.use_count() == 1) return e;
    events.push_back(take(engine->device()->create_event()));
    return events.back();
  }
};

Context::Context() = default;
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;
Context::~Context() = default;

Context Engine::create_context() const {
  return edge([&] {
    Context c;
    c.impl_ = std::make_unique<Context::Impl>();
    c.impl_->engine = opened(*this);
    return c;
  });
}

void Context::prepare(const std::vector<std::vector<int64_t>>& input_shapes) {
  take_turn(impl_, "Context", [&](Impl& impl) {
    impl.bind(
        input_shapes.size(), [&](size_t i) -> const auto& { return input_shapes[i]; });
  });
}

std::vector<Tensor> Context::run(std::span<const Tensor> inputs) {
  return take_turn(impl_, "Context", [&](Impl& impl) {
    impl.run(inputs);
    std::vector<Tensor> result;
    for (const core::TensorRef& r : impl.out) {
      std::vector<int64_t> shape(r.shape().begin(), r.shape().end());
      const size_t bytes = bytes_of(r);
      result.push_back(Tensor::borrow(static_cast<ElementType>(r.dtype), std::move(shape), r.data, bytes));
      // Constants, and inputs passed through, are not the caller's to write through this look.
      result.back().read_only_ = bytes > 0 && !impl.executor.writes_to(r.data, bytes);
    }
    return result;
  });
}

void Context::run(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  take_turn(impl_, "Context", [&](Impl& impl) { impl.run(inputs, outputs); });
}

Event Context::enqueue(std::span<const Tensor> inputs, std::span<Tensor> outputs, const Stream& stream) {
  return take_turn(impl_, "Context", [&](Impl& impl) {
    if (stream.device().handle().get() != impl.engine->device())
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("stream: expected one of {}, where the engine runs, found one of {}",
                              name_of(impl.engine->device()), stream.device().name()));
    Event over;
    over.handle_ = impl.run(inputs, outputs, static_cast<StreamHandle*>(stream.handle_.get()));
    return over;
  });
}

std::vector<std::vector<int64_t>> Context::output_capacity(const std::vector<std::vector<int64_t>>& input_shapes) {
  return take_turn(impl_, "Context", [&](Impl& impl) {
    auto spec = take(impl.engine->main().specialise(input_shapes, impl.engine->threads()));
    std::vector<std::vector<int64_t>> out;
    for (int t : spec->plan().outputs) {
      out.push_back(spec->capacity(t));
      for (int64_t& d : out.back())
        if (d >= core::kUnbounded) d = -1;
    }
    return out;
  });
}

void Context::set_observer(std::function<void(const StepInfo&)> observer) {
  take_turn(impl_, "Context", [&](Impl& impl) {
    impl.executor.observer = nullptr;
    if (!observer) return;
    impl.executor.observer = [observer = callers(std::move(observer))](const core::StepEvent& e) {
      StepInfo info{e.index, std::string(e.kernel), {}, e.begin_ns, e.end_ns};
      if (e.group) {
        for (const core::Node* n : e.group->nodes)
          info.onnx_nodes.insert(info.onnx_nodes.end(), n->origin.begin(), n->origin.end());
      } else if (e.node) {
        info.onnx_nodes = e.node->origin;
      }
      observer(info);
    };
  });
}

void Context::check_finite(bool on) {
  take_turn(impl_, "Context", [&](Impl& impl) { impl.executor.check_finite = on; });
}

}  // namespace fovea
