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
#include "runtime/loaded_engine.h"

namespace fovea::core {

class Detector {
 public:
  // The engine must hold a card; several detectors share one engine. Not for two threads at once.
  static Result<std::unique_ptr<Detector>> make(std::shared_ptr<LoadedEngine> engine);

  const ModelCard& card() const { return card_; }
  // Pictures that one run can take, as card_batch() has it.
  int64_t max_batch() const { return max_batch_; }
  // Detections of each picture, best score first. Pictures may differ in size; they are run `batch` at a time where
  // the network's input has the same size for them.
  Result<std::vector<std::vector<Detection>>> detect(std::span<const Image* const> pictures, int64_t batch);

  struct Timing {  // of the last detect(), milliseconds
    double preprocess = 0, network = 0, boxes = 0;
  };
  const Timing& timing() const { return timing_; }
  bool check_finite = false;

 private:
  Detector() = default;
  Status set_up();
  Status run_batch(std::span<const Image* const> pictures, std::span<std::vector<Detection>> out);
  Status fill_picture(const Image& image, size_t row, size_t rows);
  Status fill_others(std::span<const ResizeGeometry> geometry);
  Status collect(std::span<const TensorRef> outputs, std::span<const ResizeGeometry> geometry,
                 std::span<std::vector<Detection>> out);
  void warn_dropped(const std::string& output, int64_t rows);
  int output(const std::string& name) const;

  std::shared_ptr<LoadedEngine> engine_;
  ModelCard card_;
  size_t picture_input_ = 0;
  bool has_batch_ = true;
  int64_t max_batch_ = 1, fixed_batch_ = 0;
  Executor network_, preprocess_;
  std::vector<std::vector<std::byte>> inputs_;  // memory of each input
  std::vector<std::vector<int64_t>> input_shapes_;
  std::set<std::string> warned_;  // outputs whose rows were dropped
  Timing timing_;
};

}  // namespace fovea::core
