// Cast: each element in another type. To integers from floats it truncates; integers keep their low bits.
#include "ops/cast.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

bool fits_int32(const Expr& e) { return e.lo() >= INT32_MIN && e.hi() <= INT32_MAX; }

// Known elements of int32 tensors are int64 expressions: they stay known only where nothing can wrap.
std::optional<Expr> cast_element(const Expr& e, DType to) {
  switch (to) {
    case DType::kInt64:
    case DType::kFloat32:
    case DType::kFloat64:
    case DType::kBool: return cast(e, to);
    case DType::kInt32: {
      Expr wide = cast(e, DType::kInt64);
      // Floats out of range become the smallest number, as x86 has it; integers keep their low bits.
      if (wide.is_const())
        return fits_int32(wide) || !is_float(e.dtype()) ? Expr(int64_t{static_cast<int32_t>(wide.int_value())})
                                                        : Expr(int64_t{INT32_MIN});
      if (!is_float(e.dtype()) && fits_int32(wide)) return wide;
      return std::nullopt;
    }
    default: return std::nullopt;
  }
}

Status infer(InferContext& c) {
  const DType to = c.attrs<CastAttrs>().to, from = c.dtype(0);
  for (DType t : {from, to})
    if (t == DType::kString || is_complex(t))
      return unsupported("{}: no conversion from {} to {}", c.node().label(), to_string(from), to_string(to));
  if (to == DType::kUndefined) return c.error("the type to cast to is undefined");
  c.set_output(0, to, c.shape(0));
  SymValuePtr known = c.known(0);
  if (!known) return {};
  SymValue out;
  for (const auto& e : *known) out.push_back(e ? cast_element(*e, to) : std::nullopt);
  c.set_known(0, std::move(out));
  return {};
}

}  // namespace

const OpDef op_Cast = {
    .info = {.name = "Cast", .attrs = attrs_codec<CastAttrs>(), .infer = infer},
    .onnx = {"Cast"},
    .import = import_as_is<CastAttrs>,
};

}  // namespace fovea::core
