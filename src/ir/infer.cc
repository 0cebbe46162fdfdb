#include "ir/infer.h"

#include <algorithm>
#include <utility>

namespace fovea::core {

// Past this a size costs more to carry and compare than any real network asks for.
constexpr int64_t kMaxDimWeight = 4096;

SymValuePtr known_of(const Tensor& tensor) {
  if (tensor.count() > kMaxSymElements) return nullptr;
  auto out = std::make_shared<SymValue>();
  switch (tensor.dtype()) {
    case DType::kInt64:
    case DType::kInt32:
      for (int64_t v : tensor.to_ints()) out->emplace_back(Expr(v));
      return out;
    case DType::kBool:
      for (int64_t v : tensor.to_ints()) out->emplace_back(Expr::boolean(v != 0));
      return out;
    case DType::kFloat32:
    case DType::kFloat64:
      for (double v : tensor.to_doubles()) out->emplace_back(Expr::floating(tensor.dtype(), v));
      return out;
    default: return nullptr;
  }
}

SymValuePtr InferContext::known(size_t i) const {
  const Value* v = node_.input(i);
  if (!v) return nullptr;
  if (v->constant) return known_of(*v->constant);
  return v->known;
}

std::optional<std::vector<Dim>> InferContext::dims(size_t i) const {
  SymValuePtr k = known(i);
  if (!k) return std::nullopt;
  std::vector<Dim> out;
  for (const auto& e : *k) {
    if (!e || e->dtype() != DType::kInt64) return std::nullopt;
    out.push_back(*e);
  }
  return out;
}

std::optional<std::vector<int64_t>> InferContext::ints(size_t i) const {
  auto d = dims(i);
  return d ? constant_shape(*d) : std::nullopt;
}

void InferContext::set_output(size_t i, DType dtype, Shape shape) {
  if (i >= node_.outputs.size() || !node_.outputs[i]) return;
  // Arithmetic alone does not say that a size is never negative ((h - 1) / 4 - 1), and readers of Shape need to know.
  for (Dim& d : shape)
    if (d.lo() < 0 && d.hi() >= 0) d = max(d, 0);
  Value& v = *node_.outputs[i];
  v.dtype = dtype, v.shape = std::move(shape), v.shaped = true, v.known = nullptr;
}

void InferContext::set_known(size_t i, SymValue value) {
  if (i >= node_.outputs.size() || !node_.outputs[i]) return;
  constexpr int64_t kMaxWeight = 512;  // an expression past this is no longer worth carrying
  bool any = false;
  for (auto& e : value) {
    if (e && e->weight() > kMaxWeight) e.reset();
    any |= e.has_value();
  }
  if (any && static_cast<int64_t>(value.size()) <= kMaxSymElements)
    node_.outputs[i]->known = std::make_shared<const SymValue>(std::move(value));
}

Dim InferContext::data_dependent_size(int output, int dim, int64_t lo, const Dim& hi) {
  if (hi.is_const(lo)) return lo;
  auto same_place = [&](const SizeDefinition& s) { return s.output == output && s.dim == dim; };
  auto now = std::find_if(node_.sizes.begin(), node_.sizes.end(), same_place);
  if (now == node_.sizes.end()) {
    auto before = std::find_if(previous_sizes_.begin(), previous_sizes_.end(), same_place);
    if (before != previous_sizes_.end()) now = node_.sizes.insert(node_.sizes.end(), *before);
  }
  if (now != node_.sizes.end()) {
    now->bound = hi;
    if (now->symbol->lo != lo || now->symbol->hi != hi.hi())
      now->symbol = graph_.root()->declare_symbol({now->symbol->name, lo, hi.hi(), true});
    return Expr(now->symbol);
  }
  SymbolPtr fresh = graph_.root()->fresh_symbol("k", lo, hi.hi(), true);
  node_.sizes.push_back({fresh, output, dim, hi});
  return Expr(fresh);
}

Result<int64_t> InferContext::axis(int64_t axis, int64_t rank) const {
  if (axis < -rank || axis >= rank)
    return error(fmt::format("expected an axis in [{}, {}), found {}", -rank, rank, axis));
  return axis < 0 ? axis + rank : axis;
}

Status InferContext::error(std::string_view what) const { return invalid_model("{}: {}", node_.label(), what); }

Status InferContext::expect_dtype(size_t i, bool ok, std::string_view expected) const {
  if (ok) return {};
  return error(
      fmt::format("input {} '{}': expected {}, found {}", i, node_.inputs[i]->name, expected, to_string(dtype(i))));
}

Status InferContext::expect_rank(size_t i, int64_t want) const {
  if (rank(i) == want) return {};
  return error(fmt::format("input {} '{}': expected rank {}, found shape {}", i, node_.inputs[i]->name, want,
                           to_string(shape(i))));
}

Result<Dim> broadcast_dim(const Dim& a, const Dim& b) {
  if (a == b || b.is_const(1)) return a;
  if (a.is_const(1)) return b;
  if (a.is_const() && b.is_const()) return invalid_model("cannot broadcast size {} with {}", a.str(), b.str());
  // A size that cannot be 1 wins: where the other differs from it the model is wrong, and the run says so.
  if (a.is_const()) return a;
  if (b.is_const()) return b;
  if (a.lo() > 1) return a;
  if (b.lo() > 1) return b;
  return select(equal(a, 1), b, a);
}

Result<Shape> broadcast_shapes(std::span<const Shape> shapes) {
  size_t rank = 0;
  for (const Shape& s : shapes) rank = std::max(rank, s.size());
  Shape out(rank, Dim(1));
  for (const Shape& s : shapes)
    for (size_t i = 0; i < s.size(); ++i) {
      Dim& d = out[rank - s.size() + i];
      auto r = broadcast_dim(d, s[i]);
      if (!r.ok()) return invalid_model("cannot broadcast {} with {}", to_string(out), to_string(s));
      d = *r;
    }
  return out;
}

Status infer_node(Graph& graph, Node& node) {
  InferContext context(graph, node);
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] && !node.inputs[i]->shaped)
      return internal_error("{}: input {} '{}' has no inferred shape", node.label(), i, node.inputs[i]->name);
  // Sizes that were data-dependent before and are known now must not stay defined.
  context.previous_sizes_ = std::exchange(node.sizes, {});
  FOVEA_TRY(node.op->infer(context));
  for (const Value* v : node.outputs) {
    if (!v || v->kind != TypeKind::kTensor) continue;
    if (!v->shaped) return internal_error("{}: inference left output '{}' without a shape", node.label(), v->name);
    if (v->shape.size() > kMaxRank)
      return unsupported("{}: output '{}' has rank {}, at most {} is supported", node.label(), v->name, v->shape.size(),
                         kMaxRank);
    for (const Dim& d : v->shape) {
      if (d.weight() > kMaxDimWeight)
        return unsupported("{}: output '{}' has a size that is too long an expression", node.label(), v->name);
      if (d.hi() < 0)
        return invalid_model("{}: output '{}' has a negative size in {}", node.label(), v->name, to_string(v->shape));
    }
  }
  return {};
}

Status infer_graph(Graph& graph) {
  for (const auto& node : graph.nodes()) FOVEA_TRY(infer_node(graph, *node));
  return {};
}

}  // namespace fovea::core
