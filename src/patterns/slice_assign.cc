// x[..., a:b, ...] = y, which exporters write as ScatterND with a tensor of all the indices that the slice covers.
//   ScatterND(x, grid, y) == Concat(x[..., :a, ...], y, x[..., b:, ...])     where grid[i, j, ...] == (i, j + a, ...)
// The grid is the Concat of one component an axis, each a range along its own dimension. At most one axis may be
// covered in part; where all are covered whole, the result is y.
#include "ops/axis.h"
#include "ops/scatter.h"
#include "passes/rewrite.h"
#include "patterns/index_map.h"
#include "patterns/patterns.h"

namespace fovea::core {
namespace {

struct Assigned {
  std::optional<size_t> axis;  // the one that is covered in part
  int64_t start = 0;
  Dim size;
};

// The components of the index tuples, one value for each indexed axis; each ends in a dimension of size 1.
std::vector<const Value*> components(const Value* indices, size_t tuple) {
  const Node* concat = indices->producer;
  const auto last = static_cast<int64_t>(indices->shape.size()) - 1;
  if (tuple == 1) return {indices};
  if (!concat || !concat->is("Concat") || concat->as<AxisAttrs>().axis != last || concat->inputs.size() != tuple)
    return {};
  std::vector<const Value*> parts(concat->inputs.begin(), concat->inputs.end());
  for (const Value* p : parts)
    if (!p->shape.back().is_const(1)) return {};
  return parts;
}

// Does component k count `axis` k of x from a constant start, and nothing else?
std::optional<int64_t> start_along(const Value* component, size_t axis, const Shape& grid) {
  auto a = affine_index(component);
  if (!a) return std::nullopt;
  for (size_t d = 0; d < a->strides.size(); ++d) {
    const int64_t wanted = d == axis && !grid[d].is_const(1) ? 1 : 0;
    if (a->strides[d] != wanted) return std::nullopt;
  }
  return a->base;
}

std::optional<Assigned> match(const Node& node) {
  const Value *x = node.inputs[0], *indices = node.inputs[1], *y = node.inputs[2];
  if (node.as<ScatterNDAttrs>().reduction != ScatterReduction::kNone) return std::nullopt;
  if (indices->shape.empty() || !indices->shape.back().is_const()) return std::nullopt;
  const auto tuple = static_cast<size_t>(indices->shape.back().int_value());
  // One dimension of the grid for each axis; what is behind them is written whole.
  if (indices->shape.size() != tuple + 1 || tuple == 0 || y->shape.size() != x->shape.size()) return std::nullopt;
  const std::vector<const Value*> parts = components(indices, tuple);
  if (parts.size() != tuple) return std::nullopt;
  Assigned result;
  for (size_t axis = 0; axis < x->shape.size(); ++axis) {
    const Dim &size = x->shape[axis], &written = y->shape[axis];
    if (axis >= tuple) {
      if (!(size == written)) return std::nullopt;
      continue;
    }
    auto start = start_along(parts[axis], axis, indices->shape);
    if (!start) return std::nullopt;
    if (*start == 0 && size == written) continue;
    if (result.axis || *start < 0) return std::nullopt;
    const Expr inside = less_equal(written + *start, size);
    if (!inside.is_const() || !inside.int_value() || !written.is_const()) return std::nullopt;
    result.axis = axis, result.start = *start, result.size = written;
  }
  return result;
}

Result<Value*> slice(Graph& g, Value* x, size_t axis, int64_t start, int64_t end, Node& before) {
  const int64_t starts[] = {start}, ends[] = {end}, axes[] = {static_cast<int64_t>(axis)};
  return insert(g, op_Slice, nullptr, {x, int64_constant(g, starts), int64_constant(g, ends), int64_constant(g, axes)},
                before);
}

Result<bool> raise(Graph& g, Node& node) {
  if (!node.is("ScatterND") || !g.used(node.output())) return false;
  auto assigned = match(node);
  if (!assigned) return false;
  Value *x = node.inputs[0], *y = node.inputs[2];
  if (!assigned->axis) {
    replace(g, node.output(), y, false);
    return true;
  }
  const size_t axis = *assigned->axis;
  const int64_t end = assigned->start + assigned->size.int_value();
  std::vector<Value*> parts;
  if (assigned->start > 0) {
    FOVEA_TRY_SET(Value * front, slice(g, x, axis, 0, assigned->start, node));
    parts.push_back(front);
  }
  parts.push_back(y);
  if (!x->shape[axis].is_const(end)) {
    FOVEA_TRY_SET(Value * back, slice(g, x, axis, end, std::numeric_limits<int64_t>::max(), node));
    parts.push_back(back);
  }
  FOVEA_TRY_SET(Value * fresh, insert(g, op_Concat, make_attrs(AxisAttrs{static_cast<int64_t>(axis)}), parts, node));
  replace(g, node.output(), fresh, true);
  return true;
}

}  // namespace

Result<bool> raise_slice_assign(Graph& graph, PassContext&) { return for_each_node(graph, raise); }

}  // namespace fovea::core
