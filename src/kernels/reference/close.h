// For tests of arithmetic: comparison with numbers computed in double, within a tolerance that follows from the sums.
#pragma once

#include <gtest/gtest.h>

#include "kernels/reference/testing.h"

namespace fovea::core::test {

inline constexpr double kFloatStep = 6e-8;  // half a unit in the last place of a float32 near 1

// Each element within `tolerance` times (the root mean square of `want` + the element itself); NaN and infinities
// equal.
inline void expect_close(const TensorPtr& got, const std::vector<double>& want, double tolerance = 4 * kFloatStep) {
  ASSERT_TRUE(got);
  const std::vector<double> values = got->to_doubles();
  ASSERT_EQ(values.size(), want.size()) << describe(*got);
  double squares = 0;
  for (double w : want) squares += std::isfinite(w) ? w * w : 0;
  const double scale = want.empty() ? 0 : std::sqrt(squares / static_cast<double>(want.size()));
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(want[i]))
      ASSERT_TRUE(std::isnan(values[i])) << "element " << i << ": expected NaN, found " << values[i];
    else if (std::isinf(want[i])) ASSERT_EQ(values[i], want[i]) << "element " << i;
    else
      ASSERT_NEAR(values[i], want[i], tolerance * (scale + std::fabs(want[i])) + 1e-15)
          << "element " << i << " of " << describe(*got);
  }
}

// The one output of a run that has to succeed.
inline TensorPtr only(const Result<std::vector<TensorPtr>>& result) {
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.status().message());
  return result.ok() && !result->empty() ? result->front() : nullptr;
}

inline TensorPtr floats(Dims dims, const std::vector<float>& v) {
  return Tensor::of<float>(std::move(dims), std::span<const float>(v));
}
inline TensorPtr integers(Dims dims, const std::vector<int64_t>& v) {
  return Tensor::of<int64_t>(std::move(dims), std::span<const int64_t>(v));
}

// Two tests' worth of layouts: constants as they are, and run-time inputs with gaps and symbolic sizes.
inline const std::vector<RunOptions>& layouts() {
  static const std::vector<RunOptions> options = [] {
    RunOptions plain, odd;
    odd.strided = true, odd.symbolic_shapes = true, odd.threads = 3;
    return std::vector<RunOptions>{plain, odd};
  }();
  return options;
}

}  // namespace fovea::core::test
