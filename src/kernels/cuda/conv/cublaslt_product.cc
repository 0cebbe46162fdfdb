#include "kernels/cuda/conv/cublaslt_product.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::core::cuda {
namespace {

constexpr int kMostAlgorithms = 32;           // that the heuristics are asked for
constexpr int64_t kWorkspaceAlignment = 256;  // cublasLtMatmul() asks for that much
constexpr uint32_t kDataAlignment = 16;       // 8 channels of float16: a tensor may begin at any pixel of a larger one

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
  FOVEA_TRY(set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(Product::kMostWorkspace)));
  FOVEA_TRY(
      set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)));
  for (auto operand : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                       CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    FOVEA_TRY(set(operand, kDataAlignment));
  return preference;
}

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

}  // namespace

Result<Product> Product::make(std::shared_ptr<const CublasLt> lt, const ProductShape& s, const void* weights,
                              const void* bias) {
  Product p;
  p.weights_ = weights, p.residual_ = s.residual;
  FOVEA_TRY_SET(p.product_,
                make_product(*lt, s.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, {s.relu, bias, s.type}));
  FOVEA_TRY_SET(p.w_, make_matrix(*lt, s.type, s.k, s.m));
  FOVEA_TRY_SET(p.x_, make_matrix(*lt, s.type, s.k, s.n));
  FOVEA_TRY_SET(p.y_, make_matrix(*lt, s.type, s.m, s.n));
  p.lt_ = std::move(lt);
  return p;
}

Result<std::vector<ProductAlgorithm>> Product::algorithms() const {
  const CublasLt& lt = *lt_;
  FOVEA_TRY_SET(const Preference preference, make_preference(lt));
  std::vector<cublasLtMatmulHeuristicResult_t> found(kMostAlgorithms);
  int count = 0;
  FOVEA_TRY(lt.check(lt.heuristic(lt.handle, product_.get(), w_.get(), x_.get(), y_.get(), y_.get(), preference.get(),
                                  kMostAlgorithms, found.data(), &count),
                     "cublasLtMatmulAlgoGetHeuristic"));
  std::vector<ProductAlgorithm> out;
  for (int i = 0; i < count; ++i) {
    const auto& f = found[static_cast<size_t>(i)];
    const uint32_t reduction = configured(lt, f.algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
    const bool fixed_order = (reduction & ~static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)) == 0;
    if (f.state != CUBLAS_STATUS_SUCCESS || f.workspaceSize > static_cast<size_t>(kMostWorkspace) || !fixed_order)
      continue;
    std::string name = name_of(lt, f.algo);
    const auto same = [&](const ProductAlgorithm& a) { return a.name == name || a.name.starts_with(name + "_again"); };
    if (const auto before = std::ranges::count_if(out, same); before > 0) name += fmt::format("_again{}", before);
    out.push_back({f.algo, static_cast<int64_t>(f.workspaceSize), std::move(name)});
  }
  if (out.empty()) return unsupported("cuBLASLt has no algorithm for this product");
  return out;
}

int64_t Product::workspace_bytes(const ProductAlgorithm& algorithm) {
  return algorithm.workspace ? algorithm.workspace + kWorkspaceAlignment - 1 : 0;
}

Status Product::start(const ProductAlgorithm& a, const void* from, const void* add, void* to, std::byte* workspace,
                      cudaStream_t stream) const {
  const float alpha = 1, beta = residual_ ? 1.0f : 0.0f;
  const auto address = reinterpret_cast<uintptr_t>(workspace);
  std::byte* aligned = workspace + (-address & (kWorkspaceAlignment - 1));
  return lt_->check(
      lt_->matmul(lt_->handle, product_.get(), &alpha, weights_, w_.get(), from, x_.get(), &beta, add, y_.get(), to,
                  y_.get(), &a.algo, a.workspace ? aligned : nullptr, static_cast<size_t>(a.workspace), stream),
      "cublasLtMatmul");
}

}  // namespace fovea::core::cuda
