// What becomes one kernel with the element-wise operators in front of it and behind it: a reduction, or a softmax.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel.h"

namespace fovea::core::cuda::fold {

enum class Elements : uint8_t { kFloats, kNumbers, kAny };  // kNumbers: integers too; kAny: and booleans

struct Rule {
  std::string_view op;
  std::string_view fold;    // how two are joined: a structure of the source
  std::string_view take;    // what an element x brings
  std::string_view finish;  // the result, of `s`, what all `n` of them came to
  Elements elements;
  bool keeps_shape = false;  // a softmax
};
const Rule* rule_of(const Node& node);  // null: no fold

// The group's fold; null: a chain without one.
const Node* fold_of(const Group& group);

// Why no kernel computes this node on its types; empty if one does.
std::string refusal(const Node& node);

// The axes that it goes over, not negative.
std::vector<int64_t> axes_of(const Node& node);

}  // namespace fovea::core::cuda::fold
