#include "ops/op.h"

#include <unordered_map>

namespace fovea::core {
namespace {

constexpr const OpDef* kOps[] = {
#define FOVEA_OP(Name, file, family) &op_##Name,
#define FOVEA_CONTROL(Name, file) &op_##Name,
#define FOVEA_IMPORT(Name, file) &op_##Name,
#include "ops/ops.inc"
#undef FOVEA_OP
#undef FOVEA_CONTROL
#undef FOVEA_IMPORT
};

std::string onnx_key(std::string_view domain, std::string_view op_type) {
  return domain.empty() || domain == "ai.onnx" ? std::string(op_type) : fmt::format("{}:{}", domain, op_type);
}

// Insertions, deletions, substitutions and swaps of neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

}  // namespace

std::span<const OpDef* const> all_ops() { return kOps; }

const OpInfo* find_op(std::string_view name) {
  static const auto table = [] {
    std::unordered_map<std::string_view, const OpInfo*> t;
    for (const OpDef* op : kOps)
      if (op->info.infer) t[op->info.name] = &op->info;
    return t;
  }();
  auto it = table.find(name);
  return it == table.end() ? nullptr : it->second;
}

const OpDef* find_onnx_op(std::string_view domain, std::string_view op_type) {
  static const auto table = [] {
    std::unordered_map<std::string, const OpDef*> t;
    for (const OpDef* op : kOps)
      for (std::string_view name : op->onnx)
        if (!name.empty()) t[std::string(name)] = op;
    return t;
  }();
  auto it = table.find(onnx_key(domain, op_type));
  return it == table.end() ? nullptr : it->second;
}

std::string nearest_onnx_op(std::string_view op_type) {
  std::string_view best;
  size_t distance = op_type.size() / 3 + 1;  // further away it is no spelling mistake
  for (const OpDef* op : kOps)
    for (std::string_view name : op->onnx)
      if (size_t d = name.empty() ? distance : edit_distance(op_type, name); d < distance) distance = d, best = name;
  return std::string(best);
}

const AttrValue* ImportContext::find(std::string_view name) const {
  for (const auto& [key, value] : node_.attributes)
    if (key == name) return &value;
  return nullptr;
}

namespace {
template <typename T>
T typed(const AttrValue* value, T missing, Status& deferred, const ImportContext& c, std::string_view name,
        std::string_view want) {
  if (!value) return missing;
  if (auto* v = std::get_if<T>(value)) return *v;
  deferred = c.error(fmt::format("attribute '{}': expected {}", name, want));
  return missing;
}
}  // namespace

int64_t ImportContext::int_attr(std::string_view name, int64_t missing) {
  return typed(find(name), missing, deferred_, *this, name, "an integer");
}
double ImportContext::float_attr(std::string_view name, double missing) {
  return typed(find(name), missing, deferred_, *this, name, "a number");
}
std::string ImportContext::string_attr(std::string_view name, std::string missing) {
  return typed(find(name), std::move(missing), deferred_, *this, name, "a string");
}
std::vector<int64_t> ImportContext::ints_attr(std::string_view name, std::vector<int64_t> missing) {
  return typed(find(name), std::move(missing), deferred_, *this, name, "a list of integers");
}
std::vector<double> ImportContext::floats_attr(std::string_view name, std::vector<double> missing) {
  return typed(find(name), std::move(missing), deferred_, *this, name, "a list of numbers");
}
TensorPtr ImportContext::tensor_attr(std::string_view name) {
  return typed(find(name), TensorPtr(), deferred_, *this, name, "a tensor");
}

Value* ImportContext::ints(const std::vector<int64_t>& values) {
  return constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span<const int64_t>(values)));
}

Result<Node*> ImportContext::emit(const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs, int outputs) {
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  const OpInfo& info = op.info;
  const auto count = static_cast<int>(inputs.size());
  if (count < info.min_inputs || (info.max_inputs >= 0 && count > info.max_inputs))
    return error(fmt::format("expected {} to {} inputs, found {}", info.min_inputs, info.max_inputs, count));
  if (outputs < info.min_outputs || outputs > info.max_outputs)
    return error(fmt::format("expected {} to {} outputs, found {}", info.min_outputs, info.max_outputs, outputs));
  for (int i = 0; i < info.min_inputs; ++i)
    if (!inputs[static_cast<size_t>(i)]) return error(fmt::format("input {} is missing", i));
  Node* node = graph_.add_node(&info, std::move(attrs), std::move(inputs), outputs);
  node->origin.push_back(node_.name.empty()
                             ? fmt::format("{}({})", node_.op_type, node_.outputs.empty() ? "" : node_.outputs[0])
                             : node_.name);
  FOVEA_TRY(infer_node(graph_, *node));
  return node;
}

std::string ImportContext::label() const {
  return fmt::format("{} '{}' (opset {})", node_.op_type,
                     node_.name.empty() && !node_.outputs.empty() ? node_.outputs[0] : node_.name, node_.opset);
}
Status ImportContext::error(std::string_view what) const { return invalid_model("{}: {}", label(), what); }
Status ImportContext::unsupported(std::string_view what) const {
  return fovea::core::unsupported("{}: {}", label(), what);
}

Status import_without_attributes(ImportContext& c) {
  if (!c.node().attributes.empty())
    return c.unsupported(fmt::format("attribute '{}' is not known to fovea", c.node().attributes[0].first));
  FOVEA_TRY_SET(Node * node, c.emit(nullptr, c.node().inputs, static_cast<int>(c.output_count())));
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, node->outputs[i]);
  return {};
}

}  // namespace fovea::core
