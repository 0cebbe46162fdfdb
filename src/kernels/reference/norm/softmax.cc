#include "ops/softmax.h"

#include <cmath>
#include <limits>

#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

// f(line, largest, sum of exp(x - largest), i) for every element x = line[i] along the axis.
template <typename F>
Status along_axis(KernelContext& c, F f) {
  const TensorRef& x = c.in(0);
  const int64_t axis = c.attrs<SoftmaxAttrs>().axis;
  const auto a = static_cast<size_t>(axis < 0 ? axis + x.rank : axis);
  const int64_t size = x.dims[a], inner = row_major_strides(x.shape())[a];
  auto run = [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* in = load<C>(c, x);
    C* out = result_buffer<C>(c, c.out());
    parallel_for(c.threads, size * inner == 0 ? 0 : x.count() / size, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t l = begin; l < end; ++l) {
        const int64_t start = l / inner * inner * size + l % inner;
        const C* line = in + start;
        C largest = -std::numeric_limits<C>::infinity();
        for (int64_t i = 0; i < size; ++i) largest = line[i * inner] > largest ? line[i * inner] : largest;
        double sum = 0;
        for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(std::exp(line[i * inner] - largest));
        for (int64_t i = 0; i < size; ++i) out[start + i * inner] = f(line[i * inner], largest, sum);
      }
    });
    finish(c, c.out(), out);
  };
  if (x.dtype == DType::kFloat64) run(TypeTag<double>{});
  else run(TypeTag<float>{});
  return {};
}

}  // namespace

Status reference_Softmax(KernelContext& c) {
  return along_axis(c, [](auto x, auto largest, double sum) {
    return static_cast<decltype(x)>(static_cast<double>(std::exp(x - largest)) / sum);
  });
}
Status reference_LogSoftmax(KernelContext& c) {
  return along_axis(c, [](auto x, auto largest, double sum) {
    return static_cast<decltype(x)>(static_cast<double>(x) - static_cast<double>(largest) - std::log(sum));
  });
}

}  // namespace fovea::core
