#include "builder/card_lowering.h"

#include <algorithm>
#include <limits>

#include "builder/card_check.h"
#include "ops/cast.h"
#include "ops/decode_boxes.h"
#include "ops/nms.h"
#include "ops/op.h"
#include "ops/preprocess.h"
#include "ops/softmax.h"
#include "ops/transpose.h"
#include "picture/card_batch.h"

namespace fovea::core {
namespace {

constexpr int64_t kMaxSide = 1 << 16;  // of a picture, in pixels; JPEG's own limit

PixelOrder pixel_order(ColorOrder color) {
  switch (color) {
    case ColorOrder::kRgb: return PixelOrder::kRgb;
    case ColorOrder::kBgr: return PixelOrder::kBgr;
    case ColorOrder::kGray: return PixelOrder::kGray;
  }
  return {};
}

PixelLayout pixel_layout(PictureLayout layout) {
  switch (layout) {
    case PictureLayout::kNchw: return PixelLayout::kNchw;
    case PictureLayout::kNhwc: return PixelLayout::kNhwc;
    case PictureLayout::kChw: return PixelLayout::kChw;
    case PictureLayout::kHwc: return PixelLayout::kHwc;
  }
  return {};
}

NmsBoxForm box_form(BoxFormat format) {
  switch (format) {
    case BoxFormat::kXyxy: return NmsBoxForm::kXyxy;
    case BoxFormat::kYxyx: return NmsBoxForm::kYxyx;
    case BoxFormat::kCxcywh: return NmsBoxForm::kCentre;
    case BoxFormat::kXywh: return NmsBoxForm::kXywh;
  }
  return {};
}

NmsCandidates nms_candidates(Candidates candidates) {
  switch (candidates) {
    case Candidates::kPerClass: return NmsCandidates::kPerClass;
    case Candidates::kArgmax: return NmsCandidates::kArgmax;
    case Candidates::kTopM: return NmsCandidates::kTopM;
  }
  return {};
}

NmsCompare nms_compare(Comparison comparison) {
  return comparison == Comparison::kGreater ? NmsCompare::kGreater : NmsCompare::kGreaterEqual;
}

// A card's 0 is no limit.
int64_t limit(int64_t count) { return count == 0 ? -1 : count; }

Result<std::unique_ptr<Graph>> preprocess_graph(const PictureCard& p, DType dtype) {
  auto graph = std::make_unique<Graph>("preprocess");
  const Dim height(graph->declare_symbol({"h", 1, kMaxSide, false})),
      width(graph->declare_symbol({"w", 1, kMaxSide, false}));
  Value* picture = graph->add_input("picture", DType::kUInt8, {height, width, 3});
  PreprocessAttrs a;
  a.resize = p.resize, a.antialias = p.antialias;
  a.color = pixel_order(p.color);
  a.pad_value = p.pad_value, a.scale = p.scale, a.mean = p.mean, a.std = p.std;
  a.layout = pixel_layout(p.layout), a.dtype = dtype;
  Node* node = graph->add_node(&op_Preprocess.info, make_attrs(std::move(a)), {picture});
  node->origin = {"card: picture"};
  FOVEA_TRY(infer_node(*graph, *node));
  // "picture" is the input's name; where the network's input has it too, the output's name, which users see, still is
  // its own.
  if (p.input != "picture") graph->rename(node->output(), p.input);
  graph->outputs.push_back(node->output());
  graph->output_names.push_back(p.input);
  return graph;
}

class Postprocess {
 public:
  Postprocess(Graph& graph, const ModelCard& card, TensorPtr anchors)
      : graph_(graph), card_(card), post_(*card.postprocess), anchors_(std::move(anchors)) {}

  // Returns the outputs section of the new card.
  Result<OutputsCard> run() {
    FOVEA_TRY_SET(DetectionTensors t, find_detection_tensors(graph_, card_));
    FOVEA_TRY_SET(Value * objectness, t.joined ? taken_apart(t) : nullptr);
    FOVEA_TRY(check_detection_tensors(t, card_, anchors_));
    // Coordinates and scores are float32 from here on, and so are the outputs.
    FOVEA_TRY_SET(Value * scores, cast_to(DType::kFloat32, t.scores));
    FOVEA_TRY_SET(scores, activated(scores));
    FOVEA_TRY_SET(scores, objectness ? weighted(scores, objectness) : scores);
    FOVEA_TRY_SET(Value * boxes, cast_to(DType::kFloat32, t.boxes));
    FOVEA_TRY_SET(boxes, decoded(boxes));
    FOVEA_TRY_SET(Value * labels, t.labels ? cast_to(DType::kInt64, t.labels) : t.labels);
    FOVEA_TRY_SET(Node * nms, suppressed(boxes, scores, labels));
    return replace_outputs(*nms, t);
  }

 private:
  Result<Node*> emit(const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs, std::string_view key,
                     int outputs = 1) {
    Node* node = graph_.add_node(&op.info, std::move(attrs), std::move(inputs), outputs);
    node->origin = {fmt::format("card: {}", key)};
    if (Status s = infer_node(graph_, *node); !s.ok()) return Status(ErrorKind::kInvalidArgument, s.in(key).message());
    return node;
  }

  Result<Value*> cast_to(DType type, Value* v) {
    if (v->dtype == type) return v;
    CastAttrs a;
    a.to = type;
    FOVEA_TRY_SET(Node * node, emit(op_Cast, make_attrs(a), {v}, "outputs"));
    return node->output();
  }

  // [B,N,C]: boxes are the first four of each row's numbers and scores the last; returns what stands between, or null.
  Result<Value*> taken_apart(DetectionTensors& t) {
    Value* rows = t.joined;
    if (card_.outputs.joined_layout == JoinedLayout::kBcn) {
      FOVEA_TRY_SET(Node * node, emit(op_Transpose, make_attrs(TransposeAttrs{{0, 2, 1}}), {rows}, "outputs.joined"));
      rows = node->output();
    }
    const int64_t first_score = card_.outputs.objectness ? 5 : 4;
    FOVEA_TRY_SET(t.boxes, columns(rows, 0, 4, "boxes"));
    FOVEA_TRY_SET(t.scores, columns(rows, first_score, std::numeric_limits<int64_t>::max(), "scores"));
    if (!card_.outputs.objectness) return nullptr;
    return columns(rows, 4, 5, "objectness");
  }

  Result<Value*> columns(Value* rows, int64_t begin, int64_t end, std::string_view name) {
    const auto constant = [&](int64_t v) { return graph_.add_constant(Tensor::of<int64_t>({1}, {v})); };
    FOVEA_TRY_SET(Node * node,
                  emit(op_Slice, nullptr, {rows, constant(begin), constant(end), constant(2)}, "outputs.joined"));
    graph_.rename(node->output(), graph_.unique_name(fmt::format("{}.{}", card_.outputs.joined, name)));
    return node->output();
  }

  // Scores of classes given that there is an object, times the score that there is one.
  Result<Value*> weighted(Value* scores, Value* objectness) {
    FOVEA_TRY_SET(objectness, cast_to(DType::kFloat32, objectness));
    FOVEA_TRY_SET(objectness, activated(objectness));
    FOVEA_TRY_SET(Node * node, emit(op_Mul, nullptr, {scores, objectness}, "outputs.objectness"));
    return node->output();
  }

  Result<Value*> activated(Value* scores) {
    if (post_.activation == Activation::kNone) return scores;
    const bool softmax = post_.activation == Activation::kSoftmax;
    AttrsPtr attrs =
        softmax ? make_attrs(SoftmaxAttrs{.axis = static_cast<int64_t>(scores->shape.size()) - 1}) : nullptr;
    FOVEA_TRY_SET(Node * node,
                  emit(softmax ? op_Softmax : op_Sigmoid, std::move(attrs), {scores}, "postprocess.activation"));
    return node->output();
  }

  Result<Value*> decoded(Value* boxes) {
    if (post_.decode == BoxDecode::kNone) return boxes;
    DecodeBoxesAttrs a;
    a.deltas = post_.decode == BoxDecode::kSsd ? DeltaOrder::kXywh : DeltaOrder::kYxhw;
    a.variances = post_.variances, a.scales = post_.scales;
    a.clip = post_.clip;
    FOVEA_TRY_SET(Node * node, emit(op_DecodeBoxes, make_attrs(std::move(a)),
                                    {boxes, graph_.add_constant(anchors_, "anchors")}, "postprocess.decode"));
    return node->output();
  }

  Result<Node*> suppressed(Value* boxes, Value* scores, Value* labels) {
    NmsAttrs a;
    a.box_form = post_.decode == BoxDecode::kNone ? box_form(card_.outputs.box_format) : NmsBoxForm::kXyxy;
    a.candidates = nms_candidates(post_.candidates);
    a.top_m = std::max<int64_t>(post_.top_m, 1);
    a.background = post_.background;
    a.group = post_.class_agnostic ? NmsGroup::kNone : labels ? NmsGroup::kExplicit : NmsGroup::kClass;
    a.score_threshold = post_.score_threshold, a.score_compare = nms_compare(post_.score_compare);
    a.pre_top_k = limit(post_.top_k);
    a.iou_threshold = post_.iou_threshold, a.iou_compare = nms_compare(post_.iou_compare);
    // The card's 1 is "nothing is suppressed" under both comparisons.
    if (post_.iou_threshold >= 1) a.iou_compare = NmsCompare::kGreater;
    a.iou_offset = post_.iou_offset;
    a.soft_sigma = post_.soft_nms_sigma;
    a.max_per_group = limit(post_.max_per_class), a.max_total = limit(post_.max_detections);
    a.output = NmsOutput::kDetections;
    std::vector<Value*> inputs = {boxes, scores};
    if (labels) inputs.push_back(labels);
    return emit(op_Nms, make_attrs(a), std::move(inputs), "postprocess", 4);
  }

  // Outputs that stay keep their names; the new ones take theirs where they are free.
  OutputsCard replace_outputs(const Node& nms, const DetectionTensors& old) {
    std::vector<Value*> outputs;
    std::vector<std::string> names;
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      const std::string& name = graph_.output_names[i];
      const OutputsCard& c = card_.outputs;
      if (name == c.boxes || name == c.scores || (old.labels && name == c.labels) || (old.joined && name == c.joined))
        continue;
      outputs.push_back(graph_.outputs[i]);
      names.push_back(name);
    }
    OutputsCard o = card_.outputs;
    if (post_.decode != BoxDecode::kNone)
      o.box_format = BoxFormat::kXyxy, o.normalized = true, o.relative_to = BoxReference::kInput;
    o.count.clear(), o.joined.clear(), o.joined_layout = {}, o.objectness = false;
    std::vector<Value*> fresh;
    std::vector<std::string> fresh_names;
    std::string* const fields[] = {&o.boxes, &o.scores, &o.labels, &o.image_index};
    constexpr std::string_view kNames[] = {"boxes", "scores", "labels", "images"};
    for (size_t i = 0; i < 4; ++i) {
      *fields[i] = free_name(kNames[i], names);
      name_value(nms.outputs[i], *fields[i]);
      fresh.push_back(nms.outputs[i]);
      fresh_names.push_back(*fields[i]);
    }
    outputs.insert(outputs.begin(), fresh.begin(), fresh.end());
    names.insert(names.begin(), fresh_names.begin(), fresh_names.end());
    graph_.outputs = std::move(outputs);
    graph_.output_names = std::move(names);
    return o;
  }

  std::string free_name(std::string_view base, const std::vector<std::string>& taken) const {
    const auto is_taken = [&](const std::string& name) {
      const Value* v = graph_.find(name);
      return std::find(taken.begin(), taken.end(), name) != taken.end() || (v && v->graph_input);
    };
    std::string name(base);
    for (int i = 1; is_taken(name); ++i) name = fmt::format("{}_{}", base, i);
    return name;
  }

  // Inner values make room for an output's name.
  void name_value(Value* v, const std::string& name) {
    if (Value* other = graph_.find(name); other && other != v) graph_.rename(other, graph_.unique_name(name + ".raw"));
    graph_.rename(v, name);
  }

  Graph& graph_;
  const ModelCard& card_;
  const PostprocessCard& post_;
  TensorPtr anchors_;
};

}  // namespace

Result<LoweredCard> lower_card(Graph& graph, const ModelCard& card, TensorPtr anchors) {
  FOVEA_TRY_SET(const Value* picture, check_inputs(graph, card));
  LoweredCard lowered;
  lowered.card = card;
  FOVEA_TRY_SET(lowered.preprocess, preprocess_graph(card.picture, picture->dtype));
  if (!card.postprocess) {
    FOVEA_TRY(check_detection_outputs(graph, card));
  } else {
    FOVEA_TRY_SET(lowered.card.outputs, Postprocess(graph, card, std::move(anchors)).run());
    lowered.card.postprocess.reset();
  }
  if (auto batch = card_batch(graph, lowered.card); !batch.ok()) return batch.status();
  return lowered;
}

}  // namespace fovea::core
