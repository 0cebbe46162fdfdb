// check_finite: NaN and infinity in inputs, weights and what kernels give.
#include <cmath>

#include "kernels/reference/reference.h"
#include "runtime/executor.h"

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

}  // namespace

std::optional<Executor::NotFinite> Executor::find_not_finite(const TensorRef& r, bool nan_only) {
  if (!is_float(r.dtype)) return std::nullopt;
  auto scan = [&](const auto* values) -> std::optional<NotFinite> {
    for (int64_t i = 0; i < r.count(); ++i)
      if (nan_only ? std::isnan(values[i]) : !std::isfinite(values[i]))
        return NotFinite{i, std::isnan(values[i]) ? "NaN" : "infinity"};
    return std::nullopt;
  };
  KernelContext c;
  c.scratch = &scratch_;
  // float64 on its own: what it holds need not fit into float32.
  const auto found = r.dtype == DType::kFloat64 ? scan(load<double>(c, r)) : scan(load<float>(c, r));
  scratch_.reset();
  return found;
}

// A fused ReLU may turn NaN into 0: NaN that came in from outside is seen only here.
Status Executor::check_inputs() {
  for (size_t i = 0; i < user_inputs_.size(); ++i)
    if (auto bad = find_not_finite(user_inputs_[i]))
      return invalid_argument("input '{}' holds {} (element {} of {})", bound().spec->plan().graph->inputs[i]->name,
                              bad->what, bad->element, user_inputs_[i].count());
  return {};
}

// So may it NaN that came from weights. Only groups around weights are looked at, and infinity only in the weights
// themselves: elsewhere infinite constants are masks, bounds and paddings that are meant.
Status Executor::check_weights() {
  auto has_weights = [](const Node& n) {
    return n.is("Conv") || n.is("ConvTranspose") || n.is("Gemm") || n.is("MatMul") || n.is("BatchNormalization") ||
           n.is("InstanceNormalization") || n.is("GroupNormalization") || n.is("LayerNormalization");
  };
  for (const GroupChoice& choice : bound().spec->plan().assignment.groups) {
    if (!has_weights(*choice.group.nodes[0])) continue;
    for (const Node* node : choice.group.nodes)
      for (const Value* v : node->inputs) {
        if (!v || !v->constant) continue;
        if (auto bad = find_not_finite(TensorRef::of(*v->constant), /*nan_only=*/!has_weights(*node)))
          return invalid_model("{}: its constant '{}' holds {} (element {} of {}): the model's weights are damaged",
                               node->label(), v->name, bad->what, bad->element, v->constant->count());
      }
  }
  bound().weights_checked = true;
  return {};
}

Status Executor::check_outputs(const Step& step) {
  for (size_t k = 0; k < out_.size(); ++k) {
    if (step.outputs[k] < 0) continue;
    const PlanTensor& t = bound().spec->plan().tensors[idx(step.outputs[k])];
    TensorRef r = out_[k];
    if (t.format.layout != Layout::kPlain) {
      const int64_t elements = storage_elements(t.format.layout, r.shape());
      r = TensorRef::dense_of(r.dtype, std::span(&elements, 1), r.data);
    }
    const auto bad = find_not_finite(r);
    if (!bad) continue;
    std::string nodes;
    const auto* group = step.choice >= 0 ? &bound().spec->plan().assignment.groups[idx(step.choice)].group : nullptr;
    if (group)
      for (const Node* node : group->nodes) nodes += (nodes.empty() ? "" : " + ") + node->label();
    else if (step.node) nodes = step.node->label();
    return invalid_argument("{} gave {} in '{}' (element {} of {}): look at the input, or at this node's weights",
                            nodes, bad->what, t.value->name, bad->element, r.count());
  }
  return {};
}

}  // namespace fovea::core
