// Softmax along any axis; lines of usual lengths are read once.
#include "kernels/cuda/norm/softmax.h"

#include "kernels/cuda/common.h"
#include "ops/softmax.h"

namespace fovea::core {
namespace {

using namespace cuda;

class SoftmaxKernel final : public PreparedKernel {
 public:
  SoftmaxArgs args;

  Status run(KernelContext& c) const override {
    return check(softmax(args, c.in(0).data, c.out().as<float>(), handle_of(c)), "softmax");
  }
};

std::string refuse(const Group& group) {
  const Value* x = group.inputs[0];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  return x->shape.empty() ? "a scalar" : "";
}

// Rounding probabilities to float16 would cost more than it saves: scores are float32.
std::vector<FormatChoice> formats(const Group& group) {
  std::vector<FormatChoice> choices = {all_plain(group, Place::kDevice)};
  if (may_be_half(*group.inputs[0])) choices.push_back({{half(kPlain)}, {kPlain}});
  return choices;
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  const Dims& shape = c.inputs[0].shape;
  const int64_t rank = static_cast<int64_t>(shape.size()), axis = c.group.nodes[0]->as<SoftmaxAttrs>().axis;
  const auto at = static_cast<std::ptrdiff_t>(axis < 0 ? axis + rank : axis);
  const auto count = [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    return element_count(std::span(shape).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)))
        .value_or(INT64_MAX);
  };
  auto kernel = std::make_unique<SoftmaxKernel>();
  kernel->args = {.outer = count(0, at),
                  .length = shape[static_cast<size_t>(at)],
                  .inner = count(at + 1, rank),
                  .half = c.inputs[0].dtype == DType::kFloat16};
  if (element_count(shape).value_or(INT64_MAX) >= int64_t{1} << 40 ||
      kernel->args.outer * kernel->args.inner >= int64_t{1} << 31)
    return unsupported("[{}] is too large", fmt::join(shape, ","));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_softmax_rows_cuda = {.name = "softmax_rows_cuda",
                                            .op = "Softmax",
                                            .place = Place::kDevice,
                                            .match = match_node,
                                            .refuse = refuse,
                                            .formats = formats,
                                            .prepare = prepare,
                                            .preference = 4};

}  // namespace fovea::core
