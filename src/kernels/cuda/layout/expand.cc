// Expand by index arithmetic.
#include "kernels/cuda/layout/copy_row.h"
#include "kernels/cuda/layout/view.h"

namespace fovea::core::cuda {
namespace {

std::vector<Group> match_expand(const Graph&, const Node& anchor) { return match_without(anchor, {1}); }

std::vector<FormatChoice> expand_formats(const Group& group) { return same_formats(group, 1, false); }

class ExpandKernel final : public PreparedKernel {
 public:
  Status run(KernelContext& c) const override {
    const View x = view_of(c.in(0), Layout::kPlain), to = view_of(c.out(), Layout::kPlain);
    View from = to;
    from.data = x.data, from.type = x.type, from.bytes = x.bytes, from.strides = {};
    if (x.rank > to.rank) return invalid_argument("{} dimensions expand to {}", x.rank, to.rank);
    for (size_t d = 0; d < static_cast<size_t>(x.rank); ++d) {
      const size_t k = d + static_cast<size_t>(to.rank - x.rank);
      if (x.dims[d] != 1 && x.dims[d] != to.dims[k])
        return invalid_argument("dimension {}: cannot expand size {} to {}", k, x.dims[d], to.dims[k]);
      if (x.dims[d] != 1) from.strides[k] = x.strides[d];
    }
    return check(reformat_tensor(copy_of(from, to), handle_of(c)), "expand_cuda");
  }
};

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_expand_cuda = {.name = "expand_cuda",
                                      .op = "Expand",
                                      .strided_inputs = true,
                                      .copies_view = true,
                                      .place = Place::kDevice,
                                      .match = cuda::match_expand,
                                      .refuse = cuda::element_refusal,
                                      .formats = cuda::expand_formats,
                                      .prepare = prepare_as<cuda::ExpandKernel>};

}  // namespace fovea::core
