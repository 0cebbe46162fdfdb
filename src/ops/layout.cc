#include "ops/layout.h"

#include "ops/axis.h"
#include "ops/cast.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fovea::core {

std::optional<std::vector<int64_t>> known_ints(const Value* value) {
  if (!value) return std::nullopt;
  if (value->constant) {
    if (!is_integer(value->dtype)) return std::nullopt;
    return value->constant->to_ints();
  }
  if (!value->known) return std::nullopt;
  std::vector<int64_t> out;
  for (const auto& e : *value->known) {
    if (!e || e->dtype() != DType::kInt64 || !e->is_const()) return std::nullopt;
    out.push_back(e->int_value());
  }
  return out;
}

std::optional<int64_t> known_int(const Value* value) {
  auto v = known_ints(value);
  return v && v->size() == 1 ? std::optional((*v)[0]) : std::nullopt;
}

Result<Value*> int64_input(ImportContext& c, size_t i) {
  Value* v = c.input(i);
  if (!v || v->dtype == DType::kInt64) return v;
  if (v->dtype != DType::kInt32)
    return c.error(fmt::format("input {} '{}': expected int32 or int64, found {}", i, v->name, to_string(v->dtype)));
  if (v->constant) {
    std::vector<int64_t> wide = v->constant->to_ints();
    return c.constant(Tensor::of<int64_t>(v->constant->dims(), std::span<const int64_t>(wide)));
  }
  FOVEA_TRY_SET(Node * node, c.emit(op_Cast, make_attrs(CastAttrs{.to = DType::kInt64}), {v}));
  return node->output();
}

Result<std::optional<std::vector<int64_t>>> axes_attr_or_input(ImportContext& c, size_t i) {
  if (c.has("axes")) return std::optional(c.ints_attr("axes"));
  const Value* v = c.input(i);
  if (!v) return std::optional<std::vector<int64_t>>();
  auto axes = known_ints(v);
  if (!axes)
    return c.unsupported(fmt::format("axes '{}' are computed by the network; they have to be constants", v->name));
  return axes;
}

Result<int64_t> normal_axis(const ImportContext& c, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return c.error(fmt::format("expected an axis in [{}, {}), found {}", -rank, rank, axis));
  return axis < 0 ? axis + rank : axis;
}

Result<std::vector<int64_t>> normal_axes(const ImportContext& c, std::vector<int64_t> axes, int64_t rank) {
  std::vector<bool> seen(static_cast<size_t>(rank));
  for (int64_t& axis : axes) {
    FOVEA_TRY_SET(axis, normal_axis(c, axis, rank));
    if (seen[static_cast<size_t>(axis)]) return c.error(fmt::format("axis {} is given twice", axis));
    seen[static_cast<size_t>(axis)] = true;
  }
  return axes;
}

Result<Value*> flattened_shape(ImportContext& c, Value* x, size_t axis) {
  const auto rank = static_cast<int64_t>(x->shape.size()), middle = static_cast<int64_t>(axis);
  const Dim before = product(std::span(x->shape).first(axis)), after = product(std::span(x->shape).subspan(axis));
  if (before.is_const() && after.is_const()) return c.ints({before.int_value(), after.int_value()});
  // One size may be left open if the other is a number; of no elements at all, it would say nothing.
  if (before.is_const() && !before.is_const(0)) return c.ints({before.int_value(), -1});
  if (after.is_const() && !after.is_const(0)) return c.ints({-1, after.int_value()});
  const auto size = [&](const Dim& d, int64_t first, int64_t last) -> Result<Value*> {
    if (d.is_const()) return c.ints({d.int_value()});
    FOVEA_TRY_SET(Node * sizes, c.emit(op_Shape, make_attrs(ShapeAttrs{first, last}), {x}));
    FOVEA_TRY_SET(Node * all, c.emit(op_ReduceProd, make_attrs(ReduceAttrs{.axes = {0}}), {sizes->output()}));
    return all->output();
  };
  FOVEA_TRY_SET(Value * outer, size(before, 0, middle));
  FOVEA_TRY_SET(Value * inner, size(after, middle, rank));
  FOVEA_TRY_SET(Node * both, c.emit(op_Concat, make_attrs(AxisAttrs{0}), {outer, inner}));
  return both->output();
}

Status only_attributes(const ImportContext& c, std::initializer_list<std::string_view> known) {
  for (const auto& [name, unused] : const_cast<ImportContext&>(c).node().attributes)
    if (std::find(known.begin(), known.end(), name) == known.end())
      return c.unsupported(fmt::format("attribute '{}' is not known to fovea", name));
  return {};
}

Status emit_one(ImportContext& c, const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs) {
  FOVEA_TRY(c.deferred());
  FOVEA_TRY_SET(Node * node, c.emit(op, std::move(attrs), std::move(inputs)));
  c.set_output(0, node->output());
  return {};
}

Status refuse_strings(const InferContext& c, size_t i) {
  if (c.dtype(i) != DType::kString) return {};
  return unsupported("{}: input {} holds strings, which no kernel takes", const_cast<InferContext&>(c).node().label(),
                     i);
}

Result<Dim> as_size(const InferContext& c, const Expr& e, std::string_view what) {
  if (e.is_const() && e.int_value() < 0)
    return c.error(fmt::format("{} is {}, a size is at least 0", what, e.int_value()));
  return e.lo() < 0 ? max(e, 0) : e;
}

Result<Dim> same_size(const InferContext& c, const Dim& a, const Dim& b, std::string_view what) {
  if (a == b) return a;
  if (a.is_const() && b.is_const())
    return c.error(fmt::format("{}: sizes {} and {} should be equal", what, a.str(), b.str()));
  return b.is_const() ? b : a;
}

std::optional<std::vector<int64_t>> small_shape(const Shape& shape) {
  auto dims = constant_shape(shape);
  auto count = dims ? element_count(*dims) : std::nullopt;
  if (!count || *count > kMaxSymElements) return std::nullopt;
  return dims;
}

namespace {
size_t flat_index(std::span<const int64_t> coordinates, const std::vector<int64_t>& dims) {
  int64_t index = 0;
  for (size_t i = 0; i < dims.size(); ++i) index = index * dims[i] + coordinates[i];
  return static_cast<size_t>(index);
}
}  // namespace

const std::optional<Expr>& KnownTensor::at(std::span<const int64_t> coordinates) const {
  return (*values)[flat_index(coordinates, dims)];
}

KnownTensor known_tensor(const InferContext& c, size_t i) {
  if (!c.has(i)) return {};
  SymValuePtr values = c.known(i);
  auto dims = values ? small_shape(c.shape(i)) : std::nullopt;
  if (!dims || *element_count(*dims) != static_cast<int64_t>(values->size())) return {};
  return {std::move(values), *std::move(dims)};
}

void propagate(InferContext& c, size_t output, const ElementRule& element) {
  const Value* v = c.node().output(output);
  auto dims = v ? small_shape(v->shape) : std::nullopt;
  if (!dims) return;
  const int64_t count = *element_count(*dims);
  SymValue known;
  std::vector<int64_t> at(dims->size());
  for (int64_t i = 0; i < count; ++i) {
    known.push_back(element(at));
    for (size_t d = dims->size(); d-- > 0;) {
      if (++at[d] < (*dims)[d]) break;
      at[d] = 0;
    }
  }
  c.set_known(output, std::move(known));
}

SymValue broadcast_known(const KnownTensor& from, const std::vector<int64_t>& to) {
  SymValue out;
  const int64_t count = *element_count(to);
  const size_t shift = to.size() - from.dims.size();
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, index = 0, stride = 1;
    for (size_t d = to.size(); d-- > 0;) {
      const int64_t position = rest % to[d];
      rest /= to[d];
      if (d < shift) continue;
      if (from.dims[d - shift] != 1) index += position * stride;
      stride *= from.dims[d - shift];
    }
    out.push_back((*from.values)[static_cast<size_t>(index)]);
  }
  return out;
}

}  // namespace fovea::core
