// fovea bench: what it was asked for, one measurement, and the table of many.
#pragma once

#include <nlohmann/json.hpp>

#include "bench_caller.h"
#include "telemetry_watch.h"
#include "verbs.h"

namespace fovea::core::tool {

struct BenchOptions {
  std::string engine, device, json, output, pictures, memory = "pageable";
  std::vector<std::string> shapes, inputs;
  std::vector<int64_t> batches;
  int threads = 0, contexts = 1;
  double seconds = 5, warmup = 1;
  bool profile = false, turns = false, sweep = false, verbose = false;
};

// What callers side by side have measured.
struct Measured {
  int64_t batch = 0;
  int contexts = 0;                   // on each device
  size_t callers = 0;                 // on all of them
  std::vector<double> times;          // of every run, rising, milliseconds
  double ms = 0;                      // of the measurement
  std::vector<Watched> watched = {};  // the devices meanwhile

  double median() const { return times[times.size() / 2]; }
  double percentile(double p) const;
  // Callers side by side do not all take the median.
  double images_per_second() const;
};

using Callers = std::vector<std::unique_ptr<Caller>>;
// `contexts` callers on each engine, bound and with their inputs in place. One batch a caller; all take those given, if
// any are.
Result<Callers> make_callers(const BenchOptions& o, const Engines& engines, const RunSizes& sizes,
                             const TensorInputs& given, int contexts);
Result<Measured> measure(const BenchOptions& o, const Engines& engines, Callers& callers, const RunSizes& sizes,
                         int contexts);
nlohmann::ordered_json to_json(const std::vector<Watched>& devices);

// bench --sweep: batches by contexts, and where more of either stops to pay.
inline constexpr double kKneeShare = 0.9;
Status sweep(const BenchOptions& o, const Engines& engines);

}  // namespace fovea::core::tool
