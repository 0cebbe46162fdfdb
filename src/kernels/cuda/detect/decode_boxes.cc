// Boxes from deltas and anchors, a thread for each.
#include "kernels/cuda/detect/decode_args.h"

#include <algorithm>

namespace fovea::core {
namespace {

using namespace cuda;

static_assert(static_cast<int>(Anchors::kCentre) == static_cast<int>(AnchorForm::kCentre) &&
              static_cast<int>(Anchors::kYxCentre) == static_cast<int>(AnchorForm::kYxCentre) &&
              static_cast<int>(Anchors::kXyxy) == static_cast<int>(AnchorForm::kXyxy));

class DecodeBoxesKernel final : public PreparedKernel {
 public:
  DecodeArgs args;

  Status run(KernelContext& c) const override {
    return check(decode_boxes(args, c.in(0).as<float>(), c.in(1).as<float>(), c.has(2) ? c.in(2).as<float>() : nullptr,
                              c.out().as<float>(), handle_of(c)),
                 "decode_boxes");
  }
};

std::string refuse(const Group& group) {
  for (const Value* v : group.inputs)
    if (v && v->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(v->dtype));
  return "";
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  auto kernel = std::make_unique<DecodeBoxesKernel>();
  FOVEA_TRY_SET(kernel->args, decode_args(c, *c.group.nodes[0], c.inputs[0].shape));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

Result<DecodeArgs> cuda::decode_args(const PrepareContext& c, const Node& node, const std::vector<int64_t>& deltas) {
  const auto& a = node.as<DecodeBoxesAttrs>();
  const auto& anchors = c.inputs[1].shape;
  DecodeArgs d;
  d.images = deltas.size() == 2 ? 1 : deltas[0], d.boxes = deltas[deltas.size() == 2 ? 0 : 1];
  d.classes = deltas.size() == 4 ? deltas[2] : 1;
  d.own_anchors = anchors.size() == 3;
  if (anchors[anchors.size() - 2] != d.boxes || anchors.back() != 4 || deltas.back() != 4 ||
      (d.own_anchors && anchors[0] != d.images))
    return invalid_argument("deltas [{}] and anchors [{}] do not belong together", fmt::join(deltas, ","),
                            fmt::join(anchors, ","));
  if (c.inputs.size() > 2 && c.inputs[2].dtype != DType::kUndefined) {
    const auto& size = c.inputs[2].shape;
    d.size_of_image = size.size() == 2;
    if (size != (d.size_of_image ? Dims{d.images, 2} : Dims{2}))
      return invalid_argument("size: expected height and width for {} images, found [{}]", d.images,
                              fmt::join(size, ","));
  }
  if (element_count(deltas).value_or(INT64_MAX) / 4 >= int64_t{1} << 31)
    return unsupported("{} boxes are too many", element_count(deltas).value_or(INT64_MAX) / 4);
  d.deltas_yx = a.deltas == DeltaOrder::kYxhw, d.output_yx = a.output == CornerOrder::kYxyx;
  d.anchors = static_cast<Anchors>(a.anchors);
  std::ranges::transform(a.variances, d.variances, [](double v) { return static_cast<float>(v); });
  std::ranges::transform(a.scales, d.scales, [](double v) { return static_cast<float>(v); });
  d.max_log_size = static_cast<float>(a.max_log_size);
  d.clip = a.clip;
  d.clip_height = static_cast<float>(a.clip_height), d.clip_width = static_cast<float>(a.clip_width);
  return d;
}

const KernelRow kernel_decode_boxes_cuda = {.name = "decode_boxes_cuda",
                                            .op = "DecodeBoxes",
                                            .place = Place::kDevice,
                                            .match = match_node,
                                            .refuse = refuse,
                                            .prepare = prepare,
                                            .preference = 4};

}  // namespace fovea::core
