#include "plan/views.h"

#include "ops/axis.h"
#include "ops/transpose.h"

namespace fovea::core {
namespace {

// Known, positive steps, and starts inside the dimension whatever its size; others are the kernel's to clamp.
std::optional<Strides> slice(const Node& n, Strides s) {
  auto list = [&](size_t i) -> std::optional<std::vector<int64_t>> {
    const Value* v = n.input(i);
    if (!v || !v->constant || v->dtype != DType::kInt64) return std::nullopt;
    return v->constant->to_ints();
  };
  const auto starts = list(1), axes = list(3), steps = list(4);
  if (!starts || (n.input(3) && !axes) || (n.input(4) && !steps)) return std::nullopt;
  const Shape& shape = n.inputs[0]->shape;
  const auto rank = static_cast<int64_t>(shape.size());
  for (size_t i = 0; i < starts->size(); ++i) {
    int64_t axis = axes ? (*axes)[i] : static_cast<int64_t>(i);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return std::nullopt;
    const auto a = static_cast<size_t>(axis);
    const int64_t start = (*starts)[i], step = steps ? (*steps)[i] : 1;
    if (step < 1 || start < 0 || start > shape[a].lo()) return std::nullopt;
    s.offset = s.offset + s.pitch[a] * start;
    s.pitch[a] = s.pitch[a] * step;
  }
  return s;
}

std::optional<Strides> split(const Node& n, size_t output, Strides s) {
  const auto axis = static_cast<size_t>(n.as<AxisAttrs>().axis);
  for (size_t i = 0; i < output; ++i) {
    if (!n.outputs[i]) return std::nullopt;
    s.offset = s.offset + s.pitch[axis] * n.outputs[i]->shape[axis];
  }
  return s;
}

Strides transpose(const Node& n, const Strides& source) {
  Strides s{{}, source.offset};
  for (int64_t axis : n.as<TransposeAttrs>().perm) s.pitch.push_back(source.pitch[static_cast<size_t>(axis)]);
  return s;
}

// A dimension that is repeated has the stride 0.
std::optional<Strides> expand(const Node& n, const Strides& source) {
  const Shape &from = n.inputs[0]->shape, &to = n.output()->shape;
  Strides s{Shape(to.size(), Dim(0)), source.offset};
  const size_t shift = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i + shift]) s.pitch[i + shift] = source.pitch[i];
    else if (!from[i].is_const(1)) return std::nullopt;
  }
  return s;
}

}  // namespace

Strides dense_strides(const Shape& shape) {
  Strides s{Shape(shape.size(), Dim(1)), 0};
  for (size_t i = shape.size(); i-- > 1;) s.pitch[i - 1] = s.pitch[i] * shape[i];
  return s;
}

bool is_strided_view(const Node& n) { return n.is("Slice") || n.is("Split") || n.is("Transpose") || n.is("Expand"); }

bool copies_runs(const Node& n) { return n.is("Slice") || n.is("Split"); }

std::optional<Strides> view_of(const Node& n, size_t output, const Strides& source) {
  if (n.is("Slice")) return slice(n, source);
  if (n.is("Split")) return split(n, output, source);
  if (n.is("Transpose")) return transpose(n, source);
  return n.is("Expand") ? expand(n, source) : std::nullopt;
}

}  // namespace fovea::core
