#include "patterns/index_map.h"

#include "ir/infer.h"
#include "ops/axis.h"
#include "ops/cast.h"
#include "ops/transpose.h"

namespace fovea::core {
namespace {

constexpr int kMaxDepth = 32;
constexpr int64_t kMaxElements = 1 << 22;  // of a constant that is looked at

std::optional<AffineIndex> find(const Value* v, int depth);

// Reads the strides off the first elements, then checks every element.
std::optional<AffineIndex> of_constant(const Tensor& t) {
  if (t.dtype() != DType::kInt64 || t.count() == 0 || t.count() > kMaxElements) return std::nullopt;
  const auto values = t.as<int64_t>();
  const Dims& dims = t.dims();
  AffineIndex a{values[0], std::vector<int64_t>(dims.size())};
  size_t step = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    if (dims[d] > 1 && __builtin_sub_overflow(values[step], a.base, &a.strides[d])) return std::nullopt;
    step *= static_cast<size_t>(dims[d]);
  }
  std::vector<int64_t> at(dims.size());
  for (int64_t value : values) {
    int64_t expected = a.base, part;
    for (size_t d = 0; d < dims.size(); ++d)
      if (__builtin_mul_overflow(a.strides[d], at[d], &part) || __builtin_add_overflow(expected, part, &expected))
        return std::nullopt;
    if (value != expected) return std::nullopt;
    for (size_t d = dims.size(); d-- > 0 && ++at[d] == dims[d];) at[d] = 0;
  }
  return a;
}

std::optional<int64_t> known_number(const Value* v) {
  SymValuePtr known = v->constant ? known_of(*v->constant) : v->known;
  if (!known || known->size() != 1 || !(*known)[0]) return std::nullopt;
  return (*known)[0]->constant();
}

// Views that only add and drop dimensions of size 1.
std::optional<AffineIndex> of_view(const Node& node, int depth) {
  auto from = find(node.inputs[0], depth);
  if (!from) return std::nullopt;
  const Shape &old_shape = node.inputs[0]->shape, &shape = node.output()->shape;
  AffineIndex a{from->base, std::vector<int64_t>(shape.size())};
  size_t k = 0;
  auto skip_ones = [&] {
    while (k < old_shape.size() && old_shape[k].is_const(1)) ++k;
  };
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d].is_const(1)) continue;
    skip_ones();
    if (k >= old_shape.size() || !(old_shape[k] == shape[d])) return std::nullopt;
    a.strides[d] = from->strides[k++];
  }
  skip_ones();
  return k == old_shape.size() ? std::optional(a) : std::nullopt;
}

// Aligned to the right of `to`, stride 0 where a size of 1 is repeated.
std::optional<AffineIndex> broadcast(const AffineIndex& from, const Shape& shape, const Shape& to) {
  AffineIndex a{from.base, std::vector<int64_t>(to.size())};
  for (size_t d = 0; d < shape.size(); ++d) {
    const size_t at = d + to.size() - shape.size();
    if (shape[d].is_const(1)) continue;
    if (!(shape[d] == to[at])) return std::nullopt;
    a.strides[at] = from.strides[d];
  }
  return a;
}

std::optional<AffineIndex> of_range(const Node& node) {
  auto start = known_number(node.inputs[0]), delta = known_number(node.inputs[2]);
  if (!start || !delta || node.output()->dtype != DType::kInt64) return std::nullopt;
  return AffineIndex{*start, {node.output()->shape[0].is_const(1) ? 0 : *delta}};
}

std::optional<AffineIndex> of_sum(const Node& node, int64_t sign, int depth) {
  const Shape& to = node.output()->shape;
  std::optional<AffineIndex> operands[2];
  for (size_t i = 0; i < 2; ++i) {
    auto a = find(node.inputs[i], depth);
    operands[i] = a ? broadcast(*a, node.inputs[i]->shape, to) : std::nullopt;
    if (!operands[i]) return std::nullopt;
  }
  AffineIndex sum = *operands[0];
  auto add = [&](int64_t& x, int64_t y) {
    return !__builtin_mul_overflow(y, sign, &y) && !__builtin_add_overflow(x, y, &x);
  };
  if (!add(sum.base, operands[1]->base)) return std::nullopt;
  for (size_t d = 0; d < to.size(); ++d)
    if (!add(sum.strides[d], operands[1]->strides[d])) return std::nullopt;
  return sum;
}

std::optional<AffineIndex> of_transpose(const Node& node, int depth) {
  auto from = find(node.inputs[0], depth);
  if (!from) return std::nullopt;
  AffineIndex a{from->base, {}};
  for (int64_t p : node.as<TransposeAttrs>().perm) a.strides.push_back(from->strides[static_cast<size_t>(p)]);
  return a;
}

std::optional<AffineIndex> find(const Value* v, int depth) {
  if (!v || v->dtype != DType::kInt64 || depth > kMaxDepth) return std::nullopt;
  if (v->constant) return of_constant(*v->constant);
  if (!v->producer || v->shape.size() > kMaxRank) return std::nullopt;
  const Node& node = *v->producer;
  ++depth;
  if (node.is("Range")) return of_range(node);
  if (node.is("Reshape") || node.is("Squeeze") || node.is("Unsqueeze")) return of_view(node, depth);
  if (node.is("Add")) return of_sum(node, 1, depth);
  if (node.is("Sub")) return of_sum(node, -1, depth);
  if (node.is("Transpose")) return of_transpose(node, depth);
  if (node.is("Expand")) {
    auto from = find(node.inputs[0], depth);
    return from ? broadcast(*from, node.inputs[0]->shape, v->shape) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<AffineIndex> affine_index(const Value* value) { return find(value, 0); }

}  // namespace fovea::core
