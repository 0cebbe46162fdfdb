// The text form of a graph, for people, golden tests and repro files. What print() writes with `full` constants,
// parse() (ir/parse.h) reads back as the same graph.
//
//   symbols(n in [1,1024], k0 in [0,26601472] data)
//   graph @main(%image: float32[n,3,300,300]) -> (boxes = %b, scores = %s) {
//     %w = constant float32[64,3,7,7] digest(9a0c2f14c8b1d0e7)
//     %axes = constant int64[2] {-1, 4}
//     %y = Conv(%image, %w, _) {pads=[3, 3, 3, 3], strides=[2, 2]} : float32[n,64,150,150] from "Conv_0"
//     %nz = NonZero(%m) : int64[2,k0] defines(k0 = %nz[1] <= n*8732)
//     %r = If(%empty; %b) : float32[n,4] coordinate
//       region @then(%x: float32[n,4]) -> (%x) {
//       }
//       region @else(...) -> (%z) {
//       }
//   }
//
// Attributes that have their default value are left out. Inputs after ';' are captures. A value's type is followed by
// its known elements (" = {n, 3, _}"), its precision class and its storage ("@int8(scale=[...], ...)") where there are
// any.
// '#' begins a comment.
#pragma once

#include <string>

#include "ir/graph.h"

namespace fovea::core {

struct PrintOptions {
  bool full = false;            // all of every constant; without it a large one is only a digest
  int64_t inline_elements = 8;  // constants up to this many elements are written as numbers
  bool known = false;           // known elements of values that are no constants
  bool origin = true;           // which ONNX nodes a node stands for
};

std::string print(const Graph& graph, const PrintOptions& options = {});
// One node on one line, without its regions: for messages and reports.
std::string print(const Node& node, const PrintOptions& options = {});

// 64 bits over dtype, dimensions and contents.
uint64_t digest(const Tensor& tensor);

namespace text_detail {
std::string quoted(std::string_view s);
std::string attr_text(const AttrValue& value);  // as in print(): bit-exact
std::string base64(std::span<const std::byte> bytes);
bool bare_name(std::string_view name);  // needs no quotes after % or @
}  // namespace text_detail

}  // namespace fovea::core
