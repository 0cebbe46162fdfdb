// For tests: runs one operator on tensors, as ONNX writes it or in its canonical form, with the reference kernels, and
// holds what inference said against what the kernel computed: sizes, known elements, bounds of data-dependent sizes.
#pragma once

#include <map>
#include <random>

#include "kernels/reference/reference.h"
#include "ops/op.h"

namespace fovea::core::test {

struct RunOptions {
  int64_t opset = 21;
  int outputs = 1;
  // Inputs are laid out with gaps and reversed dimension order, so that kernels that ignore strides fail.
  bool strided = false;
  // Every dimension of the inputs becomes a symbol; the sizes inferred must evaluate to the real ones.
  bool symbolic_shapes = false;
  std::vector<size_t> constants;  // inputs that stay constants nevertheless
  // These inputs are no constants: inference sees nothing of their elements ...
  std::vector<size_t> runtime;
  // ... or sees a symbol for each (int64 only).
  std::vector<size_t> symbolic;
  int threads = 1;
};

namespace detail {

// `t` laid out column-major with a gap after each element; sub-byte types stay dense.
inline TensorRef scatter_layout(const TensorRef& t, std::vector<std::byte>& memory) {
  if (dtype_bits(t.dtype) < 8 || t.count() == 0) return t;
  TensorRef r = t;
  int64_t stride = 2;
  for (int i = 0; i < t.rank; ++i) r.strides[static_cast<size_t>(i)] = stride, stride *= t.dims[static_cast<size_t>(i)];
  const auto size = static_cast<size_t>(element_size(t.dtype));
  memory.assign(static_cast<size_t>(stride) * size, std::byte{0xab});
  r.data = memory.data();
  Walker w(t.shape(), {r.strides});
  for (int64_t i = 0; i < w.count(); ++i, w.next())
    std::memcpy(memory.data() + static_cast<size_t>(w.offset(0)) * size,
                static_cast<const std::byte*>(t.data) + static_cast<size_t>(i) * size, size);
  return r;
}

inline bool contains(const std::vector<size_t>& v, size_t i) { return std::find(v.begin(), v.end(), i) != v.end(); }

// A graph's nodes evaluated one after another; symbols bound from the inputs' real shapes and elements.
class Runner {
 public:
  explicit Runner(const RunOptions& options) : options_(options) {}

  Result<Value*> add(size_t index, const TensorPtr& tensor) {
    if (!tensor) return static_cast<Value*>(nullptr);
    const bool runtime = contains(options_.runtime, index), symbolic = contains(options_.symbolic, index);
    const bool sizes = options_.symbolic_shapes && !contains(options_.constants, index);
    if (!runtime && !symbolic && !sizes) return graph.add_constant(tensor);
    Shape shape;
    for (size_t d = 0; d < tensor->dims().size(); ++d) {
      int64_t size = tensor->dims()[d];
      shape.push_back(sizes && !symbolic ? bind(fmt::format("d{}_{}", index, d), size, size == 0 ? 0 : 1, 8192)
                                         : Dim(size));
    }
    Value* v = graph.add_input(fmt::format("in{}", index), tensor->dtype(), shape);
    if (symbolic) {
      SymValue known;
      size_t i = 0;
      for (int64_t e : tensor->to_ints())
        known.emplace_back(bind(fmt::format("e{}_{}", index, i++), e, -kUnbounded, kUnbounded));
      v->known = std::make_shared<const SymValue>(std::move(known));
    }
    values[v] = tensor;
    return v;
  }

  Status run_all() {
    for (const auto& v : graph.values())
      if (v->constant) values[v.get()] = v->constant;
    for (const auto& node : graph.nodes()) FOVEA_TRY(run(*node).in(node->label()));
    return {};
  }

  Graph graph{"test"};
  std::map<const Value*, TensorPtr> values;

 private:
  Dim bind(std::string name, int64_t value, int64_t lo, int64_t hi) {
    bindings_[name] = value;
    return Dim(graph.declare_symbol({std::move(name), lo, hi, false}));
  }

  static Status resize(void* owner, size_t index, TensorRef& t, std::span<const int64_t> shape) {
    auto& outputs = *static_cast<std::vector<std::shared_ptr<Tensor>>*>(owner);
    FOVEA_TRY_SET(outputs[index], Tensor::allocate(t.dtype, Dims(shape.begin(), shape.end())));
    t = TensorRef::of(*outputs[index]);
    return {};
  }

  Status run(const Node& node) {
    ReferenceKernel kernel = find_reference(node.op->name);
    if (!kernel) return internal_error("no reference kernel");
    std::vector<std::vector<std::byte>> memory(node.inputs.size());
    std::vector<TensorRef> in, out;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      in.push_back(node.inputs[i] ? TensorRef::of(*values.at(node.inputs[i])) : TensorRef{});
      if (options_.strided && in.back().present()) in.back() = scatter_layout(in.back(), memory[i]);
    }
    std::vector<std::shared_ptr<Tensor>> results(node.outputs.size());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      out.emplace_back();
      if (!node.outputs[i]) continue;
      // What data decides is left empty: the kernel must ask for its size.
      Dims dims;
      for (const Dim& d : node.outputs[i]->shape) {
        auto v = value_of(d);
        dims.push_back(v.value_or(0));
      }
      FOVEA_TRY_SET(results[i], Tensor::allocate(node.outputs[i]->dtype, dims));
      out.back() = TensorRef::of(*results[i]);
    }
    Scratch scratch;
    KernelContext c;
    c.inputs = in, c.outputs = out, c.attributes = node.attrs.get(), c.threads = options_.threads, c.scratch = &scratch;
    c.resize = resize, c.resize_owner = &results;
    FOVEA_TRY(kernel(c));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (!node.outputs[i]) continue;
      for (const SizeDefinition& s : node.sizes)
        if (s.output == static_cast<int>(i)) bindings_[s.symbol->name] = results[i]->dims()[static_cast<size_t>(s.dim)];
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (!node.outputs[i]) continue;
      FOVEA_TRY(check(*node.outputs[i], *results[i], node));
      values[node.outputs[i]] = results[i];
    }
    return {};
  }

  std::optional<int64_t> value_of(const Expr& e) const {
    auto r = evaluate(e, [&](const Symbol& s) -> std::optional<int64_t> {
      auto it = bindings_.find(s.name);
      return it == bindings_.end() ? std::nullopt : std::optional(it->second);
    });
    return r.ok() ? std::optional(*r) : std::nullopt;
  }

  // Inference may know less than the run, never something else.
  Status check(const Value& v, const Tensor& t, const Node& node) const {
    if (t.dtype() != v.dtype)
      return internal_error("inferred {}, computed {}", to_string(v.dtype), to_string(t.dtype()));
    if (t.dims().size() != v.shape.size())
      return internal_error("inferred rank {}, computed {}", v.shape.size(), t.dims().size());
    for (size_t d = 0; d < v.shape.size(); ++d) {
      auto size = value_of(v.shape[d]);
      if (!size || *size != t.dims()[d])
        return internal_error("dimension {}: inferred {} = {}, computed {}", d, v.shape[d].str(), size.value_or(-1),
                              t.dims()[d]);
    }
    for (const SizeDefinition& s : node.sizes) {
      int64_t size = bindings_.at(s.symbol->name);
      if (size < s.symbol->lo || size > s.symbol->hi)
        return internal_error("size {} is outside [{}, {}]", size, s.symbol->lo, s.symbol->hi);
    }
    SymValuePtr actual = v.known ? known_of(t) : nullptr;
    for (size_t i = 0; actual && i < v.known->size(); ++i) {
      const auto& e = (*v.known)[i];
      if (!e) continue;
      const bool floats = is_float(e->dtype());
      auto computed = value_of(*e), want = value_of(*(*actual)[i]);
      const bool nan =
          floats && computed && std::isnan(std::bit_cast<double>(*computed)) && std::isnan((*actual)[i]->float_value());
      if (!nan && computed != want)
        return internal_error("element {}: inferred {} = {}, computed {}", i, e->str(), computed.value_or(-1),
                              want.value_or(-1));
    }
    return {};
  }

  RunOptions options_;
  std::map<std::string, int64_t> bindings_;
};

}  // namespace detail

// An ONNX node of the default domain ("domain:Name" of another one) through its import; null tensors are absent inputs.
inline Result<std::vector<TensorPtr>> run_onnx(std::string op_type, AttrMap attributes,
                                               const std::vector<TensorPtr>& inputs, const RunOptions& options = {}) {
  detail::Runner runner(options);
  OnnxNode onnx;
  if (size_t colon = op_type.find(':'); colon != std::string::npos)
    onnx.domain = op_type.substr(0, colon), op_type = op_type.substr(colon + 1);
  const OpDef* def = find_onnx_op(onnx.domain, op_type);
  if (!def) return internal_error("no operator reads ONNX's {}", op_type);
  onnx.op_type = op_type, onnx.name = "test", onnx.opset = options.opset, onnx.attributes = std::move(attributes);
  for (size_t i = 0; i < inputs.size(); ++i) {
    FOVEA_TRY_SET(Value * v, runner.add(i, inputs[i]));
    onnx.inputs.push_back(v);
  }
  for (int i = 0; i < options.outputs; ++i) onnx.outputs.push_back(fmt::format("out{}", i));
  ImportContext c(runner.graph, onnx, *def);
  FOVEA_TRY(def->import(c));
  FOVEA_TRY(c.deferred());
  FOVEA_TRY(runner.run_all());
  std::vector<TensorPtr> results;
  for (Value* v : c.results()) results.push_back(v ? runner.values.at(v) : nullptr);
  return results;
}

// A canonical operator.
inline Result<std::vector<TensorPtr>> run_op(std::string_view name, AttrsPtr attrs,
                                             const std::vector<TensorPtr>& inputs, const RunOptions& options = {}) {
  detail::Runner runner(options);
  const OpInfo* op = find_op(name);
  if (!op) return internal_error("no operator {}", name);
  std::vector<Value*> values;
  for (size_t i = 0; i < inputs.size(); ++i) {
    FOVEA_TRY_SET(Value * v, runner.add(i, inputs[i]));
    values.push_back(v);
  }
  Node* node = runner.graph.add_node(op, std::move(attrs), values, options.outputs);
  FOVEA_TRY(infer_node(runner.graph, *node));
  FOVEA_TRY(runner.run_all());
  std::vector<TensorPtr> results;
  for (Value* v : node->outputs) results.push_back(runner.values.at(v));
  return results;
}

// Shape and elements for a failing test's message.
inline std::string describe(const Tensor& t) {
  std::string s = fmt::format("{}[", to_string(t.dtype()));
  for (size_t i = 0; i < t.dims().size(); ++i) s += fmt::format("{}{}", i ? "," : "", t.dims()[i]);
  s += "] {";
  size_t shown = 0;
  for (double v : t.to_doubles()) {
    if (++shown > 64) break;
    s += fmt::format("{} ", v);
  }
  return s + "}";
}

// Random values of a type: small integers, all signs of floats.
inline TensorPtr random_tensor(std::mt19937& rng, DType type, Dims dims) {
  auto t = Tensor::allocate(type, std::move(dims));
  if (!t.ok()) return nullptr;
  if (!dispatch_dtype(type, [&](auto tag) {
        using T = typename decltype(tag)::type;
        auto* p = reinterpret_cast<T*>((*t)->mutable_data());
        for (int64_t i = 0; i < (*t)->count(); ++i) {
          if constexpr (std::is_same_v<T, bool>) p[i] = rng() % 2 != 0;
          else if constexpr (std::is_integral_v<T>)
            p[i] = static_cast<T>(static_cast<int>(rng() % 200) - (std::is_signed_v<T> ? 100 : 0));
          else p[i] = T(std::normal_distribution<float>()(rng));
        }
      }))
    for (size_t i = 0; i < (*t)->bytes().size(); ++i) (*t)->mutable_data()[i] = static_cast<std::byte>(rng());
  return *t;
}

}  // namespace fovea::core::test
