#include "ops/norm.h"

#include <cmath>

#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

template <typename F>
void dispatch_float(DType type, F f) {
  if (type == DType::kFloat64) f(TypeTag<double>{});
  else f(TypeTag<float>{});
}

struct Statistics {
  double mean = 0, inverse_deviation = 0;
};
// Of `count` adjacent elements; the variance is the population's.
template <typename C>
Statistics statistics_of(const C* x, int64_t count, double epsilon) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i)
    squares += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
  return {mean, 1 / std::sqrt(squares / static_cast<double>(count) + epsilon)};
}

Status check_channels(const KernelContext& c) {
  for (size_t i = 1; i < c.inputs.size(); ++i)
    if (c.has(i) && c.in(i).count() != c.in(0).dims[1])
      return invalid_argument("input {}: {} numbers for {} channels", i, c.in(i).count(), c.in(0).dims[1]);
  return {};
}

// Elements of one channel of one image.
int64_t plane_size(const TensorRef& x) {
  int64_t size = 1;
  for (int i = 2; i < x.rank; ++i) size *= x.dims[static_cast<size_t>(i)];
  return size;
}

// y = (x - mean) * inverse deviation * scale + bias, the statistics of `group` adjacent channels taken together.
Status normalize_channels(KernelContext& c, int64_t groups, double epsilon) {
  FOVEA_TRY(check_channels(c));
  const TensorRef& x = c.in(0);
  const int64_t channels = x.dims[1], plane = plane_size(x);
  if (groups < 1 || channels % groups != 0)
    return invalid_argument("{} channels cannot be split into {} groups", channels, groups);
  const int64_t together = channels / groups;
  dispatch_float(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* in = load<C>(c, x);
    const double *scale = load<double>(c, c.in(1)), *bias = load<double>(c, c.in(2));
    C* out = result_buffer<C>(c, c.out());
    parallel_for(c.threads, x.count() == 0 ? 0 : x.dims[0] * groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g) {
        const int64_t start = g * together * plane;
        const Statistics s = statistics_of(in + start, together * plane, epsilon);
        for (int64_t i = 0; i < together * plane; ++i) {
          const int64_t channel = g % groups * together + i / plane;
          out[start + i] = static_cast<C>(
              (static_cast<double>(in[start + i]) - s.mean) * s.inverse_deviation * scale[channel] + bias[channel]);
        }
      }
    });
    finish(c, c.out(), out);
  });
  return {};
}

int axis_of(int64_t axis, const TensorRef& x) { return static_cast<int>(axis < 0 ? axis + x.rank : axis); }

// Can t be broadcast to x?
bool broadcastable(const TensorRef& t, const TensorRef& x) {
  if (t.rank > x.rank) return false;
  for (int i = 1; i <= t.rank; ++i) {
    const int64_t size = t.dims[static_cast<size_t>(t.rank - i)];
    if (size != 1 && size != x.dims[static_cast<size_t>(x.rank - i)]) return false;
  }
  return true;
}

}  // namespace

Status reference_BatchNormalization(KernelContext& c) {
  FOVEA_TRY(check_channels(c));
  const TensorRef& x = c.in(0);
  const double epsilon = c.attrs<EpsilonAttrs>().epsilon;
  const int64_t channels = x.dims[1], plane = plane_size(x);
  dispatch_float(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* in = load<C>(c, x);
    const double *scale = load<double>(c, c.in(1)), *bias = load<double>(c, c.in(2)), *mean = load<double>(c, c.in(3)),
                 *variance = load<double>(c, c.in(4));
    C* out = result_buffer<C>(c, c.out());
    parallel_for(c.threads, x.count() == 0 ? 0 : x.dims[0] * channels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t channel = p % channels;
        const double factor = scale[channel] / std::sqrt(variance[channel] + epsilon);
        for (int64_t i = p * plane; i < (p + 1) * plane; ++i)
          out[i] = static_cast<C>((static_cast<double>(in[i]) - mean[channel]) * factor + bias[channel]);
      }
    });
    finish(c, c.out(), out);
  });
  return {};
}

Status reference_InstanceNormalization(KernelContext& c) {
  return normalize_channels(c, c.in(0).dims[1] == 0 ? 1 : c.in(0).dims[1], c.attrs<EpsilonAttrs>().epsilon);
}

Status reference_GroupNormalization(KernelContext& c) {
  const auto& attrs = c.attrs<GroupNormAttrs>();
  return normalize_channels(c, attrs.num_groups, attrs.epsilon);
}

Status reference_LayerNormalization(KernelContext& c) {
  const auto& attrs = c.attrs<LayerNormAttrs>();
  const TensorRef& x = c.in(0);
  for (size_t i = 1; i < c.inputs.size(); ++i)
    if (c.has(i) && !broadcastable(c.in(i), x))
      return invalid_argument("input {} [{}] cannot be broadcast to [{}]", i, fmt::join(c.in(i).shape(), ","),
                              fmt::join(x.shape(), ","));
  int64_t size = 1;
  for (int i = axis_of(attrs.axis, x); i < x.rank; ++i) size *= x.dims[static_cast<size_t>(i)];
  const int64_t lines = size == 0 ? 0 : x.count() / size;
  float* mean = c.wants(1) ? result_buffer<float>(c, c.out(1)) : nullptr;
  float* deviation = c.wants(2) ? result_buffer<float>(c, c.out(2)) : nullptr;
  dispatch_float(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* in = load<C>(c, x);
    const double *scale = load<double>(c, c.in(1)), *bias = c.has(2) ? load<double>(c, c.in(2)) : nullptr;
    C* out = result_buffer<C>(c, c.out());
    const auto scale_strides = broadcast_strides(c.in(1).shape(), x.shape());
    const auto bias_strides = bias ? broadcast_strides(c.in(2).shape(), x.shape()) : std::array<int64_t, kMaxRank>{};
    Walker w(x.shape(), {scale_strides, bias_strides});
    for (int64_t l = 0; l < lines; ++l) {
      const Statistics s = statistics_of(in + l * size, size, attrs.epsilon);
      if (mean) mean[l] = static_cast<float>(s.mean);
      if (deviation) deviation[l] = static_cast<float>(s.inverse_deviation);
      for (int64_t i = l * size; i < (l + 1) * size; ++i, w.next())
        out[i] = static_cast<C>((static_cast<double>(in[i]) - s.mean) * s.inverse_deviation * scale[w.offset(0)] +
                                (bias ? bias[w.offset(1)] : 0));
    }
    finish(c, c.out(), out);
  });
  if (mean) finish(c, c.out(1), mean);
  if (deviation) finish(c, c.out(2), deviation);
  return {};
}

Status reference_LpNormalization(KernelContext& c) {
  const auto& attrs = c.attrs<LpNormalizationAttrs>();
  const TensorRef& x = c.in(0);
  const auto axis = static_cast<size_t>(axis_of(attrs.axis, x));
  const int64_t size = x.dims[axis], inner = row_major_strides(x.shape())[axis];
  dispatch_float(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* in = load<C>(c, x);
    C* out = result_buffer<C>(c, c.out());
    for (int64_t l = 0; l < (x.count() == 0 ? 0 : x.count() / size); ++l) {
      const int64_t start = l / inner * inner * size + l % inner;
      double sum = 0;
      for (int64_t i = 0; i < size; ++i) {
        const auto v = static_cast<double>(in[start + i * inner]);
        sum += attrs.p == 1 ? std::fabs(v) : v * v;
      }
      const double norm = attrs.p == 1 ? sum : std::sqrt(sum);
      for (int64_t i = 0; i < size; ++i)
        out[start + i * inner] = norm == 0 ? C(0) : static_cast<C>(static_cast<double>(in[start + i * inner]) / norm);
    }
    finish(c, c.out(), out);
  });
  return {};
}

Status reference_LRN(KernelContext& c) {
  const auto& attrs = c.attrs<LrnAttrs>();
  const TensorRef& x = c.in(0);
  const int64_t channels = x.dims[1], plane = plane_size(x), before = (attrs.size - 1) / 2,
                after = attrs.size - 1 - before;
  dispatch_float(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* in = load<C>(c, x);
    C* out = result_buffer<C>(c, c.out());
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t channel = i / plane % channels;
      double sum = 0;
      for (int64_t k = std::max<int64_t>(0, channel - before); k <= std::min(channels - 1, channel + after); ++k) {
        const auto v = static_cast<double>(in[i + (k - channel) * plane]);
        sum += v * v;
      }
      const double factor = std::pow(attrs.bias + attrs.alpha / static_cast<double>(attrs.size) * sum, attrs.beta);
      out[i] = static_cast<C>(static_cast<double>(in[i]) / factor);
    }
    finish(c, c.out(), out);
  });
  return {};
}

}  // namespace fovea::core
