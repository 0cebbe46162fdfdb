// Transposes that change the places of two blocks of neighbouring dimensions at the end, as heads of detectors do:
// [B,R,C] becomes [B,C,R], in tiles.
#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/cpu/table.h"
#include "kernels/cpu/transpose.h"
#include "ops/transpose.h"

namespace fovea::core {
namespace {

// Where perm is 0..k-1, m..n-1, k..m-1: k and m.
struct Split {
  size_t k, m;
};
std::optional<Split> split_of(std::span<const int64_t> perm) {
  const size_t n = perm.size();
  Split s{0, 0};
  while (s.k < n && perm[s.k] == static_cast<int64_t>(s.k)) ++s.k;
  if (s.k == n) return std::nullopt;
  s.m = static_cast<size_t>(perm[s.k]);
  for (size_t i = s.k; i < n; ++i)
    if (static_cast<size_t>(perm[i]) != (i < s.k + n - s.m ? s.m + i - s.k : i - (n - s.m))) return std::nullopt;
  return s;
}

class TransposeKernel final : public PreparedKernel {
 public:
  explicit TransposeKernel(Split split) : split_(split) {}

  Status run(KernelContext& c) const override {
    const TensorRef &x = c.in(0), &y = c.out();
    const auto product = [&](size_t begin, size_t end) {
      int64_t n = 1;
      for (size_t i = begin; i < end; ++i) n *= x.dims[i];
      return n;
    };
    const int64_t batch = product(0, split_.k), rows = product(split_.k, split_.m),
                  columns = product(split_.m, static_cast<size_t>(x.rank));
    const auto* from = x.as<uint32_t>();
    auto* to = y.as<uint32_t>();
    constexpr int64_t kRows = 256, kColumns = 64, kGrain = 16384;
    const int64_t down = (rows + kRows - 1) / kRows, across = (columns + kColumns - 1) / kColumns;
    const int64_t tile = std::max<int64_t>(1, std::min(rows, kRows) * std::min(columns, kColumns));
    parallel_for(c.threads, batch * down * across, std::max<int64_t>(1, kGrain / tile),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t t = begin; t < end; ++t) {
                     const int64_t b = t / (down * across), r = t / across % down * kRows, k = t % across * kColumns,
                                   base = b * rows * columns;
                     transpose_avx2(from + base + r * columns + k, columns, to + base + k * rows + r, rows,
                                    std::min(kRows, rows - r), std::min(kColumns, columns - k));
                   }
                 });
    return {};
  }

 private:
  Split split_;
};

std::string refuse(const Group& group) {
  const DType type = group.inputs[0]->dtype;
  if (type != DType::kFloat32 && type != DType::kInt32 && type != DType::kUInt32)
    return fmt::format("{}, not of 4 bytes", to_string(type));
  return split_of(group.nodes[0]->as<TransposeAttrs>().perm) ? "" : "not two blocks of dimensions that change places";
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  return std::unique_ptr<PreparedKernel>(
      std::make_unique<TransposeKernel>(*split_of(c.group.nodes[0]->as<TransposeAttrs>().perm)));
}

}  // namespace

const KernelRow kernel_transpose_inner = {.name = "transpose_inner",
                                          .op = "Transpose",
                                          .features = kCpuAvx2,
                                          .dynamic_shapes = true,
                                          .match = match_node,
                                          .refuse = refuse,
                                          .prepare = prepare,
                                          .preference = 4};

}  // namespace fovea::core
