#include "ops/activation.h"

#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {
namespace {

// Both forms of exp() stay finite: neither side of zero overflows.
template <typename C>
C sigmoid(C x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const C e = std::exp(x);
  return e / (1 + e);
}
template <typename C>
C softplus(C x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
template <typename C>
C hard_sigmoid(C x, C alpha, C beta) {
  const C y = alpha * x + beta;
  return y < 0 ? C(0) : y > 1 ? C(1) : y;
}

}  // namespace

Status reference_Sigmoid(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return sigmoid(x); });
}
Status reference_Tanh(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::tanh(x); });
}
Status reference_HardSigmoid(KernelContext& c) {
  const auto& a = c.attrs<HardSigmoidAttrs>();
  return reference_unary_float(
      c, [&](auto x) { return hard_sigmoid(x, static_cast<decltype(x)>(a.alpha), static_cast<decltype(x)>(a.beta)); });
}
Status reference_HardSwish(KernelContext& c) {
  return reference_unary_float(c, [](auto x) {
    using C = decltype(x);
    return x * hard_sigmoid(x, C(1) / C(6), C(0.5));
  });
}
Status reference_LeakyRelu(KernelContext& c) {
  const double alpha = c.attrs<LeakyReluAttrs>().alpha;
  return reference_unary_float(c, [=](auto x) { return x < 0 ? static_cast<decltype(x)>(alpha) * x : x; });
}
Status reference_Elu(KernelContext& c) {
  const double alpha = c.attrs<AlphaAttrs>().alpha;
  return reference_unary_float(c, [=](auto x) { return x < 0 ? static_cast<decltype(x)>(alpha) * std::expm1(x) : x; });
}
Status reference_Celu(KernelContext& c) {
  const double alpha = c.attrs<AlphaAttrs>().alpha;
  return reference_unary_float(c, [=](auto x) {
    const auto a = static_cast<decltype(x)>(alpha);
    return x < 0 ? a * std::expm1(x / a) : x;
  });
}
Status reference_Selu(KernelContext& c) {
  const auto& a = c.attrs<SeluAttrs>();
  return reference_unary_float(c, [&](auto x) {
    using C = decltype(x);
    return static_cast<C>(a.gamma) * (x < 0 ? static_cast<C>(a.alpha) * std::expm1(x) : x);
  });
}
Status reference_ThresholdedRelu(KernelContext& c) {
  const double alpha = c.attrs<AlphaAttrs>().alpha;
  return reference_unary_float(c, [=](auto x) { return x > static_cast<decltype(x)>(alpha) ? x : decltype(x)(0); });
}
Status reference_Softplus(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return softplus(x); });
}
Status reference_Softsign(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return x / (1 + std::fabs(x)); });
}
Status reference_Mish(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return x * std::tanh(softplus(x)); });
}
Status reference_Swish(KernelContext& c) {
  const double alpha = c.attrs<AlphaAttrs>().alpha;
  return reference_unary_float(c, [=](auto x) { return x * sigmoid(static_cast<decltype(x)>(alpha) * x); });
}
Status reference_Gelu(KernelContext& c) {
  const bool by_tanh = c.attrs<GeluAttrs>().approximate == GeluApproximation::kTanh;
  return reference_unary_float(c, [=](auto x) {
    using C = decltype(x);
    if (by_tanh) return C(0.5) * x * (1 + std::tanh(C(0.7978845608028654) * (x + C(0.044715) * x * x * x)));
    return C(0.5) * x * (1 + std::erf(x * C(0.7071067811865476)));
  });
}

}  // namespace fovea::core
