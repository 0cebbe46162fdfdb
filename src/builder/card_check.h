// Does a card fit a network? Every mistake is InvalidArgument: it names the card's key, the tensor, what was expected
// and what was found, and for a tensor that does not exist the nearest name.
#pragma once

#include "ir/graph.h"
#include "picture/card.h"

namespace fovea::core {

// The inputs of the network against [picture] and [[inputs]]; returns the one that takes the picture.
Result<const Value*> check_inputs(const Graph& graph, const ModelCard& card);

// What [postprocess] works on; labels is null where scores have columns. Where `joined` is not null the others are
// parts of it, which only lowering makes.
struct DetectionTensors {
  Value *boxes = nullptr, *scores = nullptr, *labels = nullptr, *joined = nullptr;
};
Result<DetectionTensors> find_detection_tensors(const Graph& graph, const ModelCard& card);
Status check_detection_tensors(const DetectionTensors& t, const ModelCard& card, const TensorPtr& anchors);

// Without [postprocess]: outputs that are detections already.
Status check_detection_outputs(const Graph& graph, const ModelCard& card);

}  // namespace fovea::core
