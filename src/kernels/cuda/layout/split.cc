// Split: parts along an axis, copied together.
#include <algorithm>

#include "kernels/cuda/layout/copy_row.h"
#include "kernels/cuda/layout/view.h"
#include "ops/axis.h"

namespace fovea::core::cuda {
namespace {

std::vector<Group> match_split(const Graph&, const Node& anchor) { return match_without(anchor, {1}); }

std::string refuse_split(const Group& group) {
  if (std::ranges::count(group.outputs, nullptr) > 0) return "a part that nobody wants";
  return element_refusal(group);
}

std::vector<FormatChoice> split_formats(const Group& group) {
  const size_t axis = axis_in(group.nodes[0]->as<AxisAttrs>().axis, group.inputs[0]->shape.size());
  return same_formats(group, 1, is_packable(*group.inputs[0]) && whole_blocks(group.outputs, axis));
}

class SplitKernel final : public PreparedKernel {
 public:
  SplitKernel(size_t axis, Layouts layouts) : axis_(axis), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    View from = view_of(c.in(0), layouts_.from);
    Parts parts(handle_of(c));
    int64_t at = 0;
    for (const TensorRef& y : c.outputs) {
      const View to = view_of(y, layouts_.to);
      at += to.dims[axis_];
      if (at > from.dims[axis_])
        return invalid_argument("the parts have {} elements together, the axis {}", at, from.dims[axis_]);
      FOVEA_TRY(parts.add(from, to));
      from.skip(axis_, to.dims[axis_]);
    }
    return parts.finish();
  }

 private:
  size_t axis_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_split(const PrepareContext& c) {
  const size_t axis = axis_in(c.group.nodes[0]->as<AxisAttrs>().axis, c.inputs[0].shape.size());
  return std::unique_ptr<PreparedKernel>(std::make_unique<SplitKernel>(axis, layouts_of(c)));
}

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_split_cuda = {.name = "split_cuda",
                                     .op = "Split",
                                     .strided_inputs = true,
                                     .copies_view = true,
                                     .place = Place::kDevice,
                                     .match = cuda::match_split,
                                     .refuse = cuda::refuse_split,
                                     .formats = cuda::split_formats,
                                     .prepare = cuda::prepare_split};

}  // namespace fovea::core
