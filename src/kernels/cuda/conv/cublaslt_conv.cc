// A 1x1 convolution as a matrix product by cuBLASLt, in NHWC with channels padded to a multiple of 8:
//   Y[pixels, K] = act(X[pixels, C] W[K, C]^T + bias + residual)
// cuBLASLt counts by columns, where the same memory is Y[K, pixels] = W[C, K]^T X[C, pixels]. Several of its
// algorithms are timed where tactics allows it; which one it was is kept with the recipe.
#include <algorithm>
#include <limits>

#include "backends/cuda/cublaslt.h"
#include "kernels/cuda/conv/packing.h"
#include "kernels/cuda/conv/tuning.h"
#include "kernels/tail.h"
#include "ops/conv.h"

namespace fovea::core {
namespace {

using namespace cuda;

constexpr int kMostAlgorithms = 32;  // that the heuristics are asked for, and that are timed
constexpr int64_t kMostWorkspace = int64_t{32} << 20, kWorkspaceAlignment = 256;  // cublasLtMatmul() asks for that much
constexpr uint32_t kDataAlignment = 16;  // 8 channels of float16: a tensor may begin at any pixel of a larger one

// ---- which convolutions

bool is_relu(const Node& node) { return node.is("Relu"); }

bool is_product(const Node& anchor) {
  const auto& attrs = anchor.as<ConvAttrs>();
  const Shape& w = anchor.input(kWeights)->shape;
  return attrs.group == 1 && w.size() == 4 && w[2].is_const(1) && w[3].is_const(1) &&
         std::ranges::all_of(attrs.strides, [](int64_t s) { return s == 1; }) &&
         std::ranges::all_of(attrs.pads, [](int64_t p) { return p == 0; });
}

// Its epilogue adds and then activates, never the other way round.
std::vector<Group> match(const Graph& graph, const Node& anchor) {
  if (!is_product(anchor)) return {};
  std::vector<Group> groups =
      match_with_tail(graph, anchor, {.inputs = kConvInputs, .bias = -1, .residual = true, .activation = is_relu});
  std::erase_if(groups, [](const Group& g) {
    return std::any_of(g.nodes.begin(), g.nodes.end() - 1, [](const Node* n) { return is_relu(*n); });
  });
  return groups;
}

// ---- descriptors

using Matrix = std::shared_ptr<cublasLtMatrixLayoutOpaque_t>;
using ProductDesc = std::shared_ptr<cublasLtMatmulDescOpaque_t>;
using Preference = std::shared_ptr<cublasLtMatmulPreferenceOpaque_t>;

cudaDataType_t type_of(DType type) { return type == DType::kFloat16 ? CUDA_R_16F : CUDA_R_32F; }

// By columns, one behind the other.
Result<Matrix> make_matrix(const CublasLt& lt, DType type, int64_t rows, int64_t columns) {
  cublasLtMatrixLayout_t made = nullptr;
  FOVEA_TRY(lt.check(
      lt.create_matrix(&made, type_of(type), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows),
      "cublasLtMatrixLayoutCreate"));
  return Matrix(made, lt.destroy_matrix);
}

struct Epilogue {
  bool relu;
  const void* bias;  // null: none
  DType bias_type;
};

Result<ProductDesc> make_product(const CublasLt& lt, cublasComputeType_t compute, const Epilogue& e) {
  cublasLtMatmulDesc_t made = nullptr;
  FOVEA_TRY(lt.check(lt.create_product(&made, compute, CUDA_R_32F), "cublasLtMatmulDescCreate"));
  ProductDesc desc(made, lt.destroy_product);
  auto set = [&](cublasLtMatmulDescAttributes_t name, const auto& value) {
    return lt.check(lt.set_product(made, name, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  };
  FOVEA_TRY(set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T));
  const cublasLtEpilogue_t epilogue = e.relu ? (e.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU)
                                             : (e.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT);
  FOVEA_TRY(set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue));
  if (!e.bias) return desc;
  FOVEA_TRY(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, e.bias));
  FOVEA_TRY(set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(e.bias_type)));
  return desc;
}

// Sums in parts only where the parts meet in the workspace in a fixed order: the same result in every run.
Result<Preference> make_preference(const CublasLt& lt) {
  cublasLtMatmulPreference_t made = nullptr;
  FOVEA_TRY(lt.check(lt.create_preference(&made), "cublasLtMatmulPreferenceCreate"));
  Preference preference(made, lt.destroy_preference);
  auto set = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
    return lt.check(lt.set_preference(made, name, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  FOVEA_TRY(set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kMostWorkspace)));
  FOVEA_TRY(
      set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)));
  for (auto operand : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                       CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    FOVEA_TRY(set(operand, kDataAlignment));
  return preference;
}

// ---- the kernel

struct Algorithm {
  cublasLtMatmulAlgo_t algo;
  int64_t workspace = 0;
  std::string name;
};

class ProductKernel final : public PreparedKernel {
 public:
  std::shared_ptr<const CublasLt> lt;
  ProductDesc product;
  Matrix w, x, y;
  ConvConstants constants;
  int residual = -1;
  Algorithm algorithm;

  Status run(KernelContext& c) const override {
    void* const to = c.out().data;
    const void* add = residual >= 0 ? c.in(static_cast<size_t>(residual)).data : to;
    FOVEA_TRY(stream_of(c).device().make_current());  // the handle is that device's
    return start(algorithm, c.in(kX).data, add, to, c.workspace, handle_of(c));
  }
  int64_t workspace_bytes() const override {
    return algorithm.workspace ? algorithm.workspace + kWorkspaceAlignment - 1 : 0;
  }
  std::string detail() const override { return algorithm.name; }

  // The workspace has workspace_bytes(), begun anywhere.
  Status start(const Algorithm& a, const void* from, const void* add, void* to, std::byte* workspace,
               cudaStream_t stream) const {
    const float alpha = 1, beta = residual >= 0 ? 1.0f : 0.0f;
    const auto address = reinterpret_cast<uintptr_t>(workspace);
    std::byte* aligned = workspace + (-address & (kWorkspaceAlignment - 1));
    return lt->check(lt->matmul(lt->handle, product.get(), &alpha, constants.weights.get(), w.get(), from, x.get(),
                                &beta, add, y.get(), to, y.get(), &a.algo, a.workspace ? aligned : nullptr,
                                static_cast<size_t>(a.workspace), stream),
                     "cublasLtMatmul");
  }
};

// ---- algorithms

uint32_t configured(const CublasLt& lt, const cublasLtMatmulAlgo_t& algo, cublasLtMatmulAlgoConfigAttributes_t name) {
  const bool is_short = name == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID || name == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
  uint32_t wide = 0;
  uint16_t narrow = 0;
  size_t written = 0;
  void* to = is_short ? static_cast<void*>(&narrow) : &wide;
  const bool known =
      lt.configuration(&algo, name, to, is_short ? sizeof narrow : sizeof wide, &written) == CUBLAS_STATUS_SUCCESS;
  return !known ? 0 : is_short ? narrow : wide;
}

// An algorithm is named by its public attributes and found again by asking the heuristics, which always give the same
// list for the same library and device. Its 64 bytes themselves would save that question (well under a millisecond),
// but the name comes from an engine file, and the library does not promise to survive bytes that are not its own.
std::string name_of(const CublasLt& lt, const cublasLtMatmulAlgo_t& algo) {
  std::string name = fmt::format("algo{}", configured(lt, algo, CUBLASLT_ALGO_CONFIG_ID));
  constexpr std::pair<const char*, cublasLtMatmulAlgoConfigAttributes_t> kParts[] = {
      {"tile", CUBLASLT_ALGO_CONFIG_TILE_ID},          {"stages", CUBLASLT_ALGO_CONFIG_STAGES_ID},
      {"split", CUBLASLT_ALGO_CONFIG_SPLITK_NUM},      {"reduction", CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME},
      {"swizzle", CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING}, {"custom", CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION},
      {"inner", CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID},  {"cluster", CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID}};
  for (const auto& [part, attribute] : kParts) name += fmt::format("_{}{}", part, configured(lt, algo, attribute));
  return name;
}

// Best first, as the library sees it.
Result<std::vector<Algorithm>> algorithms_of(const ProductKernel& k) {
  const CublasLt& lt = *k.lt;
  FOVEA_TRY_SET(const Preference preference, make_preference(lt));
  std::vector<cublasLtMatmulHeuristicResult_t> found(kMostAlgorithms);
  int count = 0;
  FOVEA_TRY(lt.check(lt.heuristic(lt.handle, k.product.get(), k.w.get(), k.x.get(), k.y.get(), k.y.get(),
                                  preference.get(), kMostAlgorithms, found.data(), &count),
                     "cublasLtMatmulAlgoGetHeuristic"));
  std::vector<Algorithm> out;
  for (int i = 0; i < count; ++i) {
    const auto& f = found[static_cast<size_t>(i)];
    const uint32_t reduction = configured(lt, f.algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
    const bool fixed_order = (reduction & ~static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)) == 0;
    if (f.state != CUBLAS_STATUS_SUCCESS || f.workspaceSize > static_cast<size_t>(kMostWorkspace) || !fixed_order)
      continue;
    std::string name = name_of(lt, f.algo);
    const auto same = [&](const Algorithm& a) { return a.name == name || a.name.starts_with(name + "_again"); };
    if (const auto before = std::ranges::count_if(out, same); before > 0) name += fmt::format("_again{}", before);
    out.push_back({f.algo, static_cast<int64_t>(f.workspaceSize), std::move(name)});
  }
  if (out.empty()) return unsupported("cuBLASLt has no algorithm for this product");
  return out;
}

struct Extents {
  int64_t pixels, in, out;
};

Result<size_t> fastest(const PrepareContext& c, const Extents& e, const ProductKernel& k,
                       std::span<const Algorithm> all) {
  FOVEA_TRY_SET(const CudaDevice::Workbench bench, device_of(c).workbench());
  Stream& stream = bench.stream;
  const DType type = c.inputs[kX].dtype;
  FOVEA_TRY_SET(const DeviceMemory from, random_memory(stream, type, e.pixels * e.in));
  FOVEA_TRY_SET(const DeviceMemory to, random_memory(stream, type, e.pixels * e.out));
  FOVEA_TRY_SET(const DeviceMemory workspace,
                stream.device().allocate(kMostWorkspace + kWorkspaceAlignment, DeviceMemory::Kind::kDevice));
  double best = std::numeric_limits<double>::infinity();
  size_t chosen = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    // A residual in place adds up run by run: every algorithm starts from the same numbers.
    if (k.residual >= 0) FOVEA_TRY(fill_random(stream, type, to));
    auto ms = time_runs(stream, best, [&] {
      return k.start(all[i], from.data(), to.data(), to.data(), workspace.data(), stream.handle());
    });
    if (ms.ok() && *ms < 0.97 * best) best = *ms, chosen = i;
  }
  return chosen;
}

Status choose_algorithm(const PrepareContext& c, const Extents& e, ProductKernel& kernel) {
  FOVEA_TRY_SET(std::vector<Algorithm> all, algorithms_of(kernel));
  auto it = std::ranges::find_if(all, [&](const Algorithm& a) { return a.name == c.variant; });
  if (it == all.end()) it = all.begin();
  if (it->name != c.variant && c.tune) {
    FOVEA_TRY_SET(const size_t i, fastest(c, e, kernel, all));
    it = all.begin() + static_cast<std::ptrdiff_t>(i);
  }
  kernel.algorithm = std::move(*it);
  return {};
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  const std::vector<int64_t>&x = c.inputs[kX].shape, &y = c.outputs[0].shape;
  if (element_count(x).value_or(0) == 0 || element_count(y).value_or(0) == 0) return unsupported("nothing to compute");
  const Extents e{x[0] * x[2] * x[3], padded(x[1]), padded(y[1])};
  const DType type = c.inputs[kX].dtype;
  auto kernel = std::make_unique<ProductKernel>();
  FOVEA_TRY_SET(kernel->lt, device_of(c).cublaslt());
  const CublasLt& lt = *kernel->lt;
  FOVEA_TRY(device_of(c).make_current());
  kernel->residual = c.group.residual;
  // Its table of types has a float16 bias for float16 data.
  FOVEA_TRY_SET(kernel->constants, pack_conv(c, type));
  const bool tf32 = type == DType::kFloat32 && c.group.outputs[0]->storage.tf32;
  FOVEA_TRY_SET(kernel->product, make_product(lt, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                              {is_relu(*c.group.nodes.back()), kernel->constants.bias.get(), type}));
  FOVEA_TRY_SET(kernel->w, make_matrix(lt, type, e.in, e.out));
  FOVEA_TRY_SET(kernel->x, make_matrix(lt, type, e.in, e.pixels));
  FOVEA_TRY_SET(kernel->y, make_matrix(lt, type, e.out, e.pixels));
  FOVEA_TRY(choose_algorithm(c, e, *kernel));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_cublaslt_conv = {.name = "cublaslt_conv",
                                        .op = "Conv",
                                        .place = Place::kDevice,
                                        .match = match,
                                        .refuse = conv_refusal,
                                        .formats = conv_formats,
                                        .prepare = prepare};

}  // namespace fovea::core
