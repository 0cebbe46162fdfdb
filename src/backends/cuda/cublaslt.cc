#include "backends/cuda/cublaslt.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace fovea::core::cuda {
namespace {

constexpr const char* kLibrary = "libcublasLt.so.13";
constexpr int kOldest = 130000;  // 13.0: the first of that name

}  // namespace

Result<int> cublaslt_version() {
  FOVEA_TRY_SET(void* const library, open_library(kLibrary));
  auto* version = reinterpret_cast<decltype(&cublasLtGetVersion)>(::dlsym(library, "cublasLtGetVersion"));
  if (!version) return unsupported("{} has no cublasLtGetVersion: it is no cuBLASLt", kLibrary);
  const auto v = static_cast<int>(version());
  if (v < kOldest)
    return unsupported("cuBLASLt: expected {} or newer, found {}", version_text(kOldest), version_text(v));
  return v;
}

Status CublasLt::check(cublasStatus_t status, std::string_view what) const {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  const std::string text = fmt::format("{}: {}", what, status_text(status));
  // What it does not do is a limit, and another kernel does it; memory and the device are none.
  const bool limit = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
                     status == CUBLAS_STATUS_ARCH_MISMATCH;
  return limit ? unsupported("{}", text) : system_error("{}", text);
}

Result<std::shared_ptr<const CublasLt>> open_cublaslt() {
  FOVEA_TRY(cublaslt_version().status());
  FOVEA_TRY_SET(void* const library, open_library(kLibrary));
  auto lt = std::make_shared<CublasLt>();
  std::string missing;
  auto get = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
    if (!function) missing = name;
  };
  get(lt->create, "cublasLtCreate"), get(lt->status_text, "cublasLtGetStatusString");
  get(lt->matmul, "cublasLtMatmul"), get(lt->create_product, "cublasLtMatmulDescCreate");
  get(lt->destroy_product, "cublasLtMatmulDescDestroy"), get(lt->set_product, "cublasLtMatmulDescSetAttribute");
  get(lt->create_matrix, "cublasLtMatrixLayoutCreate"), get(lt->destroy_matrix, "cublasLtMatrixLayoutDestroy");
  get(lt->create_preference, "cublasLtMatmulPreferenceCreate");
  get(lt->destroy_preference, "cublasLtMatmulPreferenceDestroy");
  get(lt->set_preference, "cublasLtMatmulPreferenceSetAttribute");
  get(lt->heuristic, "cublasLtMatmulAlgoGetHeuristic");
  get(lt->configuration, "cublasLtMatmulAlgoConfigGetAttribute");
  if (!missing.empty()) return unsupported("{} lacks {}", kLibrary, missing);
  FOVEA_TRY(lt->check(lt->create(&lt->handle), "cublasLtCreate"));
  return std::shared_ptr<const CublasLt>(std::move(lt));
}

}  // namespace fovea::core::cuda
