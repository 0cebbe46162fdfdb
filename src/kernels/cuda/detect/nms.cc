// Non-maximum suppression: the reference's boxes to the last bit.
#include "kernels/cuda/detect/nms_args.h"

#include <algorithm>

namespace fovea::core {
namespace {

using namespace cuda;

static_assert(static_cast<int>(BoxForm::kXywh) == static_cast<int>(NmsBoxForm::kXywh) &&
              static_cast<int>(BoxForm::kAnyDiagonal) == static_cast<int>(NmsBoxForm::kAnyDiagonal) &&
              static_cast<int>(NmsRows::kPadded) == static_cast<int>(NmsOutput::kPadded) &&
              static_cast<int>(NmsRows::kDetections) == static_cast<int>(NmsOutput::kDetections));

class NmsKernel final : public PreparedKernel {
 public:
  NmsArgs args;

  Status run(KernelContext& c) const override {
    NmsTensors t = nms_tensors(c);
    t.scores = c.in(nms_input::kScores).as<float>();
    return check(run_nms(args, t, handle_of(c)), "nms");
  }
  int64_t workspace_bytes() const override { return nms_workspace(args); }
};

const Value* input(const Group& group, size_t i) { return i < group.inputs.size() ? group.inputs[i] : nullptr; }

std::string refuse(const Group& group) { return nms_refusal(group); }

std::vector<FormatChoice> formats(const Group& group) {
  FormatChoice c;
  for (size_t i = 0; i < group.inputs.size(); ++i) c.inputs.push_back(i < nms_input::kMaxPerGroup ? kPlain : kHost);
  c.outputs.assign(group.outputs.size(), kPlain);
  return {c};
}

uint32_t limit_of(int64_t count) {
  return count < 0 ? kNoLimit : static_cast<uint32_t>(std::min<int64_t>(count, kNoLimit - 1));
}

// Thresholds and limits: a constant input overrides its attribute. Returns max_per_group.
uint32_t read_limits(const NmsAttrs& a, const Group& group, NmsArgs& n) {
  const auto number = [&](size_t i, double attribute) {
    const Value* v = input(group, i);
    return static_cast<float>(v ? v->constant->to_doubles()[0] : attribute);
  };
  n.score_threshold = number(nms_input::kScoreThreshold, a.score_threshold);
  n.iou_threshold = number(nms_input::kIouThreshold, a.iou_threshold);
  n.iou_offset = static_cast<float>(a.iou_offset);
  n.score_or_equal = a.score_compare == NmsCompare::kGreaterEqual;
  n.iou_or_equal = a.iou_compare == NmsCompare::kGreaterEqual;
  n.suppresses = n.iou_or_equal ? n.iou_threshold <= 1 : n.iou_threshold < 1;
  n.soft = a.soft_sigma > 0;
  if (n.soft) n.soft_scale = -0.5f / static_cast<float>(a.soft_sigma);
  const Value* most = input(group, nms_input::kMaxPerGroup);
  return limit_of(most ? std::max<int64_t>(most->constant->to_ints()[0], 0) : a.max_per_group);
}

// Which lists there are, and how much of them matters. `real` classes are not the background.
void choose_lists(const NmsAttrs& a, int64_t real, uint32_t max_per_group, NmsArgs& n) {
  const bool of_image = a.pre_top_k_of == NmsScope::kImage;
  const uint32_t pre = limit_of(a.pre_top_k);
  n.list_per_class = a.group == NmsGroup::kClass && n.classes != 1 && !(of_image && pre != kNoLimit);
  if (!n.list_per_class && n.classes != 1 && a.group == NmsGroup::kClass) n.rivals = Rivals::kSameClass;
  if (a.group == NmsGroup::kExplicit) n.rivals = Rivals::kSameGroup;
  int64_t of_box = a.candidates == NmsCandidates::kPerClass ? n.classes
                   : a.candidates == NmsCandidates::kTopM   ? a.top_m
                                                            : 1;
  if (of_box < n.classes) n.best_of_box = static_cast<uint32_t>(of_box);
  n.room = static_cast<uint32_t>(n.boxes * (n.list_per_class ? std::min<int64_t>(real, 1) : std::min(of_box, real)));
  if (a.group == NmsGroup::kExplicit && !of_image) n.most_of_group = pre;
  else n.most = pre;
  n.total = limit_of(a.max_total);
  n.keep = std::min(n.room, n.most);
  // Soft suppression lets negative scores rise, so that the best may be the last ones kept.
  if (!n.soft || n.score_threshold >= 0) n.keep = std::min(n.keep, n.total);
  if (n.compares_groups()) n.per_group = max_per_group;
  else n.keep = std::min(n.keep, max_per_group);
}

}  // namespace

std::string cuda::nms_refusal(const Group& group) {
  for (size_t i : {nms_input::kBoxes, nms_input::kScores})
    if (group.inputs[i] && group.inputs[i]->dtype != DType::kFloat32)
      return fmt::format("{}, not float32", to_string(group.inputs[i]->dtype));
  if (const Value* g = input(group, nms_input::kGroup); g && g->dtype != DType::kInt64 && g->dtype != DType::kInt32)
    return fmt::format("groups of {}", to_string(g->dtype));
  for (size_t i : {nms_input::kMaxPerGroup, nms_input::kIouThreshold, nms_input::kScoreThreshold})
    if (const Value* v = input(group, i); v && (!v->constant || v->constant->count() != 1))
      return fmt::format("'{}' is not constant", v->name);
  for (const Value* v : group.inputs)
    if (v && std::ranges::any_of(v->shape, [](const Dim& d) { return d.data_dependent(); }))
      return fmt::format("'{}' has a data-dependent size", v->name);
  return "";
}

NmsTensors cuda::nms_tensors(KernelContext& c) {
  NmsTensors t;
  t.boxes = c.in(nms_input::kBoxes).as<float>();
  if (c.has(nms_input::kGroup)) t.group = c.in(nms_input::kGroup).data;
  for (size_t i = 0; i < std::size(t.outputs); ++i)
    if (c.wants(i)) t.outputs[i] = c.out(i).data;
  t.size = c.sizes, t.workspace = c.workspace;
  return t;
}

Result<NmsArgs> cuda::nms_args(const PrepareContext& c, const Node& node, const std::vector<int64_t>& scores) {
  constexpr int64_t kMostIndices = int64_t{1} << 31;
  const auto& a = node.as<NmsAttrs>();
  const auto& boxes = c.inputs[nms_input::kBoxes].shape;
  const int64_t images = scores[0], count = scores[1], classes = scores.size() == 3 ? scores[2] : 1;
  const int64_t sets = boxes.size() == 4 ? boxes[2] : 1;
  if (boxes[0] != images || boxes[1] != count || boxes.back() != 4 || (sets != 1 && sets != classes))
    return invalid_argument("boxes [{}] and scores [{}] do not belong together", fmt::join(boxes, ","),
                            fmt::join(scores, ","));
  const Value* group = input(c.group, nms_input::kGroup);
  if (group && c.inputs[nms_input::kGroup].shape != Dims{images, count})
    return invalid_argument("group [{}] does not belong to scores [{}]",
                            fmt::join(c.inputs[nms_input::kGroup].shape, ","), fmt::join(scores, ","));
  // Of an image, and of all: what 32-bit numbers of candidates and of blocks can count.
  if (count >= kMostIndices || classes >= kMostIndices || images >= kMostIndices / 8 ||
      count * std::max<int64_t>(classes, 1) >= kMostIndices ||
      images * std::max<int64_t>(classes, 1) * (count / 8 + 1) >= kMostIndices)
    return unsupported("{} images of {} boxes and {} classes are too many", images, count, classes);

  NmsArgs n;
  n.images = images, n.boxes = static_cast<uint32_t>(count), n.classes = static_cast<uint32_t>(classes);
  n.boxes_per_class = sets != 1;
  n.wide_group = group && group->dtype == DType::kInt64;
  n.named_by_group = group && scores.size() == 2;
  const bool background = a.background >= 0 && a.background < classes;
  if (background) n.background = static_cast<uint32_t>(a.background);
  n.box_form = static_cast<BoxForm>(a.box_form);
  const uint32_t max_per_group = read_limits(a, c.group, n);
  choose_lists(a, classes - background, max_per_group, n);
  n.rows = static_cast<NmsRows>(a.output);
  n.rows_per_box = static_cast<uint32_t>(std::max<int64_t>(std::min(a.classes_per_box, classes - background), 1));
  for (size_t i : {0, 1, 2, 4})
    if (a.output == NmsOutput::kPadded && i < c.outputs.size() && c.outputs[i].dtype != DType::kUndefined)
      n.padded_rows = c.outputs[i].shape[1];
  n.class_offset = a.class_offset, n.clip = a.clip, n.fill = a.fill == NmsFill::kZero ? 0 : -1;
  n.defines_size = !node.sizes.empty();
  plan_memory(n);
  return n;
}

namespace {

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  auto kernel = std::make_unique<NmsKernel>();
  FOVEA_TRY_SET(kernel->args, nms_args(c, *c.group.nodes[0], c.inputs[nms_input::kScores].shape));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_nms_cuda = {.name = "nms_cuda",
                                   .op = "Nms",
                                   .revision = 3,
                                   .dynamic_shapes = true,  // those of its outputs
                                   .place = Place::kDevice,
                                   .match = match_node,
                                   .refuse = refuse,
                                   .formats = formats,
                                   .prepare = prepare,
                                   .preference = 4};

}  // namespace fovea::core
