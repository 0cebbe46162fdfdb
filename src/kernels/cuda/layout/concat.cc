// Concat: parts along an axis, copied together.
#include "kernels/cuda/layout/copy_row.h"
#include "kernels/cuda/layout/view.h"
#include "ops/axis.h"

namespace fovea::core::cuda {
namespace {

std::vector<Group> match_concat(const Graph&, const Node& anchor) { return match_without(anchor, {}); }

std::string refuse_concat(const Group& group) {
  if (group.outputs[0]->shape.empty()) return "no dimensions";
  return element_refusal(group);
}

std::vector<FormatChoice> concat_formats(const Group& group) {
  const size_t axis = axis_in(group.nodes[0]->as<AxisAttrs>().axis, group.outputs[0]->shape.size());
  return same_formats(group, group.inputs.size(), whole_blocks(group.inputs, axis));
}

class ConcatKernel final : public PreparedKernel {
 public:
  ConcatKernel(size_t axis, Layouts layouts) : axis_(axis), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    View to = view_of(c.out(), layouts_.to);
    const int64_t total = to.dims[axis_];
    Parts parts(handle_of(c));
    int64_t at = 0;
    for (const TensorRef& x : c.inputs) {
      const View from = view_of(x, layouts_.from);
      to.dims[axis_] = from.dims[axis_];
      for (size_t d = 0; d < static_cast<size_t>(to.rank); ++d)
        if (from.dims[d] != to.dims[d])
          return invalid_argument("size {} of dimension {} differs from {}", from.dims[d], d, to.dims[d]);
      at += from.dims[axis_];
      FOVEA_TRY(parts.add(from, to));
      to.skip(axis_, from.dims[axis_]);
    }
    if (at != total) return invalid_argument("the parts have {} elements together, the axis {}", at, total);
    return parts.finish();
  }

 private:
  size_t axis_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_concat(const PrepareContext& c) {
  const size_t axis = axis_in(c.group.nodes[0]->as<AxisAttrs>().axis, c.outputs[0].shape.size());
  return std::unique_ptr<PreparedKernel>(std::make_unique<ConcatKernel>(axis, layouts_of(c)));
}

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_concat_cuda = {.name = "concat_cuda",
                                      .op = "Concat",
                                      .strided_inputs = true,
                                      .copies_view = true,
                                      .place = Place::kDevice,
                                      .match = cuda::match_concat,
                                      .refuse = cuda::refuse_concat,
                                      .formats = cuda::concat_formats,
                                      .prepare = cuda::prepare_concat};

}  // namespace fovea::core
