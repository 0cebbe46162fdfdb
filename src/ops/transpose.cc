// Transpose: dimensions in another order.
#include "ops/transpose.h"

#include <fmt/ranges.h>

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status check_permutation(const std::vector<int64_t>& perm, size_t rank, std::vector<bool>& seen) {
  seen.assign(rank, false);
  bool ok = perm.size() == rank;
  for (int64_t p : perm) {
    ok = ok && p >= 0 && p < static_cast<int64_t>(rank) && !seen[static_cast<size_t>(p)];
    if (!ok) return invalid_model("perm [{}] is no permutation of {} dimensions", fmt::join(perm, ","), rank);
    seen[static_cast<size_t>(p)] = true;
  }
  return ok ? Status() : invalid_model("perm [{}] is no permutation of {} dimensions", fmt::join(perm, ","), rank);
}

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  const auto& perm = c.attrs<TransposeAttrs>().perm;
  std::vector<bool> seen;
  if (Status s = check_permutation(perm, c.shape(0).size(), seen); !s.ok()) return c.error(s.message());
  Shape shape;
  for (int64_t p : perm) shape.push_back(c.shape(0)[static_cast<size_t>(p)]);
  c.set_output(0, c.dtype(0), std::move(shape));
  if (KnownTensor x = known_tensor(c, 0))
    propagate(c, 0, [&](std::span<const int64_t> at) {
      std::vector<int64_t> source(at.size());
      for (size_t i = 0; i < at.size(); ++i) source[static_cast<size_t>(perm[i])] = at[i];
      return x.at(source);
    });
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(TransposeAttrs attrs, c.read<TransposeAttrs>());
  if (!c.input(0)) return c.error("input 0 is missing");
  const auto rank = static_cast<int64_t>(c.input(0)->shape.size());
  if (!c.has("perm"))
    for (int64_t i = rank; i-- > 0;) attrs.perm.push_back(i);
  for (int64_t& p : attrs.perm)
    if (p < 0) p += rank;
  return emit_one(c, op_Transpose, make_attrs(std::move(attrs)), {c.input(0)});
}

}  // namespace

const OpDef op_Transpose = {
    .info = {.name = "Transpose", .attrs = attrs_codec<TransposeAttrs>(), .infer = infer},
    .onnx = {"Transpose"},
    .import = import,
};

}  // namespace fovea::core
