#include "tactics/cost.h"

#include <algorithm>
#include <array>

#include "ops/gemm.h"
#include "ops/pool.h"

namespace fovea::core {
namespace {

constexpr std::array<std::string_view, 3> kArithmetics = {"fp32", "tf32", "fp16"};

double count(const Value* v, const Sizes& sizes) {
  if (!v) return 0;
  const std::vector<int64_t> shape = sizes.upper(v->shape);
  if (std::ranges::any_of(shape, [](int64_t d) { return d >= kUnbounded; })) return 0;
  return static_cast<double>(element_count(shape).value_or(0));
}

double products(const Node& node, const Sizes& sizes) {
  if (node.is("Conv") || node.is("ConvTranspose")) {
    const Value* weights = node.input(1);  // [outputs, inputs of the group, ...]; ConvTranspose: the other way round
    const auto outermost = static_cast<double>(std::max<int64_t>(sizes.upper(weights->shape)[0], 1));
    const Value* each = node.is("Conv") ? node.output() : node.input(0);
    return 2 * count(each, sizes) * count(weights, sizes) / outermost;
  }
  if (node.is("Gemm") || node.is("MatMul")) {
    const std::vector<int64_t> a = sizes.upper(node.input(0)->shape);
    const bool transposed = node.is("Gemm") && node.as<GemmAttrs>().transA;
    return a.empty() ? 0 : 2 * count(node.output(), sizes) * static_cast<double>(transposed ? a[0] : a.back());
  }
  return 0;
}

// Elements in the window of a pool; 0 if the node is none.
double window_elements(const Node& node) {
  const PoolAttrs* attrs = node.is("MaxPool")       ? static_cast<const PoolAttrs*>(&node.as<MaxPoolAttrs>())
                           : node.is("AveragePool") ? static_cast<const PoolAttrs*>(&node.as<AveragePoolAttrs>())
                                                    : nullptr;
  if (!attrs) return 0;
  double elements = 1;
  for (int64_t k : attrs->kernel_shape) elements *= static_cast<double>(k);
  return elements;
}

// By family: what only moves elements computes nothing.
bool computes(const Node& node) {
  struct Operator {
    std::string_view name, family;
  };
#define FOVEA_OP(name, file, family) {#name, #family},
#define FOVEA_CONTROL(name, file)
#define FOVEA_IMPORT(name, file)
  static constexpr Operator kOperators[] = {
#include "ops/ops.inc"
  };
#undef FOVEA_OP
#undef FOVEA_CONTROL
#undef FOVEA_IMPORT
  const auto* op = std::ranges::find(kOperators, node.op->name, &Operator::name);
  if (op == std::end(kOperators) || node.is("Cast")) return false;
  return op->family == "eltwise" || op->family == "norm" || op->family == "reduce" || op->family == "resize";
}

Arithmetic arithmetic_of(const Group& group, const FormatChoice& formats) {
  // Who rounds what it makes to float16 rounds its factors as well, also where they come as float32.
  for (const auto* side : {&formats.inputs, &formats.outputs})
    if (!side->empty() && side->front().storage == DType::kFloat16) return Arithmetic::kFloat16;
  const bool tf32 = std::ranges::any_of(group.outputs, [](const Value* v) { return v && v->storage.tf32; });
  // TF32 is the device's; the host computes in float32 whatever is allowed.
  const bool device = !formats.outputs.empty() && formats.outputs[0].place == Place::kDevice;
  return tf32 && device ? Arithmetic::kTf32 : Arithmetic::kFloat32;
}

}  // namespace

std::string_view to_string(Arithmetic arithmetic) { return kArithmetics[static_cast<size_t>(arithmetic)]; }

std::optional<Arithmetic> arithmetic_from_string(std::string_view name) {
  const auto it = std::ranges::find(kArithmetics, name);
  if (it == kArithmetics.end()) return std::nullopt;
  return static_cast<Arithmetic>(it - kArithmetics.begin());
}

double value_bytes(const Value* value, const Format& format, const Sizes& sizes) {
  if (!value || count(value, sizes) == 0) return 0;
  return static_cast<double>(storage_elements(format.layout, sizes.upper(value->shape))) *
         dtype_bits(format.dtype(value->dtype)) / 8;
}

void add_operations(const Node& node, const Sizes& sizes, GroupCost& cost) {
  if (const double p = products(node, sizes); p > 0) {
    cost.products += p;
  } else if (const double window = window_elements(node); window > 0) {
    cost.others += window * count(node.output(), sizes);
  } else if (computes(node)) {
    // Each element that is read or made, whichever are more: reductions make few of many.
    double most = 0;
    for (const Value* v : node.inputs) most = std::max(most, count(v, sizes));
    for (const Value* v : node.outputs) most = std::max(most, count(v, sizes));
    cost.others += most;
  }
}

GroupCost group_cost(const Group& group, const FormatChoice& formats, const Sizes& sizes) {
  GroupCost cost;
  cost.arithmetic = arithmetic_of(group, formats);
  auto add = [&](const std::vector<const Value*>& values, const std::vector<Format>& list) {
    for (size_t i = 0; i < values.size(); ++i) {
      const Value* v = values[i];
      Format format = i < list.size() ? list[i] : Format();
      // Weights are packed in the type that they are multiplied in.
      if (v && v->constant && v->dtype == DType::kFloat32 && cost.arithmetic == Arithmetic::kFloat16)
        format.storage = DType::kFloat16;
      cost.bytes += value_bytes(v, format, sizes);
    }
  };
  add(group.inputs, formats.inputs);
  add(group.outputs, formats.outputs);
  for (const Node* n : group.nodes) add_operations(*n, sizes, cost);
  return cost;
}

std::optional<Floor> floor_of(const GroupCost& cost, const Limits& limits) {
  const double peaks[] = {limits.flops_fp32, limits.flops_tf32, limits.flops_fp16};
  const double peak = peaks[static_cast<size_t>(cost.arithmetic)];
  if (limits.bytes_per_second <= 0 || (cost.products > 0 && peak <= 0)) return std::nullopt;
  const double moving = cost.bytes / limits.bytes_per_second;
  const double multiplying = cost.products > 0 ? cost.products / peak : 0;
  const double rest = limits.flops_fp32 > 0 ? cost.others / limits.flops_fp32 : 0;
  const double computing = std::max(multiplying, rest);
  return Floor{1e3 * std::max(moving, computing), computing > moving};
}

}  // namespace fovea::core
