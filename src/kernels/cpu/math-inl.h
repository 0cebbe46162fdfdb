// Functions of vectors of floats that Highway has not, or gives numbers for NaN. Compiled once for each instruction
// set.
#if defined(FOVEA_CPU_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_CPU_MATH_INL_H
#undef FOVEA_CPU_MATH_INL_H
#else
#define FOVEA_CPU_MATH_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace fovea::core {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// y, but x where that is NaN.
HWY_INLINE V keep_nan(V x, V y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }
HWY_INLINE V exp(V x) {
  const D d;
  const V top = hn::Set(d, 88.7228394f);
  const V e = hn::Exp(d, hn::Min(x, top));
  return keep_nan(x, hn::IfThenElse(hn::Gt(x, top), hn::Set(d, std::numeric_limits<float>::infinity()), e));
}

}  // namespace HWY_NAMESPACE
}  // namespace fovea::core
HWY_AFTER_NAMESPACE();

#endif
