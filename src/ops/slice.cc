// Slice: ranges of indices with a step along some axes, as NumPy's x[start:end:step]. Inputs: data, starts, ends, axes
// (default: the first ones), steps (default: 1); axes and steps are known in every valid graph.
#include "ops/slice.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

// Where a forward range ends: end itself, or counted from the back where it is negative, at most size.
Expr forward_end(const Expr& end, const Expr& size) {
  auto from_front = [&] { return end.is_const() && end.int_value() >= kUnbounded ? size : min(end, size); };
  auto from_back = [&] { return end.is_const() && end.int_value() <= -kUnbounded ? Expr(0) : max(end + size, 0); };
  if (end.lo() >= 0) return from_front();
  if (end.hi() < 0) return from_back();
  return select(less(end, 0), from_back(), from_front());
}

// max(ceil((end - start) / step), 0) with start clamped. The clamps are moved outwards, where they simplify:
// start >= size leaves nothing anyway, and end - max(start + size, 0) == min(end - start - size, end).
Expr forward_length(const Expr& start, const Expr& end, const Expr& size, const Expr& step) {
  auto from_front = [&] {
    if (start.is_const() && start.int_value() >= kUnbounded) return Expr(0);
    return max(ceil_div(end - start, step), 0);
  };
  auto from_back = [&] {
    if (start.is_const() && start.int_value() <= -kUnbounded) return ceil_div(end, step);
    return max(min(ceil_div(end - start - size, step), ceil_div(end, step)), 0);
  };
  if (start.lo() >= 0) return from_front();
  if (start.hi() < 0) return from_back();
  return select(less(start, 0), from_back(), from_front());
}

// An index clamped to [lowest, size - 1], for negative steps. lowest is 0 (start) or -1 (end).
Expr backward_index(const Expr& index, const Expr& size, int64_t lowest) {
  auto from_front = [&] {
    return index.is_const() && index.int_value() >= kUnbounded ? size - 1 : min(index, size - 1);
  };
  auto from_back = [&] {
    if (index.is_const(-1)) return size - 1;
    Expr clamped = index.is_const() && index.int_value() <= -kUnbounded ? Expr(lowest) : max(index + size, lowest);
    return size.lo() >= 1 || lowest < 0 ? clamped : min(clamped, size - 1);
  };
  if (index.lo() >= 0) return from_front();
  if (index.hi() < 0) return from_back();
  return select(less(index, 0), from_back(), from_front());
}

// Its magnitude; beyond every size that memory can hold all steps are alike, and sums with them must stay clear of the
// bound at which expressions count as unbounded.
constexpr int64_t kLongestStep = int64_t{1} << 44;
Expr step_size(int64_t step) { return step < 0 ? -std::max(step, -kLongestStep) : std::min(step, kLongestStep); }

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  for (size_t i = 1; i < c.input_count(); ++i) {
    if (!c.has(i)) continue;
    FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == DType::kInt64, "int64"));
    FOVEA_TRY(c.expect_rank(i, 1));
    FOVEA_TRY(same_size(c, c.shape(i)[0], c.shape(1)[0], fmt::format("lengths of inputs {} and 1", i)).status());
  }
  if (!c.shape(1)[0].is_const()) return unsupported("{}: the number of starts is not known", c.node().label());
  const int64_t count = c.shape(1)[0].int_value();
  std::vector<int64_t> axes(static_cast<size_t>(std::clamp<int64_t>(count, 0, kMaxRank)));
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  if (c.has(3)) {
    auto given = c.ints(3);
    if (!given) return unsupported("{}: axes are computed by the network; they have to be constants", c.node().label());
    axes = *std::move(given);
  }
  if (static_cast<int64_t>(axes.size()) != count || count > c.rank(0))
    return c.error(fmt::format("{} starts and {} axes for shape {}", count, axes.size(), to_string(c.shape(0))));

  const Shape from = c.shape(0);
  Shape shape = from;
  SymValuePtr starts = c.known(1), ends = c.known(2), steps = c.has(4) ? c.known(4) : nullptr;
  std::vector<bool> seen(from.size());
  std::vector<std::optional<int64_t>> first(from.size(), 0), stride(from.size(), 1);  // where they are constants
  for (size_t i = 0; i < axes.size(); ++i) {
    FOVEA_TRY_SET(const int64_t axis, c.axis(axes[i], c.rank(0)));
    const auto a = static_cast<size_t>(axis);
    if (seen[a]) return c.error(fmt::format("axis {} is given twice", axis));
    seen[a] = true;
    const Dim& size = from[a];
    const std::optional<Expr> start = starts ? (*starts)[i] : std::nullopt, end = ends ? (*ends)[i] : std::nullopt;
    const std::optional<Expr> step = !c.has(4) ? Expr(1) : steps ? (*steps)[i] : std::nullopt;
    if (step && step->is_const(0)) return c.error(fmt::format("the step of axis {} is 0", axis));
    stride[a] = step ? step->constant() : std::nullopt;
    first[a] = std::nullopt;
    if (start && stride[a] && start->is_const() && size.is_const())
      first[a] = slice_start(start->int_value(), *stride[a], size.int_value());
    const Expr magnitude = step_size(stride[a].value_or(1));
    if (stride[a] && *stride[a] > 0 && start && end) {
      shape[a] = forward_length(*start, forward_end(*end, size), size, magnitude);
    } else if (stride[a] && *stride[a] < 0 && start && end) {
      shape[a] = max(ceil_div(backward_index(*start, size, 0) - backward_index(*end, size, -1), magnitude), 0);
    } else {
      // One bound alone still bounds the count.
      Dim most = size;
      if (stride[a] && *stride[a] > 0)
        most = forward_length(start.value_or(Expr(0)), end ? forward_end(*end, size) : size, size, magnitude);
      if (most.lo() < 0) most = size;
      shape[a] = c.data_dependent_size(0, static_cast<int>(axis), 0, most);
    }
  }
  c.set_output(0, c.dtype(0), std::move(shape));
  if (KnownTensor x = known_tensor(c, 0))
    propagate(c, 0, [&](std::span<const int64_t> at) -> std::optional<Expr> {
      std::vector<int64_t> source(at.begin(), at.end());
      for (size_t d = 0; d < source.size(); ++d) {
        if (!first[d] || !stride[d]) return std::nullopt;
        source[d] = *first[d] + (source[d] == 0 ? 0 : source[d] * *stride[d]);
      }
      return x.at(source);
    });
  return {};
}

Status import(ImportContext& c) {
  if (c.opset() >= 10) {
    FOVEA_TRY(only_attributes(c, {}));
    std::vector<Value*> inputs{c.input(0)};
    for (size_t i = 1; i < 5; ++i) {
      FOVEA_TRY_SET(Value * v, int64_input(c, i));
      inputs.push_back(v);
    }
    return emit_one(c, op_Slice, nullptr, std::move(inputs));
  }
  FOVEA_TRY(only_attributes(c, {"starts", "ends", "axes"}));
  return emit_one(c, op_Slice, nullptr,
                  {c.input(0), c.ints(c.ints_attr("starts")), c.ints(c.ints_attr("ends")),
                   c.has("axes") ? c.ints(c.ints_attr("axes")) : nullptr});
}

}  // namespace

const OpDef op_Slice = {
    .info = {.name = "Slice", .min_inputs = 3, .max_inputs = 5, .infer = infer, .reads_values = true},
    .onnx = {"Slice"},
    .import = import,
};

}  // namespace fovea::core
