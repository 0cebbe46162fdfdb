#include <algorithm>
#include <cstring>

#include "api/bridge.h"
#include "api/runtime/device_impl.h"
#include "api/runtime/engine_impl.h"
#include "runtime/executor.h"

namespace fovea {
namespace {

size_t bytes_of(const core::TensorRef& r) {
  return static_cast<size_t>(core::dtype_bytes(r.dtype, r.count()).value_or(0));
}

std::string name_of(const core::Device* device) { return device ? device->name() : "cpu"; }

}  // namespace

struct Context::Impl final : OutputWriter {
  std::shared_ptr<core::LoadedEngine> engine;
  core::Executor executor;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
  std::vector<core::TensorRef> in, out;
  std::unique_ptr<core::DeviceEvent> before;       // a run: what its stream was asked for
  std::vector<std::shared_ptr<RunInFlight>> runs;  // used again when nobody else holds them any more
  std::shared_ptr<RunInFlight> last;               // of which something may be left to do
  std::vector<void*> sent_to;
  std::vector<OutputTarget> targets;

  ~Impl() {
    settle();
    if (executor.stream()) (void)executor.stream()->synchronize();  // it may still use this context's memory
  }

  // The shapes that the executor keeps ready, most recent first.
  struct Ready {
    std::vector<std::vector<int64_t>> shapes;
    std::shared_ptr<const core::Specialisation> specialisation;
  };
  std::vector<Ready> ready;
  const core::Specialisation& specialisation() const { return *ready[0].specialisation; }
  const core::PlanTensor& output(size_t i) const {
    const core::Plan& plan = specialisation().plan();
    return plan.tensors[static_cast<size_t>(plan.outputs[i])];
  }

  // The last run's outputs lie in memory that the next one writes. Its event has what went wrong.
  void settle() {
    if (last) (void)last->wait();
    last.reset();
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

  // Is there room for the most that outputs can be?
  bool has_room(std::span<const Tensor> outputs) const {
    for (size_t i = 0; i < outputs.size(); ++i) {
      const auto& place = specialisation().place(specialisation().plan().outputs[i]);
      if (place.pool || outputs[i].bytes() < bytes_of(place.ref)) return false;
    }
    return true;
  }

  // set_inputs() and the run up to where it can be waited for, behind what `stream` has been asked for.
  void start(std::span<const Tensor> inputs, std::span<const Tensor> outputs = {}, StreamHandle* stream = nullptr) {
    set_inputs(inputs);
    out.resize(engine->main().graph().outputs.size());
    if (stream) {
      std::lock_guard lock(stream->mutex);
      stream->clear_way(inputs, outputs);
      // What waits for an event waits for what it stands for then: one will do for all runs.
      if (!before) before = take(engine->device()->create_event());
      check(stream->stream->record(*before));
      check(executor.stream()->wait_for(*before));
    }
    check(executor.enqueue(in));
  }

  void run(std::span<const Tensor> inputs) {
    settle();
    start(inputs);
    check(executor.finish(out));
  }

  // Null where all is over already.
  std::shared_ptr<RunInFlight> run(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                                   StreamHandle* stream = nullptr) {
    settle();
    check_outputs(outputs);
    start(inputs, outputs, stream);
    const bool ahead = engine->device() && has_room(outputs);
    bool left = true;
    if (ahead) {
      check(executor.finish_on_device(out));
      check_room(outputs);
      left = send(outputs);
    }
    // Steps are observed, and checked, when they are over.
    if (ahead && stream && !executor.observer && !executor.check_finite) return fly(outputs, *stream, left);
    check(executor.finish(out));
    if (!ahead) check_room(outputs);
    aim(outputs, targets, /*all_shapes=*/true);
    const core::Status placed = place(targets);
    targets.clear();
    check(placed);
    return nullptr;
  }

  // Where the device can write the caller's memory it does. Returns whether something is left to do behind it.
  bool send(std::span<Tensor> outputs) {
    sent_to.assign(outputs.size(), nullptr);
    bool left = false;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const bool reached = outputs[i].device().handle() || engine->device()->pinned(outputs[i].data());
      if (reached && output(i).format.place == core::Place::kDevice) sent_to[i] = outputs[i].data();
      left |= !sent_to[i] || output(i).dynamic;
    }
    check(executor.send_outputs(sent_to));
    return left;
  }

  std::shared_ptr<RunInFlight> fly(std::span<Tensor> outputs, StreamHandle& stream, bool left) {
    std::shared_ptr<RunInFlight> run = fresh_run();
    aim(outputs, run->targets(), /*all_shapes=*/false);
    check(executor.stream()->record(run->over()));
    std::lock_guard lock(stream.mutex);
    check(stream.stream->wait_for(run->over()));
    if (left) stream.unfinished.push_back(run), last = run;
    run->begin(left ? this : nullptr);
    return run;
  }

  void aim(std::span<Tensor> outputs, std::vector<OutputTarget>& into, bool all_shapes) {
    into.clear();
    for (size_t i = 0; i < outputs.size(); ++i) {
      Tensor& t = outputs[i];
      const bool later = all_shapes || output(i).dynamic;
      into.push_back({t.data(), t.bytes(), t.device().handle() != nullptr, later ? &t : nullptr, t.owner_});
      if (!later) t.shape_.assign(out[i].shape().begin(), out[i].shape().end());
    }
  }

  core::Status write(std::span<const OutputTarget> where) override {
    FOVEA_TRY(executor.finish(out));
    return place(where);
  }

  core::Status place(std::span<const OutputTarget> where) {
    bool asked = false;
    for (size_t i = 0; i < where.size(); ++i) {
      const core::TensorRef& r = out[i];
      const OutputTarget& t = where[i];
      if (const size_t bytes = bytes_of(r); bytes > 0 && r.data != t.data) {
        asked |= t.on_device;
        if (t.on_device) FOVEA_TRY(executor.stream()->copy(t.data, r.data, static_cast<int64_t>(bytes)));
        else std::memcpy(t.data, r.data, bytes);
      }
      if (t.tensor) t.tensor->shape_.assign(r.shape().begin(), r.shape().end());
    }
    return asked ? executor.stream()->synchronize() : core::Status();
  }

  std::shared_ptr<RunInFlight> fresh_run() {
    for (const auto& r : runs)
      if (r.use_count() == 1) return r;
    runs.push_back(std::make_shared<RunInFlight>(take(engine->device()->create_event())));
    return runs.back();
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
    impl.settle();
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
    impl.settle();
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
  take_turn(impl_, "Context", [&](Impl& impl) {
    impl.settle();
    impl.executor.check_finite = on;
  });
}

}  // namespace fovea
