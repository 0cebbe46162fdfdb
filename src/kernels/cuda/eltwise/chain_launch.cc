#include "kernels/cuda/eltwise/chain_launch.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/eltwise/chain_loops.h"
#include "kernels/cuda/reduce/fold_launch.h"
#include "kernels/cuda/reduce/fold_source.h"

namespace fovea::core::cuda::chain {
namespace {

Status launch(cudaKernel_t kernel, Arguments& arguments, cudaStream_t stream) {
  void* pointers[] = {&arguments};
  return check(
      cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3((arguments.threads + kThreads - 1) / kThreads),
                       dim3(kThreads), pointers, 0, stream),
      "chain");
}

class PlainChain final : public PreparedKernel {
 public:
  explicit PlainChain(Prepared prepared) : p_(std::move(prepared)) {}

  Status run(KernelContext& c) const override {
    const TensorRef& y = c.out();
    if (y.count() == 0) return {};
    const size_t n = p_.inputs.size();
    // The operands, then the output.
    std::array<const void*, kMostOperands + 1> data{};
    std::array<std::array<int64_t, kMaxRank>, kMostOperands + 1> strides{};
    std::array<int64_t, kMostOperands + 1> bytes{};
    for (size_t i = 0; i < n; ++i) {
      const TensorRef& x = c.in(p_.inputs[i]);
      data[i] = x.data, bytes[i] = bytes_of(p_.chain.operands[i].stored);
      FOVEA_TRY_SET(strides[i], broadcast(x.shape(), x.strides, y.shape(), p_.inputs[i]));
    }
    data[n] = y.data, bytes[n] = bytes_of(p_.chain.out), strides[n] = y.strides;
    Loops loops;
    for (size_t d = 0; d < static_cast<size_t>(y.rank); ++d) {
      Steps steps{};
      for (size_t i = 0; i <= n; ++i) steps[i] = strides[i][d];
      loops.add(y.dims[d], steps);
    }
    if (loops.rank == 0) loops.rank = 1, loops.size[0] = 1, loops.strides[n][0] = 1;
    return launch_all(data, loops.strides, bytes, loops.size, loops.rank, handle_of(c));
  }

  std::string detail() const override { return fmt::format("{} in a row", p_.chain.steps.size()); }

 private:
  using Data = std::array<const void*, kMostOperands + 1>;
  using Strides = decltype(Loops::strides);

  // As many launches as indices of 31 bits take: one, but for huge tensors.
  Status launch_all(Data data, const Strides& strides, const std::array<int64_t, kMostOperands + 1>& bytes,
                    std::array<int64_t, kMaxRank> size, size_t rank, cudaStream_t stream) const {
    int64_t inner = 1;
    for (size_t d = 1; d < rank; ++d) inner *= size[d];
    if (inner > kMostIndices) return unsupported("{} elements in the inner dimensions", inner);
    const int64_t outer = size[0], most = inner == 1 ? kMostIndices : kMostIndices / inner;
    for (int64_t begin = 0; begin < outer; begin += most) {
      size[0] = std::min(most, outer - begin);
      FOVEA_TRY(launch_one(data, strides, bytes, size, rank, size[0] * inner, stream));
      for (size_t i = 0; i <= p_.inputs.size(); ++i)
        data[i] = static_cast<const std::byte*>(data[i]) + most * strides[i][0] * bytes[i];
    }
    return {};
  }

  Status launch_one(const Data& data, const Strides& strides, const std::array<int64_t, kMostOperands + 1>& bytes,
                    const std::array<int64_t, kMaxRank>& size, size_t rank, int64_t count, cudaStream_t stream) const {
    const size_t n = p_.inputs.size(), last = rank - 1;
    const int64_t lanes = p_.chain.vector;
    // Whole vectors only where every operand has them side by side and aligned, or has one number for them all.
    bool whole = (rank == 1 || size[last] % lanes == 0) && strides[n][last] == 1;
    for (size_t i = 0; whole && i <= n; ++i) {
      whole = strides[i][last] == 0 || strides[i][last] == 1;
      if (!whole || strides[i][last] == 0) continue;
      const int64_t line = std::min<int64_t>(16, lanes * bytes[i]);
      whole = aligned(data[i], line);
      for (size_t d = 0; d < last; ++d) whole &= strides[i][d] * bytes[i] % line == 0;
    }
    const int64_t step = whole ? lanes : 1;
    Arguments a{};
    for (size_t i = 0; i < n; ++i) {
      a.in[i] = data[i];
      a.step[i] = strides[i][last] == 0 ? 0 : 1;
    }
    a.out = const_cast<void*>(data[n]);
    for (size_t i = 0; i <= n; ++i)
      for (size_t d = 0; d < rank; ++d)
        a.stride[i == n ? kMostOperands : i][d] = strides[i][d] * (d == last ? step : 1);
    for (size_t d = 0; d < rank; ++d) a.size[d] = division_of(d == last ? (size[d] + step - 1) / step : size[d]);
    std::ranges::copy(p_.numbers, a.numbers);
    a.threads = static_cast<unsigned>((count + step - 1) / step), a.count = static_cast<unsigned>(count);
    a.rank = static_cast<int>(rank);
    a.whole = whole;
    return launch(p_.kernel, a, stream);
  }

  Prepared p_;
};

class PackedChain final : public PreparedKernel {
 public:
  explicit PackedChain(Prepared prepared) : p_(std::move(prepared)) {}

  Status run(KernelContext& c) const override {
    const TensorRef& y = c.out();
    const int64_t channels = y.dims[1], blocks = (channels + 7) / 8,
                  threads = y.dims[0] * y.dims[2] * y.dims[3] * blocks;
    if (threads == 0) return {};
    if (threads > kMostIndices) return unsupported("{} vectors of 8 channels", threads);
    Arguments a{};
    bool good = aligned(y.data, 16);
    for (size_t i = 0; i < p_.inputs.size(); ++i) {
      const TensorRef& x = c.in(p_.inputs[i]);
      a.in[i] = x.data;
      if (p_.chain.operands[i].where == Where::kChannel) {
        const size_t axis = static_cast<size_t>(x.rank - 3);
        a.stride[i][0] = x.rank >= 3 && x.dims[axis] > 1 ? x.strides[axis] : 0;
        continue;
      }
      good &= aligned(x.data, 16);
      FOVEA_TRY(broadcast(x.shape(), x.strides, y.shape(), p_.inputs[i]).status());
      const int64_t column = blocks * 8, row = x.dims[3] * column, picture = x.dims[2] * row;
      a.stride[i][0] = x.dims[0] == 1 ? 0 : picture;
      a.stride[i][1] = x.dims[2] == 1 ? 0 : row;
      a.stride[i][2] = x.dims[3] == 1 ? 0 : column;
    }
    if (!good) return internal_error("a tensor in nhwc8 is not aligned to 16 bytes");
    a.out = y.data;
    std::ranges::copy(p_.numbers, a.numbers);
    a.size[0] = division_of(blocks), a.size[1] = division_of(y.dims[3]), a.size[2] = division_of(y.dims[2]);
    a.threads = static_cast<unsigned>(threads), a.channels = static_cast<int>(channels);
    return launch(p_.kernel, a, handle_of(c));
  }

  std::string detail() const override { return fmt::format("{} in a row", p_.chain.steps.size()); }

 private:
  Prepared p_;
};

}  // namespace

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  FOVEA_TRY_SET(Prepared p, build(c));
  if (const Node* fold = fold::fold_of(c.group)) {
    const std::string source = fold::source(p.chain, *fold::rule_of(*fold));
    FOVEA_TRY_SET(p.kernel, compile_kernel(device_of(c), source, "fold"));
    return fold::make_kernel(c, std::move(p));
  }
  FOVEA_TRY_SET(p.kernel, compile_kernel(device_of(c), p.chain.source(), "chain"));
  if (p.chain.nhwc8) return std::unique_ptr<PreparedKernel>(std::make_unique<PackedChain>(std::move(p)));
  return std::unique_ptr<PreparedKernel>(std::make_unique<PlainChain>(std::move(p)));
}

}  // namespace fovea::core::cuda::chain
