#include "kernels/cuda/reduce/fold_source.h"

#include <fmt/format.h>

#include "kernels/cuda/reduce/fold_text.h"

namespace fovea::core::cuda::fold {
namespace {

using chain::Chain;
using chain::lane_type;
using chain::stored_type;
using chain::Type;

// Of V places in memory: `read` is what the fold is given, `write` what is made of its results.
std::string accesses(const Chain& c) {
  const size_t front = c.front->operands, n = c.operands.size();
  const auto load = [&](size_t i) {
    return fmt::format("  {1} x{0}[V];\n  load<V>((const {2}*)a.in[{0}] + p.in[{0}], a.step[{0}], V, x{0});\n", i,
                       lane_type(c.operands[i].stored), stored_type(c.operands[i].stored));
  };
  std::string text = "template <int V>\nDEVICE void read(const Arguments& a, const Place& p, Lane (&r)[V]) {\n";
  for (size_t i = 0; i < front; ++i) text += load(i);
  text += "#pragma unroll\n  for (int k = 0; k < V; ++k) r[k] = before(a";
  for (size_t i = 0; i < front; ++i) text += fmt::format(", x{}[k]", i);
  text += ");\n}\ntemplate <int V>\nDEVICE void write(const Arguments& a, const Place& p, const Folded (&v)[V]) {\n";
  for (size_t i = front; i < n; ++i) text += load(i);
  text +=
      fmt::format("  {} r[V];\n#pragma unroll\n  for (int k = 0; k < V; ++k) r[k] = after(a, v[k]", lane_type(c.out));
  for (size_t i = front; i < n; ++i) text += fmt::format(", x{}[k]", i);
  return text + fmt::format(");\n  store<V>(({}*)a.out + p.out, V, r);\n}}\n", stored_type(c.out));
}

// In what a reduction's elements are joined. Sums and products of integers are modulo 2^64, as in the reference;
// products of floats soon leave their range on the way.
std::string_view joined_type(Type element, const Rule& rule) {
  if (rule.fold == "Largest" || rule.fold == "Smallest") return lane_type(element);
  if (element == Type::kInt) return lane_type(Type::kLong);
  return rule.fold == "Product" && element != Type::kLong ? "double" : lane_type(element);
}

std::string cast(Type to) {
  switch (to) {
    case Type::kFloat: return "(float)";
    case Type::kHalf: return "rounded";
    case Type::kInt: return "to_int";
    case Type::kLong: return "to_long";
    case Type::kBool: return "";
  }
  return "";
}

}  // namespace

std::string source(const Chain& c, const Rule& rule) {
  const Type element = c.front->steps > 0 ? c.steps[c.front->steps - 1].result : c.operands[0].stored;
  const Type result = c.steps[c.front->steps].result;
  std::string text = chain::source_head() + std::string(kArgumentsText);
  text += fmt::format("\nconstexpr int kInputs = {}, kVector = {};\n", c.operands.size(), c.vector);
  text += rule.keeps_shape ? fmt::format("constexpr int kHeld = {};\n", kHeld)
                           : fmt::format("constexpr int kOnTheWay = {};\n", kOnTheWay);
  text += fmt::format("typedef {} Lane;\ntypedef {} Folded;\n", lane_type(element), lane_type(result));
  text += kFolds;
  text += c.function("before", {}, *c.front);
  text += c.function("after", {c.front->steps + 1, c.front->operands}, {c.steps.size(), c.operands.size()});
  text += kBody;
  text += accesses(c);
  if (rule.keeps_shape) {
    const bool log = rule.op == "LogSoftmax";
    text += fmt::format("DEVICE float kept(float d) {{ return {}; }}\n", log ? "d" : "expf(d)");
    text += fmt::format("DEVICE float weight(float x) {{ return {}; }}\n", log ? "expf(x)" : "x");
    text += fmt::format("DEVICE float total(float s) {{ return {}; }}\n", log ? "logf(s)" : "__fdiv_rn(1.f, s)");
    text += fmt::format("DEVICE float finished(float x, float t) {{ return {}({}); }}\n", cast(result),
                        log ? "__fsub_rn(x, t)" : "__fmul_rn(x, t)");
    text += kSoftmax;
  } else {
    const std::string_view joined = joined_type(element, rule);
    text += fmt::format("typedef {}<{}> Fold;\n", rule.fold, joined);
    text += fmt::format("DEVICE Fold::Part taken({} x) {{ return {}; }}\n", joined, rule.take);
    text += fmt::format("DEVICE Folded finished(const Fold::Part& s, long long n) {{ return {}({}); }}\n", cast(result),
                        rule.finish);
    text += kReduction;
  }
  text += chain::kKernelHead;
  text += "fold(const __grid_constant__ FoldArguments f) {\n";
  if (rule.keeps_shape) {
    text +=
        "  __shared__ float shared[256];\n  if (f.columns) softmax<1, true>(f, shared);\n"
        "  else if (f.chain.whole) softmax<kVector, false>(f, shared);\n  else softmax<1, false>(f, shared);\n}\n";
  } else {
    text +=
        "  __shared__ Fold::Part shared[256 * kVector];\n  if (f.last) {\n    reduce_slices(f, shared);\n"
        "  } else if (f.columns) {\n    if (f.chain.whole) reduce<kVector, true>(f, shared);\n"
        "    else reduce<1, true>(f, shared);\n  } else {\n"
        "    if (f.chain.whole) reduce<kVector, false>(f, shared);\n    else reduce<1, false>(f, shared);\n  }\n}\n";
  }
  return text;
}

}  // namespace fovea::core::cuda::fold
