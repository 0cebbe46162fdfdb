// What a group has to move and to compute at least, and how long a device takes for that at its best.
#pragma once

#include <optional>

#include "backends/target.h"
#include "kernels/kernel.h"
#include "tactics/sizes.h"

namespace fovea::core {

// What products are computed in.
enum class Arithmetic : uint8_t { kFloat32, kTf32, kFloat16 };
std::string_view to_string(Arithmetic arithmetic);  // "fp32", "tf32", "fp16"
std::optional<Arithmetic> arithmetic_from_string(std::string_view name);

struct GroupCost {
  double bytes = 0;     // of inputs, weights and outputs, as they are stored; where data decides a size, the most
  double products = 0;  // multiplications and additions of convolutions and matrix products
  double others = 0;    // operations of pools, reductions and element-wise operators, one for each element they meet
  Arithmetic arithmetic = Arithmetic::kFloat32;  // of the products
};
double value_bytes(const Value* value, const Format& format, const Sizes& sizes);
void add_operations(const Node& node, const Sizes& sizes, GroupCost& cost);
GroupCost group_cost(const Group& group, const FormatChoice& formats, const Sizes& sizes);

struct Floor {
  double ms = 0;
  bool compute = false;  // what takes longer: computing, or moving bytes?
};
// None where a limit that it needs is not known.
std::optional<Floor> floor_of(const GroupCost& cost, const Limits& limits);

}  // namespace fovea::core
