// TopK: a histogram of the elements' order says above which the k first lie; those alone are sorted. Storing scores as
// float16 would make equal what is not, so it takes them as float32 alone.
#include "kernels/cuda/reduce/top_k.h"

#include "kernels/cuda/common.h"
#include "ops/top_k.h"

namespace fovea::core {
namespace {

using namespace cuda;

class TopKKernel final : public PreparedKernel {
 public:
  TopKArgs args;

  Status run(KernelContext& c) const override {
    return check(top_k(args, c.in(0).data, c.wants(0) ? c.out(0).data : nullptr,
                       c.wants(1) ? c.out(1).as<int64_t>() : nullptr, c.workspace, handle_of(c)),
                 "top_k");
  }
  int64_t workspace_bytes() const override { return top_k_workspace(args); }
};

std::string refuse(const Group& group) {
  const Value *x = group.inputs[0], *k = group.inputs[1];
  if (x->dtype != DType::kFloat32 && x->dtype != DType::kInt32)
    return fmt::format("{}, neither float32 nor int32", to_string(x->dtype));
  if (!k->constant) return "k is not constant";
  return x->shape.empty() ? "a scalar" : "";
}

std::vector<FormatChoice> formats(const Group& group) {
  return {{{kPlain, kHost}, std::vector<Format>(group.outputs.size(), kPlain)}};
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const auto& a = c.group.nodes[0]->as<TopKAttrs>();
  const Dims& shape = c.inputs[0].shape;
  const auto axis = static_cast<size_t>(a.axis < 0 ? a.axis + static_cast<int64_t>(shape.size()) : a.axis);
  const std::vector<int64_t> wanted = c.group.inputs[1]->constant->to_ints();
  const int64_t k = wanted.size() == 1 ? wanted[0] : -1;
  if (k < 0 || k > shape[axis])
    return invalid_argument("k = {} is outside [0, {}], the size of axis {}", k, shape[axis], axis);
  auto kernel = std::make_unique<TopKKernel>();
  TopKArgs& t = kernel->args;
  t.outer = element_count(std::span(shape).first(axis)).value_or(kMost);
  t.length = shape[axis];
  t.inner = element_count(std::span(shape).subspan(axis + 1)).value_or(kMost);
  t.k = k, t.largest = a.largest, t.integers = c.inputs[0].dtype == DType::kInt32;
  if (t.length >= kMost || t.outer >= kMost || t.inner >= kMost || t.outer * t.inner >= kMost)
    return unsupported("[{}] is too large", fmt::join(shape, ","));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_top_k_cuda = {.name = "top_k_cuda",
                                     .op = "TopK",
                                     .revision = 2,
                                     .place = Place::kDevice,
                                     .match = match_node,
                                     .refuse = refuse,
                                     .formats = formats,
                                     .prepare = prepare,
                                     .preference = 4};

}  // namespace fovea::core
