// What the host decides and packs for few_channels.h.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/conv/few_channels.h"

namespace fovea::core::cuda {

// Why a GPU of this compute capability has not what it is made of (device/mma.cuh); empty if it has.
std::string few_channels_refuse(int major, int minor);

// How many output channels a block takes: eights and groups of `args`, from k.
void group_channels(FewChannelsArgs& args);
// The tile that promises the shortest time among those whose shared memory is at most `most_shared` bytes; false if
// none is. Everything above it in FewChannelsArgs is known.
bool place_tiles(FewChannelsArgs& args, int most_shared);
// [k,c,r,s] in the order of fragment_word(), one float for each factor: two a word in float16, one in TF32.
std::vector<float> packed_fragments(const FewChannelsArgs& args, const float* weights);

}  // namespace fovea::core::cuda
