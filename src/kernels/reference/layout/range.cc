#include <cmath>

#include "kernels/reference/layout/copy.h"

namespace fovea::core {
namespace {

// A hostile limit must not ask for all memory.
constexpr int64_t kMaxLength = int64_t{1} << 40;

Result<int64_t> length(int64_t start, int64_t limit, int64_t delta) {
  if (delta == 0) return invalid_argument("delta is 0");
  if (delta > 0 ? limit <= start : limit >= start) return int64_t{0};
  const auto distance = delta > 0 ? static_cast<uint64_t>(limit) - static_cast<uint64_t>(start)
                                  : static_cast<uint64_t>(start) - static_cast<uint64_t>(limit);
  const auto step = delta > 0 ? static_cast<uint64_t>(delta) : uint64_t{0} - static_cast<uint64_t>(delta);
  const uint64_t n = (distance - 1) / step + 1;
  if (n > static_cast<uint64_t>(kMaxLength)) return invalid_argument("a range of {} elements", n);
  return static_cast<int64_t>(n);
}

template <typename C>
requires std::is_floating_point_v<C> Result<int64_t> length(C start, C limit, C delta) {
  if (delta == 0) return invalid_argument("delta is 0");
  const double n = std::ceil(static_cast<double>(static_cast<C>(limit - start)) / static_cast<double>(delta));
  if (std::isnan(n) || n > static_cast<double>(kMaxLength)) return invalid_argument("a range of {} elements", n);
  return static_cast<int64_t>(std::max(n, 0.0));
}

}  // namespace

Status reference_Range(KernelContext& c) {
  Status status;
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = std::conditional_t<std::is_integral_v<T>, int64_t, T>;
    const C start = *load<C>(c, c.in(0)), limit = *load<C>(c, c.in(1)), delta = *load<C>(c, c.in(2));
    auto n = length(start, limit, delta);
    status = n.ok() ? ensure_shape(c, 0, {*n}) : n.status();
    if (!status.ok()) return;
    C* y = result_buffer<C>(c, c.out());
    for (int64_t i = 0; i < *n; ++i) y[i] = start + static_cast<C>(i) * delta;
    finish(c, c.out(), y);
  });
  return status;
}

}  // namespace fovea::core
