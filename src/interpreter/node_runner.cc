#include "interpreter/node_runner.h"

#include <new>

#include "ir/infer.h"
#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

// Outputs of one run: those whose sizes inference settles are there before the kernel runs, the others when it asks.
class Outputs {
 public:
  Outputs(const Node& node, int64_t room)
      : node_(node), room_(room), tensors_(node.outputs.size()), bytes_(node.outputs.size()) {}

  Status prepare(const Node& inferred) {
    for (size_t i = 0; i < node_.outputs.size(); ++i) {
      refs.emplace_back();
      inferred_.push_back(inferred.outputs[i]);
      if (!node_.outputs[i]) continue;
      const Value& v = *inferred.outputs[i];
      if (v.kind != TypeKind::kTensor) return unsupported("output {} is a sequence or optional", i);
      if (dtype_bits(v.dtype) == 0) return unsupported("output {} is of type {}", i, to_string(v.dtype));
      refs[i].dtype = v.dtype;
      if (auto shape = constant_shape(v.shape)) FOVEA_TRY(allocate(i, *shape));
      else wait_for_kernel(refs[i], v.shape);
    }
    return {};
  }

  static Status resize(void* owner, size_t index, TensorRef& output, std::span<const int64_t> shape) {
    auto& self = *static_cast<Outputs*>(owner);
    FOVEA_TRY(self.check_shape(index, shape));
    FOVEA_TRY(self.allocate(index, Dims(shape.begin(), shape.end())));
    output = self.refs[index];
    return {};
  }

  Result<std::vector<TensorPtr>> take() {
    for (size_t i = 0; i < tensors_.size(); ++i)
      if (node_.outputs[i] && !tensors_[i]) return internal_error("the kernel gave output {} no size", i);
    return std::vector<TensorPtr>(tensors_.begin(), tensors_.end());
  }

  std::vector<TensorRef> refs;

 private:
  // The bound may be far more than what comes out, so memory waits for set_output_shape().
  static void wait_for_kernel(TensorRef& ref, const Shape& shape) {
    std::array<int64_t, kMaxRank> bound{};
    for (size_t d = 0; d < shape.size(); ++d) bound[d] = shape[d].hi();
    ref.set_shape({bound.data(), shape.size()});
  }

  // What the kernel asks for must be what inference promised.
  Status check_shape(size_t i, std::span<const int64_t> shape) const {
    const Shape& want = inferred_[i]->shape;
    bool ok = want.size() == shape.size();
    for (size_t d = 0; ok && d < shape.size(); ++d) ok = shape[d] >= want[d].lo() && shape[d] <= want[d].hi();
    return ok ? Status()
              : internal_error("output {}: inference says {}, the kernel [{}]", i, to_string(want),
                               fmt::join(shape, ","));
  }

  Status allocate(size_t i, const Dims& dims) {
    auto count = element_count(dims);
    auto size = count ? dtype_bytes(refs[i].dtype, *count) : std::nullopt;
    room_ += bytes_[i];  // a kernel may ask again
    if (!size || *size > room_)
      return unsupported("output {} of {} [{}] needs more memory than the {} bytes allowed", i,
                         to_string(refs[i].dtype), fmt::join(dims, ","), room_);
    FOVEA_TRY_SET(tensors_[i], Tensor::allocate(refs[i].dtype, dims));
    room_ -= bytes_[i] = *size;
    refs[i] = TensorRef::dense_of(refs[i].dtype, dims, tensors_[i]->mutable_data());
    return {};
  }

  const Node& node_;
  int64_t room_;
  std::vector<std::shared_ptr<Tensor>> tensors_;
  std::vector<int64_t> bytes_;
  std::vector<const Value*> inferred_;
};

// The node alone in a graph, its inputs constants: inference then knows all that can be known before the run.
Result<Node*> make_concrete(const Node& node, std::span<const TensorPtr> inputs, Graph& graph) {
  std::vector<Value*> values;
  for (size_t i = 0; i < inputs.size(); ++i)
    values.push_back(inputs[i] ? graph.add_constant(inputs[i], node.input(i) ? node.inputs[i]->name : "") : nullptr);
  Node* copy = graph.add_node(node.op, node.attrs, std::move(values), 0);
  copy->origin = node.origin;
  for (const Value* out : node.outputs) {
    if (out) graph.add_output(copy, out->name);
    else copy->outputs.push_back(nullptr);
  }
  FOVEA_TRY(infer_node(graph, *copy));
  return copy;
}

}  // namespace

Status at_node(const Status& status, const Node& node) {
  const std::string label = node.label();
  return status.ok() || status.message().find(label) != std::string::npos ? status : status.in(label);
}

Result<std::vector<TensorPtr>> NodeRunner::run(const Node& node, std::span<const TensorPtr> inputs, int64_t used) {
  ReferenceKernel kernel = find_reference(node.op->name);
  if (!kernel) return internal_error("{}: no reference kernel", node.label());
  Graph graph("node");
  FOVEA_TRY_SET(Node * concrete, make_concrete(node, inputs, graph));
  Outputs outputs(node, options_.max_bytes - used);
  FOVEA_TRY(at_node(outputs.prepare(*concrete), node));
  std::vector<TensorRef> in;
  for (const TensorPtr& t : inputs) in.push_back(t ? TensorRef::of(*t) : TensorRef{});

  KernelContext context;
  context.inputs = in, context.outputs = outputs.refs, context.attributes = node.attrs.get();
  context.threads = options_.threads, context.scratch = &scratch_;
  context.resize = Outputs::resize, context.resize_owner = &outputs;
  try {
    scratch_.reset();
    FOVEA_TRY(at_node(kernel(context), node));
  } catch (const std::bad_alloc&) {
    return system_error("{}: out of memory", node.label());
  }
  auto result = outputs.take();
  if (!result.ok()) return at_node(result.status(), node);
  return result;
}

}  // namespace fovea::core
