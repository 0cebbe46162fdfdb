// The views between the convolutions of a detector's heads and the one tensor that they are joined to, as a map.
#pragma once

#include "kernels/cuda/common.h"
#include "kernels/cuda/detect/heads.h"

namespace fovea::core::cuda {

// A Concat of views of rank-4 tensors, each seen as [image, boxes, numbers] or [image, numbers, boxes], and the views
// behind it.
struct HeadTree {
  std::vector<const Node*> nodes;     // the Concat first, then those in front of it, then those behind
  std::vector<const Value*> sources;  // one for each input of the Concat
  const Value* joined = nullptr;      // rank 3
};

// Trees that begin at `concat`, the longest first.
std::vector<HeadTree> head_trees(const Graph& graph, const Node& concat);

// Where the pieces of a tree lie, which is the first part of the context's group: its Concat is nodes[0], its sources
// are inputs[first_source...]. `numbers_first`: the joined tensor is [image, numbers, boxes]. kUnsupported, with a
// reason, where the map is another one than HeadPiece can say.
Result<Heads> map_heads(const PrepareContext& context, size_t first_source, const Value* joined, bool& numbers_first);

// NHWC8 for all sources, float16 where they may be.
Format head_format(std::span<const Value* const> sources);
// Why a group with these sources is none for the device; empty if it is.
std::string heads_refusal(std::span<const Value* const> sources);

}  // namespace fovea::core::cuda
