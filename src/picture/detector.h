// Detector: an engine with its card. Pictures in, boxes in their pixels out.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "picture/boxes.h"
#include "picture/card.h"
#include "picture/image.h"
#include "picture/picture_rows.h"
#include "runtime/loaded_engine.h"

namespace fovea::core {

class Detector {
 public:
  // The engine must hold a card; several detectors share one engine. Not for two threads at once.
  static Result<std::unique_ptr<Detector>> make(std::shared_ptr<LoadedEngine> engine);
  ~Detector();

  const ModelCard& card() const { return card_; }
  // Pictures that one run can take, as card_batch() has it.
  int64_t max_batch() const { return max_batch_; }
  // Detections of each picture, best score first. Pictures may differ in size; they are run `batch` at a time where
  // the network's input has the same size for them.
  Result<std::vector<std::vector<Detection>>> detect(std::span<const PictureView> pictures, int64_t batch);

  // One run in two halves: a device may still be at work when enqueue() returns, the processor is not. Pictures may be
  // changed after it, pinned ones after collect(), which waits. Several detectors keep a device busy. `batch`: where
  // the last run was one of so many, a device runs fewer pictures filled up to as many, instead of making ready for a
  // new size; that takes seconds, a run does not.
  Status enqueue(std::span<const PictureView> pictures, int64_t batch = 0);
  Result<std::vector<std::vector<Detection>>> collect();
  // How many of the first pictures one run takes: at most `batch`, and those that give the network's input one size.
  size_t run_length(std::span<const PictureView> pictures, int64_t batch) const;

  // Of the last detect(), or run; milliseconds. On a device `preprocess` is what the host does for it, and `network` by
  // the device's clock, with its outputs' way to the host.
  struct Timing {
    double preprocess = 0, network = 0, boxes = 0;
  };
  const Timing& timing() const { return timing_; }
  const Executor& network() const { return network_; }
  bool check_finite = false;
  // collect() sleeps, and leaves the core to others, instead of watching the device. Before the first run.
  bool sleeps = false;

 private:
  Detector() = default;
  Status set_up();
  Status start(std::span<const PictureView> pictures, int64_t batch);
  void find_geometry(std::span<const PictureView> pictures, size_t rows);
  Status run_network();
  void settle();
  Status fill_others(std::span<const ResizeGeometry> geometry);
  Status read_outputs(std::span<const TensorRef> outputs, std::span<const ResizeGeometry> geometry,
                      std::span<std::vector<Detection>> out);
  void warn_dropped(const std::string& output, int64_t rows);
  int output(const std::string& name) const;

  std::shared_ptr<LoadedEngine> engine_;
  ModelCard card_;
  size_t picture_input_ = 0;
  bool has_batch_ = true;
  int64_t max_batch_ = 1, fixed_batch_ = 0;
  Executor network_;
  PictureRows rows_;
  std::vector<std::vector<std::byte>> inputs_;  // memory of each input but the picture's
  std::vector<std::vector<int64_t>> input_shapes_;
  std::set<std::string> warned_;  // outputs whose rows were dropped
  bool in_flight_ = false;
  size_t pictures_ = 0;  // of the run
  std::vector<ResizeGeometry> geometry_;
  std::vector<TensorRef> in_, result_;
  std::unique_ptr<DeviceEvent> begin_, end_;
  Timing timing_;
};

}  // namespace fovea::core
