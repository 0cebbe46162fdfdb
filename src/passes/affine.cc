// Scales and shifts of single channels behind a convolution or matrix product move into its weights: frozen batch
// norms, exported as one node or as Mul and Add, and the 1/sqrt(d) behind a projection.
//   BatchNormalization(y) == y * s + (b - mean * s), s = scale / sqrt(var + epsilon)
//   Conv(x, w, b) * s + t == Conv(x, w * s, b * s + t)              s, t: a number or one an output channel
//   Gemm(x, w, c) * s + t == Gemm(x, w * s, beta * c * s + t)
//   (x @ w + u) * s + t   == x @ (w * s) + (u * s + t)
// A whole chain is taken at once, computed in float64 and rounded once.
#include <cmath>

#include "ops/conv.h"
#include "ops/conv_transpose.h"
#include "ops/gemm.h"
#include "ops/norm.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

struct Affine {
  std::vector<double> scale, shift;  // one an output channel
  bool scales = false, shifts = false;
  int adds = 0;
  std::vector<Node*> nodes;  // the chain
};

// A constant that is one number, or one a channel of `axis`, of a result of that rank.
std::optional<std::vector<double>> per_channel(const Value* v, size_t rank, size_t axis, int64_t channels) {
  if (!v || !v->constant || v->shape.size() > rank) return std::nullopt;
  const Dims& dims = v->constant->dims();
  for (size_t i = 0; i < dims.size(); ++i) {
    const bool channel = i + rank == axis + dims.size();
    if (dims[i] != 1 && !(channel && dims[i] == channels)) return std::nullopt;
  }
  std::vector<double> values = v->constant->to_doubles();
  if (values.size() == 1) values.assign(static_cast<size_t>(channels), values[0]);
  if (static_cast<int64_t>(values.size()) != channels) return std::nullopt;
  return values;
}

bool add_batch_norm(const Node& node, Affine& a) {
  std::vector<double> p[4];  // scale, bias, mean, variance
  for (size_t i = 0; i < 4; ++i) {
    if (!node.input(i + 1) || !node.input(i + 1)->constant) return false;
    p[i] = node.input(i + 1)->constant->to_doubles();
    if (p[i].size() != a.scale.size()) return false;
  }
  const double epsilon = node.as<EpsilonAttrs>().epsilon;
  for (size_t c = 0; c < a.scale.size(); ++c) {
    const double s = p[0][c] / std::sqrt(p[3][c] + epsilon);
    a.scale[c] *= s;
    a.shift[c] = (a.shift[c] - p[2][c]) * s + p[1][c];
  }
  a.scales = a.shifts = true;
  return true;
}

bool add_arithmetic(const Node& node, const Value* y, size_t axis, Affine& a) {
  const bool first = node.inputs[0] == y;
  if (node.inputs[0] == node.inputs[1] || !same_shape(node.output(), y)) return false;
  auto k = per_channel(node.inputs[first ? 1 : 0], y->shape.size(), axis, static_cast<int64_t>(a.scale.size()));
  if (!k) return false;
  if (node.is("Div") && !first) return false;
  for (size_t c = 0; c < k->size(); ++c) {
    const double v = (*k)[c];
    if (node.is("Mul")) a.scale[c] *= v, a.shift[c] *= v;
    else if (node.is("Div")) a.scale[c] /= v, a.shift[c] /= v;
    else if (node.is("Add")) a.shift[c] += v;
    else if (first) a.shift[c] -= v;
    else a.scale[c] = -a.scale[c], a.shift[c] = v - a.shift[c];
  }
  const bool adds = node.is("Add") || node.is("Sub");
  a.scales |= !adds || (node.is("Sub") && !first);
  a.shifts |= adds;
  a.adds += adds;
  return true;
}

bool extend(const Node& node, const Value* y, size_t axis, Affine& a) {
  if (node.is("BatchNormalization") && node.inputs[0] == y && axis == 1) {
    return add_batch_norm(node, a);
  }
  return (node.is("Mul") || node.is("Div") || node.is("Add") || node.is("Sub")) && add_arithmetic(node, y, axis, a);
}

bool finite(const Affine& a) {
  for (size_t c = 0; c < a.scale.size(); ++c)
    if (!std::isfinite(a.scale[c]) || !std::isfinite(a.shift[c])) return false;
  return true;
}

// What follows y, as long as it is arithmetic of single channels; where a step would not stay finite, up to it.
Affine chain_behind(const Graph& g, Value* y, size_t axis, int64_t channels) {
  Affine a;
  a.scale.assign(static_cast<size_t>(channels), 1.0), a.shift.assign(static_cast<size_t>(channels), 0.0);
  while (single_use(g, y)) {
    Affine next = a;
    Node* node = y->uses[0].node;
    if (node->outputs.empty() || !node->output() || !extend(*node, y, axis, next) || !finite(next)) break;
    a = std::move(next);
    a.nodes.push_back(node);
    y = node->output();
  }
  return a;
}

// w with element i multiplied by scale[channel(i)].
template <typename F>
TensorPtr scaled(const Tensor& w, const Affine& a, F&& channel) {
  auto t = Tensor::allocate(w.dtype(), w.dims());
  if (!t.ok()) return nullptr;
  const bool ok = dispatch_dtype(w.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto from = w.as<T>();
    auto* to = reinterpret_cast<T*>((*t)->mutable_data());
    for (size_t i = 0; i < from.size(); ++i) {
      const double s = a.scale[channel(i)];
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
        to[i] = T(static_cast<float>(static_cast<double>(static_cast<float>(from[i])) * s));
      else to[i] = static_cast<T>(static_cast<double>(from[i]) * s);
    }
  });
  return ok ? TensorPtr(*std::move(t)) : nullptr;
}

// Where the output channels lie in the weights.
struct Layout {
  int64_t channels = 0;
  size_t axis = 1;                        // of the output
  std::function<size_t(size_t)> channel;  // of weight element i
};

std::optional<Layout> layout_of(const Node& node) {
  const Value *w = node.input(1), *y = node.output();
  if (!w || !w->constant || !y || !is_float(w->dtype) || dtype_bits(w->dtype) < 16 || w->constant->count() == 0)
    return std::nullopt;
  const Dims& d = w->constant->dims();
  auto size = [&](size_t i) { return static_cast<size_t>(d[i]); };
  const size_t count = static_cast<size_t>(w->constant->count());
  Layout l;
  if (node.is("Conv")) {
    l.channels = d[0];
    l.channel = [inner = count / size(0)](size_t i) { return i / inner; };
  } else if (node.is("ConvTranspose")) {
    const auto group = static_cast<size_t>(node.as<ConvTransposeAttrs>().group);
    if (group == 0 || size(0) % group != 0) return std::nullopt;
    l.channels = d[1] * static_cast<int64_t>(group);
    const size_t per_input = count / size(0), kernel = per_input / size(1), inputs_per_group = size(0) / group;
    l.channel = [=, m = size(1)](size_t i) { return i / per_input / inputs_per_group * m + i % per_input / kernel; };
  } else if (node.is("Gemm") && node.as<GemmAttrs>().transB) {
    l.channels = d[0];
    l.channel = [k = size(1)](size_t i) { return i / k; };
  } else if ((node.is("Gemm") || node.is("MatMul")) && d.size() == 2) {
    l.channels = d[1];
    l.axis = y->shape.empty() ? 0 : y->shape.size() - 1;
    l.channel = [n = size(1)](size_t i) { return i % n; };
  } else {
    return std::nullopt;
  }
  if (l.axis >= y->shape.size() || !y->shape[l.axis].is_const(l.channels)) return std::nullopt;
  return l;
}

// bias * scale + shift in float64, or nullopt where the node's own bias is no constant of its channels.
std::optional<std::vector<double>> new_bias(const Node& node, const Affine& a, const Layout& l) {
  std::vector<double> bias = a.shift;
  if (const Value* old = node.input(2)) {
    auto b = node.is("Gemm") ? per_channel(old, 2, 1, l.channels) : per_channel(old, 1, 0, l.channels);
    if (!b) return std::nullopt;
    const double beta = node.is("Gemm") ? node.as<GemmAttrs>().beta : 1;
    for (size_t c = 0; c < bias.size(); ++c) bias[c] += (*b)[c] * beta * a.scale[c];
  }
  for (double b : bias)
    if (!std::isfinite(b)) return std::nullopt;
  return bias;
}

Result<bool> fold(Graph& g, Node& node) {
  auto layout = layout_of(node);
  if (!layout) return false;
  const Affine a = chain_behind(g, node.output(), layout->axis, layout->channels);
  const bool matmul = node.is("MatMul");
  if (a.nodes.empty() || (matmul && !a.scales && a.adds < 2)) return false;
  auto bias = new_bias(node, a, *layout);
  if (!bias) return false;

  Value* w = node.inputs[1];
  if (a.scales) {
    TensorPtr t = scaled(*w->constant, a, layout->channel);
    if (!t) return false;
    w = g.add_constant(std::move(t), w->name);
  }
  std::vector<Value*> inputs = {node.inputs[0], w};
  Value* last = a.nodes.back()->output();
  const bool has_bias = a.shifts || node.input(2);
  Value* b = has_bias ? g.add_constant(tensor_from_doubles(w->dtype, {layout->channels}, *bias)) : nullptr;
  if (b && !matmul) inputs.push_back(b);
  AttrsPtr attrs = node.attrs;
  if (node.is("Gemm")) {
    GemmAttrs changed = node.as<GemmAttrs>();
    changed.beta = 1;
    attrs = make_attrs(changed);
  }
  Node* fresh = g.add_node(node.op, attrs, std::move(inputs), 1, a.nodes.back());
  fresh->origin = node.origin;
  FOVEA_TRY(infer_node(g, *fresh));
  Value* result = fresh->output();
  if (b && matmul) {
    FOVEA_TRY_SET(result, insert(g, op_Add, nullptr, {result, b}, *a.nodes.back()));
  }
  for (const Node* n : a.nodes) add_origin(*result->producer, *n);
  replace(g, last, result, true);
  return true;
}

// MatMul(a, b) + c == Gemm(a, b, c) for matrices a, b and a vector c: what a Linear layer is.
Result<bool> add_bias(Graph& g, Node& node) {
  if (!node.is("MatMul") || !node.output() || !single_use(g, node.output())) return false;
  const Value *a = node.inputs[0], *b = node.inputs[1], *y = node.output();
  if (a->shape.size() != 2 || b->shape.size() != 2) return false;
  Node* add = y->uses[0].node;
  if (!add->is("Add") || add->inputs[0] == add->inputs[1] || !same_shape(add->output(), y)) return false;
  Value* c = add->inputs[add->inputs[0] == y ? 1 : 0];
  if (!c->is_constant() || !y->shape[1].is_const() || !per_channel(c, 2, 1, y->shape[1].int_value())) return false;
  FOVEA_TRY_SET(Value * fresh, insert(g, op_Gemm, make_attrs(GemmAttrs{}), {node.inputs[0], node.inputs[1], c}, *add));
  add_origin(*fresh->producer, node);
  replace(g, add->output(), fresh, true);
  return true;
}

}  // namespace

Result<bool> fold_affine(Graph& graph, PassContext&) { return for_each_node(graph, fold); }
Result<bool> fold_bias(Graph& graph, PassContext&) { return for_each_node(graph, add_bias); }

}  // namespace fovea::core
