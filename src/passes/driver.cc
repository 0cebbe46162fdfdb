#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>
#include <unordered_map>

#include "ir/infer.h"
#include "ir/verify.h"
#include "passes/pass.h"

namespace fovea::core {
namespace {

class Driver {
 public:
  Driver(Graph& graph, const PassOptions& options) : graph_(graph), options_(options), context_(options) {}

  Status stage(const Stage& stage) {
    for (int round = 0; round < (stage.repeat ? options_.max_rounds : 1); ++round) {
      bool changed = false;
      for (const Pass& pass : stage.passes) {
        if (std::find(options_.disabled.begin(), options_.disabled.end(), pass.name) != options_.disabled.end())
          continue;
        FOVEA_TRY_SET(bool here, run(pass));
        changed |= here;
      }
      if (!changed) return {};
    }
    return {};  // a stage that does not settle is cut off: the graph is right, if not the smallest
  }

  std::vector<PassReport> take() { return std::move(reports_); }

 private:
  Result<bool> run(const Pass& pass) {
    PassReport& report = report_of(pass.name);
    const auto start = std::chrono::steady_clock::now();
    auto changed = pass.run(graph_, context_);
    if (!changed.ok()) return changed.status().in(fmt::format("pass '{}'", pass.name));
    // What a rewrite made of one node may settle sizes of those behind it.
    if (*changed) FOVEA_TRY(infer_graph(graph_).in(fmt::format("inference after pass '{}'", pass.name)));
    if (*changed) graph_.erase_undefined_symbols();
    report.ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    ++report.runs, report.changes += *changed;
    report.nodes_after = graph_.node_count();
    if (!*changed) return false;
    if (options_.verify) FOVEA_TRY(verify(graph_).in(fmt::format("after pass '{}'", pass.name)));
    if (options_.after_pass) FOVEA_TRY(options_.after_pass(pass, graph_));
    return true;
  }

  PassReport& report_of(std::string_view name) {
    for (PassReport& r : reports_)
      if (r.name == name) return r;
    reports_.push_back({.name = std::string(name), .nodes_before = graph_.node_count(), .nodes_after = 0});
    return reports_.back();
  }

  Graph& graph_;
  const PassOptions& options_;
  PassContext context_;
  std::vector<PassReport> reports_;
};

}  // namespace

const Pass* find_pass(std::span<const Stage> stages, std::string_view name) {
  for (const Stage& stage : stages)
    for (const Pass& pass : stage.passes)
      if (pass.name == name) return &pass;
  return nullptr;
}

Result<std::vector<PassReport>> run_stages(Graph& graph, std::span<const Stage> stages, const PassOptions& options) {
  for (const std::string& name : options.disabled) {
    if (find_pass(stages, name)) continue;
    std::string known;
    std::set<std::string_view> listed;  // some passes run in several stages
    for (const Stage& stage : stages)
      for (const Pass& pass : stage.passes)
        if (listed.insert(pass.name).second) known += (known.empty() ? "" : ", ") + std::string(pass.name);
    return invalid_argument("there is no pass '{}' to disable; there are {}", name, known);
  }
  Driver driver(graph, options);
  for (const Stage& stage : stages) FOVEA_TRY(driver.stage(stage));
  return driver.take();
}

}  // namespace fovea::core
