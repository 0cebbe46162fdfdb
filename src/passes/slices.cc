// Slices to constant ranges of what really holds the elements.
//   Slice(x, 2, size of x) == Slice(x, 2, INT64_MAX)             the end need not be computed
//   Slice(Concat(a, b), within b's part) == Slice(b)             along the Concat's axis
//   Gather(x, constant scalar i) == Squeeze(Slice(x, i, i + 1))  a view, where a Gather copies
#include "ops/axes.h"
#include "ops/axis.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea {
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

Result<Value*> insert_slice(Graph& g, Value* x, std::span<const int64_t> starts, std::span<const int64_t> ends, std::span<const int64_t> axes, Node& before) {
  return insert(g, op_Slice, nullptr, {x, int64_constant(g, starts), int64_constant(g, ends), int64_constant(g, axes)}, before);
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

Result<bool> slice_of_concat(Graph& g, Node& slice, const Ranges& r) {
  const Node* concat = slice.inputs[0]->producer;
  if (!concat || !concat->is("Concat")) return false;
  const int64_t axis = concat->as<AxisAttrs>().axis;
  auto range = range_along(r, axis, concat->output()->shape[static_cast<size_t>(axis)]);
  if (!range || range->start >= range->end) return false;
  int64_t begin = 0;
  for (Value* part : concat->inputs) {
    const Dim& size = part->shape[static_cast<size_t>(axis)];
    if (!size.is_const()) return false;
    const int64_t end = begin + size.int_value();
    if (range->start >= begin && range->end <= end) {
      std::vector<int64_t> starts, ends;
      for (size_t i = 0; i < r.axes.size(); ++i) {
        if (!r.starts[i].is_const() || !r.ends[i].is_const()) return false;
        const bool here = r.axes[i] == axis;
        starts.push_back(here ? range->start - begin : r.starts[i].int_value());
        ends.push_back(here ? range->end - begin : r.ends[i].int_value());
      }
      FOVEA_TRY_SET(Value * fresh, insert_slice(g, part, starts, ends, r.axes, slice));
      replace(g, slice.output(), fresh, true);
      return true;
    }
    begin = end;
  }
  return false;
}

Result<bool> gather_of_one(Graph& g, Node& node) {
  Value *x = node.inputs[0], *out = node.output();
  auto index = constant_ints(node.inputs[1]);
  // Elements that are known are better off in the propagation, which goes through Gather as well.
  if (!index || !node.inputs[1]->shape.empty() || x->known || x->is_constant()) return false;
  const int64_t i = (*index)[0], axis = node.as<AxisAttrs>().axis;
  const Dim& size = x->shape[static_cast<size_t>(axis)];
  if (i >= 0 ? size.lo() <= i : size.lo() < -i) return false;  // a Gather out of range is an error, a Slice is empty
  const int64_t starts[] = {i}, ends[] = {i == -1 ? kEnd : i + 1}, axes[] = {axis};
  FOVEA_TRY_SET(Value * part, insert_slice(g, x, starts, ends, axes, node));
  FOVEA_TRY_SET(Value * fresh, insert(g, op_Squeeze, make_attrs(AxesAttrs{{axis}}), {part}, node));
  replace(g, out, fresh, true);
  return true;
}

Result<bool> simplify(Graph& g, Node& node) {
  if (!node.output() || !g.used(node.output())) return false;
  if (node.is("Gather")) return gather_of_one(g, node);
  if (!node.is("Slice")) return false;
  auto r = ranges_of(node);
  if (!r) return false;
  FOVEA_TRY_SET(bool settled, settle_ends(g, node, *r));
  if (settled) return true;
  return slice_of_concat(g, node, *r);
}

}  // namespace

Result<bool> simplify_slices(Graph& graph, PassContext&) { return for_each_node(graph, simplify); }

}  // namespace fovea
