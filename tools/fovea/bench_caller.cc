#include "bench_caller.h"

#include <algorithm>
#include <bit>

namespace fovea::core::tool {
namespace {

class TensorCaller final : public Caller {
 public:
  Status set_up(LoadedEngine& engine, const RunSizes& sizes, const TensorInputs& given, const std::string& memory,
                const std::string& folder, unsigned seed) {
    graph_ = &engine.main().graph();
    in_ = given.refs;
    if (in_.empty()) FOVEA_TRY(make_up(engine, sizes, folder, seed));
    out_.resize(graph_->outputs.size());
    FOVEA_TRY_SET(auto spec, engine.main().specialise(sizes.symbols, engine.threads()));
    FOVEA_TRY(executor_.bind(std::move(spec)));
    if (memory == "pageable") return {};
    on_device_ = memory == "device";
    for (TensorRef& r : in_) {
      const int64_t bytes = dtype_bytes(r.dtype, r.count()).value_or(0);
      const auto kind = on_device_ ? DeviceMemory::Kind::kDevice : DeviceMemory::Kind::kPinned;
      FOVEA_TRY_SET(moved_.emplace_back(), engine.device()->allocate(bytes, kind));
      FOVEA_TRY(executor_.stream()->copy(moved_.back().data(), r.data, bytes));
      r.data = moved_.back().data();
    }
    return executor_.stream()->synchronize();
  }

  Status once() override {
    if (!on_device_) return executor_.run(in_, out_);
    FOVEA_TRY(executor_.enqueue(in_));
    FOVEA_TRY(executor_.finish_on_device(out_));
    return executor_.stream()->synchronize();
  }

  Status check() override {
    std::vector<TensorRef> host = out_;
    if (on_device_) FOVEA_TRY(executor_.finish(host));
    if (first_.empty()) {
      for (const TensorRef& r : host) first_.push_back({{r.shape().begin(), r.shape().end()}, bytes_of(r)});
      return {};
    }
    for (size_t i = 0; i < host.size(); ++i) {
      const auto& [shape, bytes] = first_[i];
      const std::span<const std::byte> found = view_of(host[i]);
      if (std::ranges::equal(host[i].shape(), shape) && std::ranges::equal(found, bytes)) continue;
      return internal_error("output '{}' is not the same in every run on the same inputs", graph_->output_names[i]);
    }
    return {};
  }

  const Executor& executor() const override { return executor_; }

  bool checks_cheaply() const override {
    constexpr size_t kCheap = 1 << 20;
    size_t bytes = 0;
    for (const Output& o : first_) bytes += o.bytes.size();
    return !on_device_ && bytes <= kCheap;
  }

  Status observed(int runs, const StepObserver& observer) override {
    executor_.observer = observer;
    Status status;
    for (int i = 0; i < runs && status.ok(); ++i) status = executor_.run(in_, out_);
    executor_.observer = nullptr;
    return status;
  }

 private:
  Status make_up(LoadedEngine& engine, const RunSizes& sizes, const std::string& folder, unsigned seed) {
    FOVEA_TRY_SET(data_, example_inputs(*graph_, sizes.card_or_null(), sizes.sizes, seed));
    if (!folder.empty()) FOVEA_TRY(fill_with_pictures(engine, sizes, folder, seed, data_));
    for (const auto& t : data_) in_.push_back(TensorRef::dense_of(t->dtype(), t->dims(), t->mutable_data()));
    return {};
  }

  static std::span<const std::byte> view_of(const TensorRef& r) {
    return {static_cast<const std::byte*>(r.data), static_cast<size_t>(dtype_bytes(r.dtype, r.count()).value_or(0))};
  }
  static std::vector<std::byte> bytes_of(const TensorRef& r) {
    const auto view = view_of(r);
    return {view.begin(), view.end()};
  }

  struct Output {
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };
  const Graph* graph_ = nullptr;
  Executor executor_;
  std::vector<std::shared_ptr<Tensor>> data_;  // what was made up
  std::vector<DeviceMemory> moved_;            // the inputs, where they do not lie in pageable memory
  std::vector<TensorRef> in_, out_;
  std::vector<Output> first_;
  bool on_device_ = false;
};

}  // namespace

void Caller::run(double warm_until, double end, Progress* progress) {
  auto tell = [&](std::string_view what, double from, double until) {
    const double part = until > from ? std::min((now_ms() - from) / (until - from), 1.0) : 1;
    if (progress) progress->show(what, static_cast<int>(part * 100), 100);
  };
  const double begin = now_ms();
  size_t runs = 0;
  auto checked_run = [&] {
    const double started = now_ms();
    status_ = once();
    const double took = now_ms() - started;
    counts_ = executor().counts();
    if (status_.ok() && (std::has_single_bit(++runs) || checks_cheaply())) status_ = check();
    return took;
  };
  while (now_ms() < warm_until && status_.ok()) {
    tell("warming up", begin, warm_until);
    checked_run();
  }
  while (status_.ok() && (times_.size() < 3 || now_ms() < end)) {
    tell("measuring", warm_until, end);
    times_.push_back(checked_run());
    made_ += counts_.made;
  }
  if (status_.ok()) status_ = check();
}

Result<std::unique_ptr<Caller>> make_tensor_caller(LoadedEngine& engine, const RunSizes& sizes,
                                                   const TensorInputs& given, const std::string& memory,
                                                   const std::string& folder, unsigned seed) {
  auto caller = std::make_unique<TensorCaller>();
  FOVEA_TRY(caller->set_up(engine, sizes, given, memory, folder, seed));
  return std::unique_ptr<Caller>(std::move(caller));
}

}  // namespace fovea::core::tool
