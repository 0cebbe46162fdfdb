// The reference's and the CPU's kernel against each framework's algorithm.
#include "kernels/cpu/table.h"
#include "kernels/reference/detect/nms_case.h"
#include "kernels/reference/detect/nms_frontends.h"
#include "kernels/reference/testing.h"

namespace fovea::core::test {
namespace {

Result<std::vector<TensorPtr>> run_reference(const AttrsPtr& attributes, const std::vector<TensorPtr>& inputs,
                                             int outputs, bool strided) {
  RunOptions options;
  options.outputs = outputs, options.strided = strided;
  return run_op("Nms", attributes, inputs, options);
}

Result<std::vector<TensorPtr>> run_vector(const AttrsPtr& attributes, const std::vector<TensorPtr>& inputs, int outputs,
                                          bool) {
  NmsCase c;
  FOVEA_TRY(c.make(attributes, inputs, static_cast<size_t>(outputs)));
  if (std::string why = kernel_nms_vector.refuse(single_node_group(*c.node)); !why.empty())
    return internal_error("refused: {}", why);
  FOVEA_TRY_SET(const auto kernel, kernel_nms_vector.prepare(PrepareContext{Group{}, {}, {}}));
  std::vector<std::shared_ptr<Tensor>> memory;
  std::vector<TensorRef> out;
  FOVEA_TRY(c.run([&](KernelContext& context) { return kernel->run(context); }, memory, out));
  std::vector<TensorPtr> tensors;
  for (const TensorRef& ref : out) {
    FOVEA_TRY_SET(TensorPtr t, cut_to(ref, ref.data));
    tensors.push_back(std::move(t));
  }
  return tensors;
}

INSTANTIATE_TEST_SUITE_P(Host, NmsFrontends,
                         testing::Values(NmsWay{"reference", run_reference}, NmsWay{"nms_vector", run_vector}),
                         name_of);

}  // namespace
}  // namespace fovea::core::test
