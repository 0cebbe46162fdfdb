#include "plan/device_use.h"

#include <fmt/format.h>

#include "kernels/kernel.h"

namespace fovea::core {
namespace {

class Walk {
 public:
  explicit Walk(const Plan& plan) : plan_(plan) {}

  DeviceUse take() {
    steps(plan_.run_steps);
    return std::move(use_);
  }

 private:
  const GroupChoice* choice_of(const Step& step) const {
    return step.choice >= 0 ? &plan_.assignment.groups[static_cast<size_t>(step.choice)] : nullptr;
  }

  void steps(std::span<const Step> steps) {
    bool recording = false;
    for (const Step& step : steps) {
      use_.segments += recordable(step) && !recording;
      recording = recordable(step);
      if (step.place == Place::kDevice && step.kind != Step::Kind::kReadSizes) {
        pending_ = true;
        continue;
      }
      if (pending_ || step.kind == Step::Kind::kReadSizes) wait(step);
      if (step.kind == Step::Kind::kIf) branches(step);
    }
  }

  void branches(const Step& step) {
    bool pending = false;
    for (const auto& branch : step.branches) {
      pending_ = false;
      this->steps(branch);
      pending |= pending_;
    }
    pending_ = pending;
  }

  void wait(const Step& step) {
    pending_ = false;
    Synchronisation s;
    auto add = [&](const Node& node) {
      s.op += (s.op.empty() ? "" : "+") + std::string(node.op->name);
      s.onnx_nodes.insert(s.onnx_nodes.end(), node.origin.begin(), node.origin.end());
    };
    if (const GroupChoice* choice = choice_of(step))
      for (const Node* node : choice->group.nodes) add(*node);
    else if (step.node) add(*step.node);
    s.why = why(step);
    use_.synchronisations.push_back(std::move(s));
  }

  std::string why(const Step& step) const {
    switch (step.kind) {
      case Step::Kind::kReadSizes: return "the host needs a size that the device decides";
      case Step::Kind::kIf: return "the host takes the branch";
      case Step::Kind::kReformat: return "the host changes its layout or type";
      case Step::Kind::kCopy: return "the host copies its output";
      case Step::Kind::kMaterialise: return "its elements are sizes, which the host writes";
      default: break;
    }
    std::string refusals;
    if (const GroupChoice* choice = choice_of(step))
      for (const CandidateNote& note : choice->candidates)
        if (note.row && note.row->place == Place::kDevice && !note.refusal.empty())
          refusals += fmt::format("{}{}: {}", refusals.empty() ? " (" : "; ", note.kernel, note.refusal);
    return "no kernel of the device takes it" + refusals + (refusals.empty() ? "" : ")");
  }

  const Plan& plan_;
  DeviceUse use_;
  bool pending_ = false;  // has the device been asked for what nobody has waited for?
};

}  // namespace

DeviceUse device_use(const Plan& plan) { return Walk(plan).take(); }

}  // namespace fovea::core
