// Matrix products by oneDNN, with bias, residual and activation inside. Where the right-hand matrix is constant it is
// packed once (inner product); otherwise both come as they lie (matmul), over broadcast batches.
#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/cpu/post_ops.h"
#include "kernels/cpu/table.h"
#include "ops/gemm.h"

namespace fovea::core {
namespace {

using dnnl::memory;

enum Input : size_t { kA, kB, kBias, kInputs };

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  return onednn::match_with_tail(graph, anchor, {.inputs = kInputs, .bias = kBias, .residual = true});
}

// Gemm's C as a row of constants, which is what a bias is.
bool is_row(const Value& bias, const Dim& columns) {
  return bias.constant && !bias.shape.empty() && columns.is_const(bias.constant->count()) &&
         bias.shape.back() == columns;
}

std::string refuse_common(const Group& group) {
  if (!onednn::unavailable().empty()) return std::string(onednn::unavailable());
  const Value *a = group.inputs[kA], *b = group.inputs[kB], *bias = group.inputs[kBias];
  if (a->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(a->dtype));
  if (a->shape.size() < 2 || b->shape.size() < 2) return "a vector, not a matrix";
  if (bias && !is_row(*bias, group.outputs[0]->shape.back())) return "what is added is not a constant row";
  return "";
}

std::string refuse_gemm(const Group& group) {
  const auto& attrs = group.nodes[0]->as<GemmAttrs>();
  if (attrs.transA) return "transposed left-hand matrix";
  if (attrs.alpha != 1 || (group.nodes[0]->input(2) && attrs.beta != 1)) return "factors other than 1";
  if (!group.inputs[kB]->constant) return "weights are not constant";
  return refuse_common(group);
}

std::string refuse_weights(const Group& group) {
  if (!group.inputs[kB]->constant || group.inputs[kB]->shape.size() != 2) return "weights are not a constant matrix";
  return refuse_common(group);
}

std::string refuse_batched(const Group& group) {
  if (group.inputs[kB]->constant && group.inputs[kB]->shape.size() == 2) return "weights are better packed";
  return refuse_common(group);
}

template <typename PrimitiveDesc>
void finish(const PrepareContext& c, const PrimitiveDesc& pd, onednn::PrimitiveKernel::Parts& p) {
  p.threads = c.threads, p.scratchpad = pd.scratchpad_desc(), p.detail = pd.impl_info_str();
  p.arguments.push_back({.index = DNNL_ARG_SRC, .input = kA, .desc = pd.src_desc()});
  p.arguments.push_back({.index = DNNL_ARG_DST, .output = 0, .desc = pd.dst_desc()});
  p.residual = c.group.residual;
  p.residual_bytes = static_cast<int64_t>(pd.dst_desc().get_size());
}

dnnl::primitive_attr attributes_of(const Group& group) {
  dnnl::primitive_attr a = onednn::attributes();
  a.set_post_ops(onednn::post_ops_of(group));
  return a;
}

Result<std::unique_ptr<PreparedKernel>> build_packed(const PrepareContext& c, bool transposed) {
  ThreadCountScope threads(c.threads);
  const auto &a = c.inputs[kA].shape, &b = c.inputs[kB].shape;
  const int64_t depth = a.back(), columns = c.outputs[0].shape.back();
  const int64_t count = element_count(a).value_or(0);
  if (count == 0 || columns == 0) return unsupported("nothing to compute");
  const int64_t rows = count / depth;
  using tag = memory::format_tag;
  const auto f32 = memory::data_type::f32;
  if (b[transposed ? 1 : 0] != depth)
    return internal_error("a product of depth {} with weights [{}]", depth, fmt::join(b, ","));
  const memory::desc plain({columns, depth}, f32, transposed ? tag::ab : tag::ba);
  const bool biased = c.inputs[kBias].dtype != DType::kUndefined;
  const memory::desc bias = biased ? memory::desc({columns}, f32, tag::a) : memory::desc();
  dnnl::inner_product_forward::desc d(dnnl::prop_kind::forward_inference, memory::desc({rows, depth}, f32, tag::ab),
                                      memory::desc({columns, depth}, f32, tag::any), bias,
                                      memory::desc({rows, columns}, f32, tag::ab));
  dnnl::inner_product_forward::primitive_desc pd(d, attributes_of(c.group), onednn::engine());
  FOVEA_TRY(onednn::select_implementation(pd, ""));
  onednn::PrimitiveKernel::Parts p;
  p.primitive = dnnl::inner_product_forward(pd);
  finish(c, pd, p);
  FOVEA_TRY_SET(auto weights, onednn::pack(*c.weights, c.inputs[kB].constant, plain, pd.weights_desc()));
  p.arguments.push_back({.index = DNNL_ARG_WEIGHTS, .constant = std::move(weights)});
  if (biased) {
    FOVEA_TRY_SET(auto packed, onednn::pack(*c.weights, c.inputs[kBias].constant, bias, bias));
    p.arguments.push_back({.index = DNNL_ARG_BIAS, .constant = std::move(packed)});
  }
  return std::unique_ptr<PreparedKernel>(std::make_unique<onednn::PrimitiveKernel>(std::move(p)));
}

Result<std::unique_ptr<PreparedKernel>> build_batched(const PrepareContext& c) {
  ThreadCountScope threads(c.threads);
  const auto& y = c.outputs[0].shape;
  const size_t rank = y.size();
  auto aligned = [&](std::vector<int64_t> shape) {
    while (shape.size() < rank) shape.insert(shape.begin(), 1);
    return onednn::desc_of(shape, Layout::kPlain);
  };
  if (rank > 6) return unsupported("rank {}", rank);
  if (element_count(y).value_or(0) == 0 || c.inputs[kA].shape.back() == 0) return unsupported("nothing to compute");
  const bool biased = c.inputs[kBias].dtype != DType::kUndefined;
  const memory::desc a = aligned(c.inputs[kA].shape), b = aligned(c.inputs[kB].shape), target = aligned(y);
  const memory::desc bias = biased ? aligned({y.back()}) : memory::desc();
  dnnl::matmul::desc d = biased ? dnnl::matmul::desc(a, b, bias, target) : dnnl::matmul::desc(a, b, target);
  dnnl::matmul::primitive_desc pd(d, attributes_of(c.group), onednn::engine());
  FOVEA_TRY(onednn::select_implementation(pd, ""));
  onednn::PrimitiveKernel::Parts p;
  p.primitive = dnnl::matmul(pd);
  finish(c, pd, p);
  p.arguments.push_back({.index = DNNL_ARG_WEIGHTS, .input = kB, .desc = pd.weights_desc()});
  if (biased) {
    FOVEA_TRY_SET(auto packed, onednn::pack(*c.weights, c.inputs[kBias].constant, bias, bias));
    p.arguments.push_back({.index = DNNL_ARG_BIAS, .constant = std::move(packed)});
  }
  return std::unique_ptr<PreparedKernel>(std::make_unique<onednn::PrimitiveKernel>(std::move(p)));
}

Result<std::unique_ptr<PreparedKernel>> prepare_gemm(const PrepareContext& c) {
  return onednn::guarded([&] { return build_packed(c, c.group.nodes[0]->as<GemmAttrs>().transB); });
}
Result<std::unique_ptr<PreparedKernel>> prepare_weights(const PrepareContext& c) {
  return onednn::guarded([&] { return build_packed(c, false); });
}
Result<std::unique_ptr<PreparedKernel>> prepare_batched(const PrepareContext& c) {
  return onednn::guarded([&] { return build_batched(c); });
}

}  // namespace

const KernelRow kernel_onednn_gemm = {.name = "onednn_gemm",
                                      .op = "Gemm",
                                      .features = kCpuAvx2,
                                      .match = match,
                                      .refuse = refuse_gemm,
                                      .prepare = prepare_gemm,
                                      .preference = 2};

const KernelRow kernel_onednn_matmul_packed = {.name = "onednn_matmul_packed",
                                               .op = "MatMul",
                                               .features = kCpuAvx2,
                                               .match = match,
                                               .refuse = refuse_weights,
                                               .prepare = prepare_weights,
                                               .preference = 2};

const KernelRow kernel_onednn_matmul = {.name = "onednn_matmul",
                                        .op = "MatMul",
                                        .features = kCpuAvx2,
                                        .match = match,
                                        .refuse = refuse_batched,
                                        .prepare = prepare_batched,
                                        .preference = 2};

}  // namespace fovea::core
