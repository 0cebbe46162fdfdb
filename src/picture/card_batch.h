// How many pictures one run of a network takes, as its shapes and its card say.
#pragma once

#include "ir/graph.h"
#include "picture/card.h"

namespace fovea::core {

struct CardBatch {
  int64_t most = 1;
  bool fixed = false;  // every run takes `most`, else any number up to it
};

// `card` as the engine holds it, without [postprocess]. An input or output that has room for one picture makes it 1;
// where the network's batch is fixed at more that is InvalidArgument.
Result<CardBatch> card_batch(const Graph& graph, const ModelCard& card);

}  // namespace fovea::core
