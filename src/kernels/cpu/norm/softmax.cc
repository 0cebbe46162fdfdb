// Softmax along the last dimension, row by row, with Highway: the instruction set is picked at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm/softmax.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/table.h"
#include "ops/softmax.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::core {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Highway's Exp gives 0 for NaN, so rows with NaN or infinity, where the result is NaN anyway, take the plain way.
inline void plain_row(const float* x, float* y, size_t n) {
  float largest = x[0], sum = 0;
  for (size_t i = 1; i < n; ++i) largest = x[i] > largest || std::isnan(x[i]) ? x[i] : largest;
  for (size_t i = 0; i < n; ++i) sum += y[i] = std::exp(x[i] - largest);
  for (size_t i = 0; i < n; ++i) y[i] /= sum;
}

void softmax_rows(const float* x, float* y, int64_t rows, int64_t row_length) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d), n = static_cast<size_t>(row_length);
  const size_t whole = n - n % lanes;
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    if (n < lanes) {
      plain_row(x, y, n);
      continue;
    }
    // The last vector overlaps the one before it where the row is no multiple of the lanes.
    auto largest = hn::LoadU(d, x);
    auto odd = hn::Sub(largest, largest);  // 0, or NaN where there is NaN or infinity
    for (size_t i = lanes; i < whole; i += lanes) {
      const auto v = hn::LoadU(d, x + i);
      largest = hn::Max(largest, v);
      odd = hn::Add(odd, hn::Sub(v, v));
    }
    const auto last = hn::LoadU(d, x + n - lanes);
    largest = hn::Max(largest, last);
    odd = hn::Add(odd, hn::Sub(last, last));
    if (!(hn::GetLane(hn::SumOfLanes(d, odd)) == 0.0f)) {
      plain_row(x, y, n);
      continue;
    }
    const float top = hn::GetLane(hn::MaxOfLanes(d, largest));
    const auto shift = hn::Set(d, top);
    auto sums = hn::Zero(d);
    for (size_t i = 0; i < whole; i += lanes) {
      const auto e = hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), shift));
      sums = hn::Add(sums, e);
      hn::StoreU(e, d, y + i);
    }
    float sum = hn::GetLane(hn::SumOfLanes(d, sums));
    if (whole < n) {
      // Loaded before in-place stores would have changed it only if x and y overlap in this row's tail: `last` is kept.
      const auto e = hn::Exp(d, hn::Sub(last, shift));
      HWY_ALIGN float tail[HWY_MAX_BYTES / sizeof(float)];
      hn::Store(e, d, tail);
      for (size_t i = whole; i < n; ++i) sum += y[i] = tail[i - (n - lanes)];
    }
    const float scale = 1.0f / sum;
    const auto scales = hn::Set(d, scale);
    for (size_t i = 0; i < whole; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, y + i), scales), d, y + i);
    for (size_t i = whole; i < n; ++i) y[i] *= scale;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace fovea::core
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fovea::core {
namespace {

HWY_EXPORT(softmax_rows);

class SoftmaxKernel final : public PreparedKernel {
 public:
  Status run(KernelContext& c) const override {
    const TensorRef &x = c.in(0), &y = c.out();
    const int64_t length = x.dims[static_cast<size_t>(x.rank - 1)], rows = length == 0 ? 0 : x.count() / length;
    parallel_for(c.threads, rows, std::max<int64_t>(1, 4096 / std::max<int64_t>(length, 1)),
                 [&](int64_t begin, int64_t end) {
                   HWY_DYNAMIC_DISPATCH(softmax_rows)
                   (x.as<float>() + begin * length, y.as<float>() + begin * length, end - begin, length);
                 });
    return {};
  }
};

std::vector<Group> match(const Graph&, const Node& anchor) { return {single_node_group(anchor)}; }

std::string refuse(const Group& group) {
  const Value* x = group.inputs[0];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  const int64_t axis = group.nodes[0]->as<SoftmaxAttrs>().axis, rank = static_cast<int64_t>(x->shape.size());
  if (rank == 0 || (axis != rank - 1 && axis != -1)) return "not along the last dimension";
  return "";
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext&) {
  return std::unique_ptr<PreparedKernel>(std::make_unique<SoftmaxKernel>());
}

}  // namespace

const KernelRow kernel_softmax_rows = {.name = "softmax_rows",
                                       .op = "Softmax",
                                       .dynamic_shapes = true,
                                       .in_place = true,
                                       .match = match,
                                       .refuse = refuse,
                                       .prepare = prepare,
                                       .preference = 4};

}  // namespace fovea::core
#endif
