// CUTLASS's persistent, warp-specialised product with two pairs of factors: its main loop runs over the columns of the
// first pair, then over those of the second, into the same sums.
#pragma once

#include <cutlass/cutlass.h>
#include <cutlass/epilogue/thread/activation.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>
#include <cutlass/version.h>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include <cstdint>

#include "kernels/cuda/conv/two_products.h"

static_assert(CUTLASS_MAJOR == 4, "TwoPairs is written for the main loop of CUTLASS 4");

namespace fovea::core::cuda {

// What a main loop for one pair does for the first and for the second. The kernel around it is told of all columns,
// each pair's rounded up to whole tiles: what lies beyond a matrix is read as zeros.
template <typename One>
struct TwoPairs : One {
  static constexpr int kTile = cute::size<2>(typename One::TileShape{});
  static constexpr int tiles(int columns) { return (columns + kTile - 1) / kTile; }

  struct Arguments : One::Arguments {
    typename One::Arguments second;
    int k[2];
  };
  struct Params : One::Params {
    typename One::Params second;
    int first_tiles;
  };

  template <typename Shape>
  static Params to_underlying_arguments(const Shape& shape, const Arguments& a, void* workspace) {
    const auto [m, n, k, l] = cute::append<4>(shape, 1);
    Params p;
    static_cast<typename One::Params&>(p) =
        One::to_underlying_arguments(cute::make_shape(m, n, a.k[0], l), a, workspace);
    p.second = One::to_underlying_arguments(cute::make_shape(m, n, a.k[1], l), a.second, workspace);
    p.first_tiles = tiles(a.k[0]);
    return p;
  }
  template <typename Shape>
  static bool can_implement(const Shape& shape, const Arguments& a) {
    const auto [m, n, k, l] = cute::append<4>(shape, 1);
    return One::can_implement(cute::make_shape(m, n, a.k[0], l), a) &&
           One::can_implement(cute::make_shape(m, n, a.k[1], l), a.second);
  }
  CUTLASS_DEVICE static void prefetch_tma_descriptors(const Params& p) {
    One::prefetch_tma_descriptors(p);
    One::prefetch_tma_descriptors(p.second);
  }

  // With all columns for both: the kernel counts tiles by the first pair's.
  template <typename Shape>
  CUTLASS_DEVICE auto load_init(const Shape& shape, const Params& p) const {
    return cute::tuple_cat(One::load_init(shape, p), One::load_init(shape, p.second));
  }
  // The tiles begin at the first: no scheduler here splits a sum.
  template <typename Inputs, typename Tiles, typename Block>
  CUTLASS_DEVICE void load(const Params& p, typename One::MainloopPipeline pipeline, typename One::PipelineState stage,
                           const Inputs& in, const Block& block, Tiles, int count, int thread, uint32_t rank,
                           typename One::TensorStorage& shared) {
    using namespace cute;
    const auto from_first_tile = make_coord_iterator(shape<3>(get<0>(in)));
    One::load(p, pipeline, stage, cute::make_tuple(get<0>(in), get<1>(in)), block, from_first_tile, p.first_tiles,
              thread, rank, shared);
    stage.advance(p.first_tiles);
    One::load(p.second, pipeline, stage, cute::make_tuple(get<2>(in), get<3>(in)), block, from_first_tile,
              count - p.first_tiles, thread, rank, shared);
  }
};

using Cooperative = cutlass::gemm::KernelTmaWarpSpecializedCooperative;
using PingPong = cutlass::gemm::KernelTmaWarpSpecializedPingpong;

// kRows x kColumns: of a tile; kCluster: blocks side by side (in rows) that share a tile of weights.
template <int kRows, int kColumns, int kCluster, typename Schedule>
struct TwoProducts {
  using Half = cutlass::half_t;
  using ByRow = cutlass::layout::RowMajor;
  using Tile = cute::Shape<cute::Int<kRows>, cute::Int<kColumns>, cute::_64>;
  using Cluster = cute::Shape<cute::Int<kCluster>, cute::_1, cute::_1>;
  static constexpr bool kPingPong = std::is_same_v<Schedule, PingPong>;
  static constexpr int kAligned = 8;  // elements, 16 bytes

  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, Cluster,
      cutlass::epilogue::collective::EpilogueTileAuto, float, float, void, ByRow, kAligned, Half, ByRow, kAligned,
      std::conditional_t<kPingPong, cutlass::epilogue::TmaWarpSpecialized,
                         cutlass::epilogue::TmaWarpSpecializedCooperative>,
      cutlass::epilogue::fusion::LinCombPerColBiasEltAct<cutlass::epilogue::thread::Clamp, Half, float, float,
                                                         Half>>::CollectiveOp;
  using OnePair = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Half, ByRow, kAligned, Half, cutlass::layout::ColumnMajor,
      kAligned, float, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(sizeof(typename Epilogue::SharedStorage))>,
      Schedule>::CollectiveOp;
  using Pairs = TwoPairs<OnePair>;
  using Kernel = cutlass::gemm::kernel::GemmUniversal<cute::Shape<int, int, int, int>, Pairs, Epilogue>;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<Kernel>;

  static cudaError_t run(const TwoProductsArgs& a, cudaStream_t stream) {
    for (const void* p : {a.x[0], a.x[1], a.w[0], a.w[1], static_cast<const void*>(a.y)})
      if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return cudaErrorMisalignedAddress;
    typename Gemm::Arguments args{};
    args.mode = cutlass::gemm::GemmUniversalMode::kGemm;
    args.problem_shape = {a.rows, a.columns, Pairs::kTile * (Pairs::tiles(a.k[0]) + Pairs::tiles(a.k[1])), 1};
    typename OnePair::Arguments* pairs[2] = {&args.mainloop, &args.mainloop.second};
    for (int i = 0; i < 2; ++i) {
      pairs[i]->ptr_A = static_cast<const Half*>(a.x[i]), pairs[i]->ptr_B = static_cast<const Half*>(a.w[i]);
      pairs[i]->dA = {a.k[i], {}, 0};
      pairs[i]->dB = {a.k[i], {}, 0};
      args.mainloop.k[i] = a.k[i];
    }
    args.epilogue.ptr_D = static_cast<Half*>(a.y);
    args.epilogue.dD = {a.columns, {}, 0};
    args.epilogue.thread.bias_ptr = a.bias;
    args.epilogue.thread.activation = {a.low, a.high};
    args.hw_info.sm_count = a.multiprocessors;
    Gemm gemm;
    if (gemm.can_implement(args) != cutlass::Status::kSuccess || gemm.get_workspace_size(args) > 0)
      return cudaErrorInvalidValue;
    if (gemm.initialize(args, nullptr, stream) != cutlass::Status::kSuccess ||
        gemm.run(stream) != cutlass::Status::kSuccess) {
      const cudaError_t error = cudaGetLastError();
      return error == cudaSuccess ? cudaErrorUnknown : error;
    }
    return cudaSuccess;
  }
};

}  // namespace fovea::core::cuda
