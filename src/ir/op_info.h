// What the IR needs to know of an operator: the small table interface through which ir/ reaches ops/.
#pragma once

#include <span>
#include <string_view>

#include "ir/attrs.h"
#include "ir/expr.h"

namespace fovea::core {

class InferContext;
struct Node;

struct OpInfo {
  std::string_view name;               // canonical: "Conv", "DecodeBoxes"
  int min_inputs = 1, max_inputs = 1;  // max_inputs -1: any number. Optional inputs may also be null in between
  int min_outputs = 1, max_outputs = 1;
  AttrsCodec attrs = {};
  // Types, shapes, known elements and data-dependent sizes of the outputs from those of the inputs; reports what is
  // wrong.
  Status (*infer)(InferContext& context) = nullptr;
  bool pure = true;           // same inputs, same outputs: may be folded, merged and removed
  bool reads_values = false;  // does the output shape depend on input elements (Reshape, Range)?
  int regions = 0;            // If: 2
};

// Finds an operator by its canonical name; null if there is none.
using OpLookup = const OpInfo* (*)(std::string_view name);

}  // namespace fovea::core
