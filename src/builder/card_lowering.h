// What a model card asks for becomes operators: postprocessing behind the network, Preprocess in a small graph of its
// own that the engine keeps beside the network's.
//
//   picture uint8 [h,w,3] --Preprocess--> one row of the network's picture input       (graph "preprocess")
//
//   scores --Cast--> --Sigmoid or Softmax--+
//   boxes  --Cast--> --DecodeBoxes---------+--Nms--> boxes [K,4] float32, scores [K] float32, labels [K] int64, images
//   [K] int64 labels --------------------------------+
//
// boxes and scores of one joined output are slices of it.
// Without [postprocess] the network's outputs stay what they are; they are only checked against the card.
#pragma once

#include <memory>

#include "ir/graph.h"
#include "picture/card.h"

namespace fovea::core {

struct LoweredCard {
  // The card of the engine: `outputs` names and describes what comes out now, and [postprocess] is gone, because it is
  // in the graph. parse_card(to_toml(card)) gives it back.
  ModelCard card;
  // One input "picture", uint8 [h,w,3] of symbols h and w; one output, named as the network's picture input and of its
  // type.
  std::unique_ptr<Graph> preprocess;
};

// `graph` as it was read, inferred. With [postprocess] its outputs that the card names for boxes, scores and labels are
// outputs no longer; the four new ones come first, under the names "boxes", "scores", "labels" and "images", or with a
// number behind where an output that stays has that name. Other outputs stay.
// `anchors`: float32 [N,4] as cx, cy, w, h, read by read_anchors(); null where the card has no decode.
// Every mistake of the card is InvalidArgument: it names the card's key, the tensor, what was expected, what was found.
Result<LoweredCard> lower_card(Graph& graph, const ModelCard& card, TensorPtr anchors);

}  // namespace fovea::core
