// One caller of a measurement: the same inputs run after run, the times of the runs, and a look whether what comes out
// stays the same to the bit.
#pragma once

#include "picture/detector.h"
#include "verbs.h"

namespace fovea::core::tool {

class Caller {
 public:
  virtual ~Caller() = default;
  virtual Status once() = 0;
  // The last run's outputs against the first's that was checked; an error names the output.
  virtual Status check() = 0;
  virtual bool checks_cheaply() const { return false; }  // so that every run is checked
  virtual const Executor& executor() const = 0;
  // `runs` runs of which `observer` hears every step.
  virtual Status observed(int runs, const StepObserver& observer) = 0;

  // Runs until `end`; what began before `warm_until` does not count. Outputs are checked at the 1st, 2nd, 4th, 8th, ...
  // run and the last, or in all of them where that is cheap; no check is in the times. `progress` of one caller only,
  // or null.
  void run(double warm_until, double end, Progress* progress);
  const std::vector<double>& times() const { return times_; }
  const Status& status() const { return status_; }
  const Executor::Counts& counts() const { return counts_; }  // of a run, without the checks
  const DeviceCounts& made() const { return made_; }          // in the measured runs

 private:
  std::vector<double> times_;
  Executor::Counts counts_;
  DeviceCounts made_;
  Status status_;
};

// Inputs as given, which must outlive it; if none are, made up from `seed`, the picture's from those in `folder` if
// that is not empty. In pageable, pinned or the device's memory; with the last outputs stay there, too.
Result<std::unique_ptr<Caller>> make_tensor_caller(LoadedEngine& engine, const RunSizes& sizes,
                                                   const TensorInputs& given, const std::string& memory,
                                                   const std::string& folder, unsigned seed);
// The picture input of a batch from pictures in a folder, by the reference kernel of Preprocess.
Status fill_with_pictures(LoadedEngine& engine, const RunSizes& sizes, const std::string& folder, unsigned seed,
                          std::span<const std::shared_ptr<Tensor>> inputs);
// From a picture's bytes, pinned on a device, to boxes on the host. `folder` empty: pictures of the network's input
// size, made up; else those in it, from the `seed`th batch on, over again where they do not suffice.
Result<std::unique_ptr<Caller>> make_picture_caller(const std::shared_ptr<LoadedEngine>& engine, const RunSizes& sizes,
                                                    const std::string& folder, unsigned seed);

}  // namespace fovea::core::tool
