// Transpose by index arithmetic.
#include <algorithm>

#include "kernels/cuda/layout/copy_row.h"
#include "kernels/cuda/layout/view.h"
#include "ops/transpose.h"

namespace fovea::core::cuda {
namespace {

std::vector<Group> match_transpose(const Graph&, const Node& anchor) { return match_without(anchor, {}); }

// From NHWC8 too, and to float32 on the way: the heads of a detector end so.
std::vector<FormatChoice> transpose_formats(const Group& group) {
  const Value &x = *group.inputs[0], &y = *group.outputs[0];
  std::vector<FormatChoice> choices;
  const bool narrow = !x.is_constant() && may_be_half(x);
  for (const Layout l : {Layout::kNhwc8, Layout::kPlain}) {
    if (l == Layout::kNhwc8 && (x.is_constant() || !is_packable(x))) continue;
    const Format from(l, Place::kDevice);
    if (narrow && may_be_half(y)) choices.push_back({{half(from)}, {half(kPlain)}});
    if (narrow) choices.push_back({{half(from)}, {kPlain}});
    choices.push_back({{from}, {kPlain}});
  }
  std::ranges::stable_sort(choices, {}, [](const FormatChoice& c) { return c.inputs[0].layout != Layout::kPlain; });
  return choices;
}

class TransposeKernel final : public PreparedKernel {
 public:
  TransposeKernel(const std::vector<int64_t>& perm, Layouts layouts) : perm_(perm), layouts_(layouts) {}

  Status run(KernelContext& c) const override {
    const View x = view_of(c.in(0), layouts_.from), to = view_of(c.out(), layouts_.to);
    View from = x;
    for (size_t i = 0; i < perm_.size(); ++i) from.strides[i] = x.strides[static_cast<size_t>(perm_[i])];
    return check(reformat_tensor(copy_of(from, to), handle_of(c)), "transpose_cuda");
  }

 private:
  std::vector<int64_t> perm_;
  Layouts layouts_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_transpose(const PrepareContext& c) {
  return std::unique_ptr<PreparedKernel>(
      std::make_unique<TransposeKernel>(c.group.nodes[0]->as<TransposeAttrs>().perm, layouts_of(c)));
}

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_transpose_cuda = {.name = "transpose_cuda",
                                         .op = "Transpose",
                                         .strided_inputs = true,
                                         .copies_view = true,
                                         .place = Place::kDevice,
                                         .match = cuda::match_transpose,
                                         .refuse = cuda::element_refusal,
                                         .formats = cuda::transpose_formats,
                                         .prepare = cuda::prepare_transpose};

}  // namespace fovea::core
