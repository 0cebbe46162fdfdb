// Slices to constant ranges of what really holds the elements.
//   Slice(x, 2, size of x) == Slice(x, 2, INT64_MAX)             the end need not be computed
//   Slice(Slice(x, 1, 4), 1, 3) == Slice(x, 2, 4)
//   Slice(Concat(a, b, c), over b and c) == Concat(b, Slice(c))  along the Concat's axis
//   Concat(Concat(a, b), c) == Concat(a, b, c)
//   Gather(x, constant i) == Slice(x, i, i + 1), squeezed where i is a scalar: a view, where a Gather copies
#include "ops/axes.h"
#include "ops/axis.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

// starts, ends and axes of a Slice whose steps are all 1.
struct Ranges {
  std::vector<Expr> starts, ends;
  std::vector<int64_t> axes;
};

std::optional<std::vector<Expr>> elements(const Value* v) {
  SymValuePtr known = v->constant ? known_of(*v->constant) : fully_known(v);
  if (!known) return std::nullopt;
  std::vector<Expr> out;
  for (const auto& e : *known) out.push_back(*e);
  return out;
}

std::optional<Ranges> ranges_of(const Node& slice) {
  Ranges r;
  auto starts = elements(slice.inputs[1]), ends = elements(slice.inputs[2]);
  if (!starts || !ends) return std::nullopt;
  if (slice.input(4)) {
    auto steps = constant_ints(slice.input(4));
    if (!steps || std::any_of(steps->begin(), steps->end(), [](int64_t s) { return s != 1; })) return std::nullopt;
  }
  if (slice.input(3)) {
    auto axes = constant_ints(slice.input(3));
    if (!axes) return std::nullopt;
    r.axes = *axes;
  } else {
    for (size_t i = 0; i < starts->size(); ++i) r.axes.push_back(static_cast<int64_t>(i));
  }
  const auto rank = static_cast<int64_t>(slice.inputs[0]->shape.size());
  for (int64_t& a : r.axes) a = a < 0 ? a + rank : a;
  r.starts = *std::move(starts), r.ends = *std::move(ends);
  return r;
}

Result<Value*> insert_slice(Graph& g, Value* x, std::span<const int64_t> starts, std::span<const int64_t> ends,
                            std::span<const int64_t> axes, Node& before) {
  return insert(g, op_Slice, nullptr, {x, int64_constant(g, starts), int64_constant(g, ends), int64_constant(g, axes)},
                before);
}

// Ends that are the size itself, or surely past it, become INT64_MAX: constants, where the rest is constant.
Result<bool> settle_ends(Graph& g, Node& slice, const Ranges& r) {
  if (slice.inputs[1]->is_constant() && slice.inputs[2]->is_constant()) return false;
  std::vector<int64_t> starts, ends;
  for (size_t i = 0; i < r.axes.size(); ++i) {
    const Dim& size = slice.inputs[0]->shape[static_cast<size_t>(r.axes[i])];
    const Expr past = less_equal(size, r.ends[i]);
    if (!r.starts[i].is_const()) return false;
    if (past.is_const() && past.int_value()) ends.push_back(kEnd);
    else if (r.ends[i].is_const()) ends.push_back(r.ends[i].int_value());
    else return false;
    starts.push_back(r.starts[i].int_value());
  }
  g.set_input(&slice, 1, int64_constant(g, starts));
  g.set_input(&slice, 2, int64_constant(g, ends));
  return true;
}

// A range along one axis in numbers, counted from the front; the axis must have a constant size.
struct Range {
  int64_t start, end;
};
std::optional<Range> range_along(const Ranges& r, int64_t axis, const Dim& size) {
  if (!size.is_const()) return std::nullopt;
  const int64_t n = size.int_value();
  for (size_t i = 0; i < r.axes.size(); ++i) {
    if (r.axes[i] != axis) continue;
    if (!r.starts[i].is_const() || !r.ends[i].is_const()) return std::nullopt;
    auto place = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? std::max(v, -n) + n : v, 0, n); };
    return Range{place(r.starts[i].int_value()), place(r.ends[i].int_value())};
  }
  return Range{0, n};
}

// The same ranges with another one along `axis`, of `x`. Along a whole axis nothing needs to be said.
Result<Value*> slice_with(Graph& g, Value* x, const Ranges& r, int64_t axis, Range range, Node& before) {
  std::vector<int64_t> starts, ends, axes;
  auto add = [&](int64_t a, int64_t start, int64_t end) {
    axes.push_back(a), starts.push_back(start), ends.push_back(end);
  };
  if (range.start != 0 || !x->shape[static_cast<size_t>(axis)].is_const(range.end)) add(axis, range.start, range.end);
  for (size_t i = 0; i < r.axes.size(); ++i)
    if (r.axes[i] != axis) add(r.axes[i], r.starts[i].int_value(), r.ends[i].int_value());
  if (axes.empty()) return x;
  return insert_slice(g, x, starts, ends, axes, before);
}

bool all_constant(const Ranges& r) {
  auto constant = [](const Expr& e) { return e.is_const(); };
  return std::all_of(r.starts.begin(), r.starts.end(), constant) && std::all_of(r.ends.begin(), r.ends.end(), constant);
}

bool only_concatenated(const Graph& g, const Value* v, int64_t axis) {
  return !g.is_output(v) && std::all_of(v->uses.begin(), v->uses.end(), [&](const Use& use) {
    return use.node->is("Concat") && use.node->as<AxisAttrs>().axis == axis;
  });
}

Result<bool> slice_of_concat(Graph& g, Node& slice, const Ranges& r) {
  const Node* concat = slice.inputs[0]->producer;
  if (!concat || !concat->is("Concat") || !all_constant(r)) return false;
  const int64_t axis = concat->as<AxisAttrs>().axis;
  auto range = range_along(r, axis, concat->output()->shape[static_cast<size_t>(axis)]);
  if (!range || range->start >= range->end) return false;
  struct Piece {
    Value* value;
    Range range;
  };
  std::vector<Piece> pieces;
  int64_t begin = 0;
  for (Value* part : concat->inputs) {
    const Dim& size = part->shape[static_cast<size_t>(axis)];
    if (!size.is_const()) return false;
    const int64_t end = begin + size.int_value();
    const Range here{std::max(range->start, begin) - begin, std::min(range->end, end) - begin};
    if (here.start < here.end) pieces.push_back({part, here});
    begin = end;
  }
  // Parts that are needed whole stay; if nothing is left out, nothing is gained.
  if (pieces.size() == concat->inputs.size()) return false;
  // A Concat that stays is there to be looked into: a second one of some of its parts would copy them.
  if (pieces.size() > 1 && !single_use(g, concat->output()) && !only_concatenated(g, slice.output(), axis))
    return false;
  std::vector<Value*> parts;
  for (const Piece& p : pieces) {
    FOVEA_TRY_SET(Value * part, slice_with(g, p.value, r, axis, p.range, slice));
    parts.push_back(part);
  }
  Value* fresh = parts[0];
  if (parts.size() > 1) {
    FOVEA_TRY_SET(fresh, insert(g, op_Concat, make_attrs(AxisAttrs{axis}), parts, slice));
  }
  replace(g, slice.output(), fresh, fresh->uses.empty());  // a part that was there before keeps its own name
  return true;
}

// Slice(Slice(x)): both ranges along an axis of constant size are one; an axis that only one of them cuts is copied.
Result<bool> slice_of_slice(Graph& g, Node& slice, const Ranges& outer) {
  const Node* node = slice.inputs[0]->producer;
  if (!node || !node->is("Slice") || !all_constant(outer)) return false;
  auto inner = ranges_of(*node);
  if (!inner || !all_constant(*inner)) return false;
  Ranges both = *inner;
  for (size_t i = 0; i < outer.axes.size(); ++i) {
    const auto axis = static_cast<size_t>(outer.axes[i]);
    auto at = std::find(inner->axes.begin(), inner->axes.end(), outer.axes[i]);
    if (at == inner->axes.end()) {
      both.axes.push_back(outer.axes[i]), both.starts.push_back(outer.starts[i]), both.ends.push_back(outer.ends[i]);
      continue;
    }
    auto first = range_along(*inner, outer.axes[i], node->inputs[0]->shape[axis]);
    auto second = range_along(outer, outer.axes[i], node->output()->shape[axis]);
    if (!first || !second) return false;
    const auto k = static_cast<size_t>(at - inner->axes.begin());
    both.starts[k] = first->start + second->start;
    both.ends[k] = first->start + std::max(second->start, second->end);
  }
  std::vector<int64_t> starts, ends;
  for (size_t i = 0; i < both.axes.size(); ++i)
    starts.push_back(both.starts[i].int_value()), ends.push_back(both.ends[i].int_value());
  FOVEA_TRY_SET(Value * fresh, insert_slice(g, node->inputs[0], starts, ends, both.axes, slice));
  add_origin(*fresh->producer, *node);
  replace(g, slice.output(), fresh, true);
  return true;
}

// Steps that are all 1 need not be said.
bool drop_steps(Graph& g, Node& slice) {
  auto steps = constant_ints(slice.input(4));
  if (!steps || std::any_of(steps->begin(), steps->end(), [](int64_t s) { return s != 1; })) return false;
  g.remove_node_input(&slice, 4);
  return true;
}

Result<bool> concat_of_concat(Graph& g, Node& node) {
  const int64_t axis = node.as<AxisAttrs>().axis;
  std::vector<Value*> parts;
  bool found = false;
  for (Value* v : node.inputs) {
    const Node* inner = v->producer;
    const bool flat = inner && inner->is("Concat") && inner->as<AxisAttrs>().axis == axis && single_use(g, v);
    if (flat) parts.insert(parts.end(), inner->inputs.begin(), inner->inputs.end()), add_origin(node, *inner);
    else parts.push_back(v);
    found |= flat;
  }
  if (!found) return false;
  FOVEA_TRY_SET(Value * fresh, insert(g, op_Concat, make_attrs(AxisAttrs{axis}), parts, node));
  replace(g, node.output(), fresh, true);
  return true;
}

Result<bool> gather_of_one(Graph& g, Node& node) {
  Value *x = node.inputs[0], *out = node.output();
  auto index = constant_ints(node.inputs[1]);
  // Elements that are known are better off in the propagation, which goes through Gather as well.
  if (!index || index->size() != 1 || node.inputs[1]->shape.size() > 1 || x->known || x->is_constant()) return false;
  const int64_t i = (*index)[0], axis = node.as<AxisAttrs>().axis;
  const Dim& size = x->shape[static_cast<size_t>(axis)];
  if (i >= 0 ? size.lo() <= i : size.lo() < -i) return false;  // a Gather out of range is an error, a Slice is empty
  const int64_t starts[] = {i}, ends[] = {i == -1 ? kEnd : i + 1}, axes[] = {axis};
  FOVEA_TRY_SET(Value * fresh, insert_slice(g, x, starts, ends, axes, node));
  if (node.inputs[1]->shape.empty()) {
    FOVEA_TRY_SET(fresh, insert(g, op_Squeeze, make_attrs(AxesAttrs{{axis}}), {fresh}, node));
  }
  replace(g, out, fresh, true);
  return true;
}

Result<bool> simplify(Graph& g, Node& node) {
  if (!node.output() || !g.used(node.output())) return false;
  if (node.is("Gather")) return gather_of_one(g, node);
  if (node.is("Concat")) return concat_of_concat(g, node);
  if (!node.is("Slice")) return false;
  const bool dropped = drop_steps(g, node);
  auto r = ranges_of(node);
  if (!r) return dropped;
  FOVEA_TRY_SET(bool settled, settle_ends(g, node, *r));
  if (settled) return true;
  FOVEA_TRY_SET(bool composed, slice_of_slice(g, node, *r));
  if (composed) return true;
  FOVEA_TRY_SET(bool cut, slice_of_concat(g, node, *r));
  return dropped || cut;
}

}  // namespace

Result<bool> simplify_slices(Graph& graph, PassContext&) { return for_each_node(graph, simplify); }

}  // namespace fovea::core
