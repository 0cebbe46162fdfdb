// What operators that move elements share: inputs that are attributes in the canonical form, and propagation of known
// elements by coordinates.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "ops/op.h"

namespace fovea::core {

// ---- import
// The elements of `value` where each is a known integer, from a constant or by propagation.
std::optional<std::vector<int64_t>> known_ints(const Value* value);
// Input i as int64: ONNX lets many index inputs be int32 as well. Null if absent.
Result<Value*> int64_input(ImportContext& c, size_t i);
// Axes that some versions give as attribute `axes` and others as input i; nullopt if neither is there.
Result<std::optional<std::vector<int64_t>>> axes_attr_or_input(ImportContext& c, size_t i);
// Axes made non-negative, checked for range and repetition, in the order given.
Result<std::vector<int64_t>> normal_axes(const ImportContext& c, std::vector<int64_t> axes, int64_t rank);
Result<int64_t> normal_axis(const ImportContext& c, int64_t axis, int64_t rank);
// A tensor's first element as an integer, or nullopt.
std::optional<int64_t> known_int(const Value* value);
// The target of a Reshape of x to two dimensions, those before `axis` and those from it on. Size 0 is itself.
Result<Value*> flattened_shape(ImportContext& c, Value* x, size_t axis);
// Attributes outside `known` are errors, for imports that read theirs one by one.
Status only_attributes(const ImportContext& c, std::initializer_list<std::string_view> known);
Status emit_one(ImportContext& c, const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs);

// ---- inference
// The reference kernels move any element but strings.
Status refuse_strings(const InferContext& c, size_t i);
// A size that has to be a whole number from zero: the elements of a shape input.
Result<Dim> as_size(const InferContext& c, const Expr& e, std::string_view what);
// Two sizes that a valid model makes equal; constants that differ are an error.
Result<Dim> same_size(const InferContext& c, const Dim& a, const Dim& b, std::string_view what);
// Elements of a constant shape with at most kMaxSymElements of them, or nullopt.
std::optional<std::vector<int64_t>> small_shape(const Shape& shape);

// Known elements with their place.
struct KnownTensor {
  SymValuePtr values;
  std::vector<int64_t> dims;
  explicit operator bool() const { return values != nullptr; }
  const std::optional<Expr>& at(std::span<const int64_t> coordinates) const;
};
KnownTensor known_tensor(const InferContext& c, size_t i);

// What is known of output `output`, whose shape is set: element(coordinates) is asked for each element if they are few.
using ElementRule = std::function<std::optional<Expr>(std::span<const int64_t> coordinates)>;
void propagate(InferContext& c, size_t output, const ElementRule& element);
// The same for an element-wise rule of broadcast inputs, which are known all.
SymValue broadcast_known(const KnownTensor& from, const std::vector<int64_t>& to);

}  // namespace fovea::core
