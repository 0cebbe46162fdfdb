// The operators that a chain is made of: what each asks of its operands, and its expression in CUDA.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cuda/eltwise/chain_source.h"
#include "kernels/kernel.h"

namespace fovea::core::cuda::chain {

enum class Kind : uint8_t {
  kFloat1,   // of one float
  kFloat2,   // of two floats
  kNumber1,  // of integers too
  kNumber2,
  kCompare,  // two of any type to a bool
  kBool1,
  kBool2,
  kClip,
  kWhere,
  kCast,
};

// `form` with {0}, {1}, ... for the operands, and numbers of the attributes behind them.
struct Rule {
  std::string_view op;
  Kind kind;
  std::string_view form;
};
const Rule* rule_of(const Node& node);  // null: an operator of no chain
size_t operands_of(Kind kind);

// The numbers that a node's attributes bring, in the order of its form.
std::vector<float> numbers_of(const Node& node);

// Read when the kernel is prepared.
bool is_number(const Value* v);

// As which a tensor of this type is stored.
std::optional<Type> type_of(DType type);

// Why no chain computes this node on its types; empty if one does.
std::string type_refusal(const Node& node, const Rule& rule);

// Do this node's operands fit, `chained` (or null) being the one that the chain brings?
bool fits(const Node& node, const Value* chained);

}  // namespace fovea::core::cuda::chain
