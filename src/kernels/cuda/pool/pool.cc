// Max and average pools in two dimensions: a thread takes eight channels of a pixel (NHWC), or one element.
#include "kernels/cuda/pool/pool.h"

#include "kernels/cuda/common.h"
#include "ops/pool.h"

namespace fovea::core {
namespace {

using namespace cuda;

std::string refuse(const Group& group) {
  const Value* x = group.inputs[0];
  if (group.outputs.size() > 1 && group.outputs[1]) return "indices are wanted";
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  if (x->shape.size() != 4) return fmt::format("rank {}, not 4", x->shape.size());
  return "";
}

std::vector<FormatChoice> formats(const Group& group) {
  auto both = [&](const Format& f) { return FormatChoice{{f}, std::vector<Format>(group.outputs.size(), f)}; };
  if (may_be_half(*group.inputs[0]) && may_be_half(*group.outputs[0])) return {both(half(kNhwc8))};
  return {both(kNhwc8), both(kPlain)};
}

class PoolKernel final : public PreparedKernel {
 public:
  explicit PoolKernel(const PoolArgs& args) : args_(args) {}
  Status run(KernelContext& c) const override {
    PoolArgs a = args_;
    a.from = c.in(0).data, a.to = c.out().data;
    return check(pool(a, handle_of(c)), "pool");
  }

 private:
  PoolArgs args_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_pool(const PrepareContext& c, const PoolAttrs& attrs, PoolArgs a) {
  const std::vector<int64_t>&x = c.inputs[0].shape, &y = c.outputs[0].shape;
  if (element_count(x).value_or(0) == 0 || element_count(y).value_or(0) == 0) return unsupported("nothing to compute");
  FOVEA_TRY_SET(Windows windows, pool_windows(attrs, x));
  const Window &h = windows.axis(0), &w = windows.axis(1);
  if (h.out != y[2] || w.out != y[3])
    return internal_error("a pool to {}x{} where {}x{} was inferred", h.out, w.out, y[2], y[3]);
  if (storage_elements(c.inputs[0].layout, x) > (int64_t{1} << 31) * 8) return unsupported("too large for one launch");
  auto small = [](int64_t v) { return static_cast<int>(v); };
  for (int64_t v : {h.in, w.in, h.kernel, w.kernel, h.stride, w.stride, h.dilation, w.dilation, h.pad_begin, w.pad_begin,
                    h.pad_end, w.pad_end})
    if (v < -(1 << 20) || v > 1 << 20) return unsupported("a window of {}", v);
  a.nhwc8 = c.inputs[0].layout == Layout::kNhwc8, a.half = c.inputs[0].dtype == DType::kFloat16;
  a.n = small(x[0]), a.c = small(a.nhwc8 ? (x[1] + 7) / 8 * 8 : x[1]);
  a.h = small(h.in), a.w = small(w.in), a.p = small(h.out), a.q = small(w.out);
  a.kernel_h = small(h.kernel), a.kernel_w = small(w.kernel), a.stride_h = small(h.stride), a.stride_w = small(w.stride);
  a.dilation_h = small(h.dilation), a.dilation_w = small(w.dilation);
  a.pad_top = small(h.pad_begin), a.pad_left = small(w.pad_begin);
  a.pad_bottom = small(h.pad_end), a.pad_right = small(w.pad_end);
  return std::unique_ptr<PreparedKernel>(std::make_unique<PoolKernel>(a));
}

Result<std::unique_ptr<PreparedKernel>> prepare_max(const PrepareContext& c) {
  return prepare_pool(c, c.group.nodes[0]->as<MaxPoolAttrs>(), {});
}

Result<std::unique_ptr<PreparedKernel>> prepare_average(const PrepareContext& c) {
  const auto& attrs = c.group.nodes[0]->as<AveragePoolAttrs>();
  PoolArgs a;
  a.maximum = false, a.count_padding = attrs.count_include_pad;
  return prepare_pool(c, attrs, a);
}

}  // namespace

const KernelRow kernel_max_pool_cuda = {.name = "max_pool_cuda",
                                        .op = "MaxPool",
                                        .place = Place::kDevice,
                                        .match = match_node,
                                        .refuse = refuse,
                                        .formats = formats,
                                        .prepare = prepare_max};

const KernelRow kernel_average_pool_cuda = {.name = "average_pool_cuda",
                                            .op = "AveragePool",
                                            .place = Place::kDevice,
                                            .match = match_node,
                                            .refuse = refuse,
                                            .formats = formats,
                                            .prepare = prepare_average};

}  // namespace fovea::core
