// NVIDIA's libraries, opened at run time: the program starts without them, and says which one is missing.
#include <cudnn.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "backends/cuda/cuda.h"
#include "backends/cuda/cudnn.h"

// Where cuDNN's C++ front end looks its functions up; it leaves the definition to us.
namespace cudnn_frontend {
extern void* cudnn_dlhandle;
void* cudnn_dlhandle = nullptr;
}  // namespace cudnn_frontend

namespace fovea::core::cuda {
namespace {

namespace fs = std::filesystem;

constexpr int kOldestCudnn = 90800;  // 9.8: the front end's oldest for what we use

// Folders of FOVEA_CUDA_LIBRARIES that hold `file`, and those up to three levels below them.
std::vector<std::string> places_of(const std::string& file) {
  std::vector<std::string> found;
  const char* folders = std::getenv("FOVEA_CUDA_LIBRARIES");
  const std::string list = folders ? folders : "";
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(':', at), list.size());
    const std::string folder = list.substr(at, end - at);
    at = end + 1;
    std::error_code error;
    if (folder.empty() || !fs::is_directory(folder, error)) continue;
    if (fs::exists(folder + "/" + file, error)) found.push_back(folder + "/" + file);
    fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), last;
    for (; !error && it != last; it.increment(error)) {
      if (it.depth() >= 3) it.disable_recursion_pending();
      if (it->path().filename() == file && it.depth() > 0) found.push_back(it->path().string());
    }
  }
  return found;
}

Result<void*> find_library(const std::string& name) {
  std::string why;
  for (const std::string& path : places_of(name)) {
    if (void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) return library;
    why = ::dlerror();
  }
  if (void* library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL)) return library;
  if (why.empty()) why = ::dlerror();
  return unsupported(
      "{} cannot be opened ({}): install NVIDIA's package of it, or name its folder in FOVEA_CUDA_LIBRARIES", name,
      why);
}

}  // namespace

// To look through folders takes longer than what is asked of a library: what was found stays.
Result<void*> open_library(const std::string& name) {
  static std::mutex mutex;
  static auto& opened =
      *new std::map<std::string, void*>;  // never destroyed: handles are given back as late as at exit
  std::lock_guard lock(mutex);
  void*& library = opened[name];
  if (!library) {
    FOVEA_TRY_SET(library, find_library(name));
  }
  return library;
}

Result<int> cudnn_version() {
  // What cuDNN opens by name later is found because it is open already.
  for (const char* name : {"libcudart.so.13", "libnvrtc.so.13", "libcublasLt.so.13", "libcublas.so.13"})
    if (auto library = open_library(name);
        !library.ok() && std::string_view(name) != "libcublas.so.13" && std::string_view(name) != "libcublasLt.so.13")
      return library.status();
  FOVEA_TRY_SET(void* const library, open_library("libcudnn.so.9"));
  auto* version = reinterpret_cast<size_t (*)()>(::dlsym(library, "cudnnGetVersion"));
  if (!version) return unsupported("libcudnn.so.9 has no cudnnGetVersion: it is no cuDNN");
  cudnn_frontend::cudnn_dlhandle = library;
  const auto v = static_cast<int>(version());
  if (v < kOldestCudnn)
    return unsupported(
        "cuDNN: expected {} or newer, found {}: install a newer package of it, or name its folder in "
        "FOVEA_CUDA_LIBRARIES",
        version_text(kOldestCudnn), version_text(v));
  return v;
}

std::string version_text(int v) { return fmt::format("{}.{}.{}", v / 10000, v % 10000 / 100, v % 100); }

Result<cudnnContext*> create_cudnn(cudaStream_t stream) {
  FOVEA_TRY_SET(void* const library, open_library("libcudnn.so.9"));
  auto* create = reinterpret_cast<decltype(&cudnnCreate)>(::dlsym(library, "cudnnCreate"));
  auto* set_stream = reinterpret_cast<decltype(&cudnnSetStream)>(::dlsym(library, "cudnnSetStream"));
  if (!create || !set_stream) return unsupported("libcudnn.so.9 lacks cudnnCreate or cudnnSetStream");
  cudnnHandle_t handle = nullptr;
  if (cudnnStatus_t s = create(&handle); s != CUDNN_STATUS_SUCCESS)
    return system_error("cudnnCreate failed with status {}", static_cast<int>(s));
  if (cudnnStatus_t s = set_stream(handle, stream); s != CUDNN_STATUS_SUCCESS) {
    destroy_cudnn(handle);
    return system_error("cudnnSetStream failed with status {}", static_cast<int>(s));
  }
  return handle;
}

void destroy_cudnn(cudnnContext* handle) {
  auto library = open_library("libcudnn.so.9");
  if (!library.ok()) return;
  if (auto* destroy = reinterpret_cast<decltype(&cudnnDestroy)>(::dlsym(*library, "cudnnDestroy"))) destroy(handle);
}

}  // namespace fovea::core::cuda
