// Gather by indices that are known beforehand.
#include <algorithm>

#include "kernels/cuda/layout/copy.h"
#include "kernels/cuda/layout/copy_row.h"
#include "kernels/cuda/layout/view.h"
#include "ops/axis.h"

namespace fovea::core::cuda {
namespace {

constexpr int64_t kMostPicks = 1 << 16;

std::vector<Group> match_gather(const Graph&, const Node& anchor) { return match_without(anchor, {}); }

std::string refuse_gather(const Group& group) {
  if (std::string reason = element_refusal(group); !reason.empty()) return reason;
  if (std::string reason = constant_refusal(group); !reason.empty()) return reason;
  if (group.inputs[1]->constant->count() > kMostPicks)
    return fmt::format("{} indices", group.inputs[1]->constant->count());
  return "";
}

std::vector<FormatChoice> gather_formats(const Group& group) { return same_formats(group, 1, false); }

class GatherKernel final : public PreparedKernel {
 public:
  GatherKernel(size_t axis, int index_rank, std::vector<int64_t> picks, std::shared_ptr<void> index)
      : axis_(axis), index_rank_(index_rank), picks_(std::move(picks)), index_(std::move(index)) {}

  Status run(KernelContext& c) const override {
    View from = view_of(c.in(0), Layout::kPlain);
    const View y = view_of(c.out(), Layout::kPlain);
    if (c.out().count() == 0) return {};
    // The output with the dimensions of the indices as one: they are dense.
    View to = y;
    to.rank = from.rank, to.dims = from.dims;
    to.dims[axis_] = static_cast<int64_t>(picks_.size());
    const auto shift = index_rank_ - 1;
    for (size_t d = 0; d < static_cast<size_t>(to.rank); ++d) {
      const auto k = static_cast<size_t>(static_cast<int>(d) + (d >= axis_ ? shift : 0));
      if (d != axis_) to.strides[d] = y.strides[k];
      else to.strides[d] = index_rank_ > 0 ? y.strides[k] : 0;
    }
    if (!index_) {
      from.skip(axis_, picks_[0]);
      return check(reformat_tensor(copy_of(from, to), handle_of(c)), "gather_cuda");
    }
    GatherArguments a;
    a.from = from.data, a.to = to.data, a.index = static_cast<const int32_t*>(index_.get());
    a.element_bytes = static_cast<int>(to.bytes), a.rank = to.rank, a.axis = static_cast<int>(axis_);
    std::ranges::copy(to.dims, a.shape);
    std::ranges::copy(from.strides, a.from_strides);
    std::ranges::copy(to.strides, a.to_strides);
    return check(gather_tensor(a, handle_of(c)), "gather_cuda");
  }

 private:
  size_t axis_;
  int index_rank_;
  std::vector<int64_t> picks_;
  std::shared_ptr<void> index_;  // null for one pick
};

Result<std::unique_ptr<PreparedKernel>> prepare_gather(const PrepareContext& c) {
  const auto& shape = c.inputs[0].shape;
  const size_t axis = axis_in(c.group.nodes[0]->as<AxisAttrs>().axis, shape.size());
  const Tensor& given = *c.group.inputs[1]->constant;
  std::vector<int64_t> picks = given.to_ints();
  for (int64_t& p : picks) {
    if (p < -shape[axis] || p >= shape[axis])
      return invalid_argument("index {} is outside [-{}, {})", p, shape[axis], shape[axis]);
    if (p < 0) p += shape[axis];
  }
  std::shared_ptr<void> index;
  if (picks.size() > 1) {
    const std::vector<int32_t> narrow(picks.begin(), picks.end());
    FOVEA_TRY_SET(index, upload(c, fmt::format("cuda gather {}", fmt::join(picks, ",")), narrow.data(),
                                static_cast<int64_t>(narrow.size() * sizeof(int32_t))));
  }
  return std::unique_ptr<PreparedKernel>(
      std::make_unique<GatherKernel>(axis, static_cast<int>(given.dims().size()), std::move(picks), std::move(index)));
}

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_gather_cuda = {.name = "gather_cuda",
                                      .op = "Gather",
                                      .strided_inputs = true,
                                      .place = Place::kDevice,
                                      .match = cuda::match_gather,
                                      .refuse = cuda::refuse_gather,
                                      .formats = cuda::gather_formats,
                                      .prepare = cuda::prepare_gather};

}  // namespace fovea::core
