// For tests of Nms's kernels: a graph of one Nms, its inputs, and what the reference says; and a kernel's results as
// tensors of their true sizes.
#pragma once

#include "ir/infer.h"
#include "kernels/kernel.h"
#include "kernels/reference/reference.h"
#include "ops/nms.h"
#include "ops/op.h"

namespace fovea::core::test {

struct NmsCase {
  Graph graph{"case"};
  Node* node = nullptr;
  std::vector<TensorPtr> inputs;                // null: absent
  std::vector<std::shared_ptr<Tensor>> memory;  // of the outputs at their largest
  std::vector<TensorRef> expected;

  // Inputs behind the third are constants.
  Status make(const AttrsPtr& attributes, std::vector<TensorPtr> tensors, size_t outputs) {
    inputs = std::move(tensors);
    inputs.resize(6);
    std::vector<Value*> values;
    for (size_t i = 0; i < inputs.size(); ++i)
      values.push_back(!inputs[i] ? nullptr
                       : i > 2    ? graph.add_constant(inputs[i])
                                  : graph.add_input(fmt::format("x{}", i), inputs[i]->dtype(),
                                                    Shape(inputs[i]->dims().begin(), inputs[i]->dims().end())));
    node = graph.add_node(find_op("Nms"), attributes, values, outputs);
    FOVEA_TRY(infer_node(graph, *node));
    return run([](KernelContext& c) { return reference_Nms(c); }, memory, expected);
  }

  Dims largest(const Value& v) const {
    Dims dims;
    for (const Dim& d : v.shape) dims.push_back(d.is_const() ? d.int_value() : node->sizes[0].bound.int_value());
    return dims;
  }

  // A kernel of the host.
  template <typename F>
  Status run(const F& kernel, std::vector<std::shared_ptr<Tensor>>& out_memory, std::vector<TensorRef>& out) const {
    std::vector<TensorRef> in;
    for (const TensorPtr& t : inputs) in.push_back(t ? TensorRef::of(*t) : TensorRef{});
    for (const Value* v : node->outputs) {
      FOVEA_TRY_SET(auto t, Tensor::allocate(v->dtype, largest(*v)));
      out.push_back(TensorRef::of(*t));
      out_memory.push_back(std::move(t));
    }
    Scratch scratch;
    KernelContext c;
    c.inputs = in, c.outputs = out, c.attributes = node->attrs.get(), c.scratch = &scratch;
    return kernel(c);
  }
};

// As many of `memory`'s bytes as `shape` has.
inline Result<TensorPtr> cut_to(const TensorRef& shape, const void* memory) {
  FOVEA_TRY_SET(auto t, Tensor::allocate(shape.dtype, Dims(shape.shape().begin(), shape.shape().end())));
  if (!t->bytes().empty()) std::memcpy(t->mutable_data(), memory, t->bytes().size());
  return TensorPtr(t);
}

}  // namespace fovea::core::test
