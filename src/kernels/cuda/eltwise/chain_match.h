// What a chain takes, and in which formats: element-wise operators, and one reduction or softmax among them.
#pragma once

#include "kernels/kernel.h"

namespace fovea::core::cuda::chain {

std::vector<Group> match(const Graph& graph, const Node& anchor);
std::string refuse(const Group& group);
std::vector<FormatChoice> formats(const Group& group);

}  // namespace fovea::core::cuda::chain
