// Kernels made of source text at run time, and the user's cache of what they were compiled to.
#include <dlfcn.h>
#include <fmt/format.h>
#include <nvrtc.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "backends/cuda/cuda.h"
#include "base/file.h"

namespace fovea::core::cuda {
namespace {

struct Nvrtc {
  decltype(&nvrtcVersion) version;
  decltype(&nvrtcGetNumSupportedArchs) count_architectures;
  decltype(&nvrtcGetSupportedArchs) architectures;
  decltype(&nvrtcCreateProgram) create;
  decltype(&nvrtcCompileProgram) compile;
  decltype(&nvrtcGetCUBINSize) cubin_size;
  decltype(&nvrtcGetCUBIN) cubin;
  decltype(&nvrtcGetProgramLogSize) log_size;
  decltype(&nvrtcGetProgramLog) log;
  decltype(&nvrtcDestroyProgram) destroy;
};

Result<Nvrtc> open_nvrtc() {
  FOVEA_TRY_SET(void* const library, open_library("libnvrtc.so.13"));
  Nvrtc n{};
  bool all = true;
  auto get = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
    all &= function != nullptr;
  };
  get(n.version, "nvrtcVersion"), get(n.create, "nvrtcCreateProgram"), get(n.compile, "nvrtcCompileProgram");
  get(n.cubin_size, "nvrtcGetCUBINSize"), get(n.cubin, "nvrtcGetCUBIN"), get(n.log_size, "nvrtcGetProgramLogSize");
  get(n.log, "nvrtcGetProgramLog"), get(n.destroy, "nvrtcDestroyProgram");
  get(n.count_architectures, "nvrtcGetNumSupportedArchs"), get(n.architectures, "nvrtcGetSupportedArchs");
  if (!all)
    return unsupported(
        "libnvrtc.so.13 lacks functions of NVRTC 13: install NVIDIA's package of it, or name its folder in "
        "FOVEA_CUDA_LIBRARIES");
  return n;
}

std::string version_of(const Nvrtc& nvrtc) {
  int major = 0, minor = 0;
  (void)nvrtc.version(&major, &minor);
  return fmt::format("{}.{}", major, minor);
}

// A GPU that is newer than the library is no fault of the source.
Status check_architecture(const Nvrtc& nvrtc, const std::string& architecture) {
  constexpr std::string_view kPrefix = "sm_";
  int wanted = 0, count = 0;
  if (!architecture.starts_with(kPrefix)) return internal_error("'{}' is no architecture", architecture);
  std::from_chars(architecture.data() + kPrefix.size(), architecture.data() + architecture.size(), wanted);
  if (nvrtc.count_architectures(&count) != NVRTC_SUCCESS || count <= 0) return {};  // compiling will tell
  std::vector<int> known(static_cast<size_t>(count));
  if (nvrtc.architectures(known.data()) != NVRTC_SUCCESS || std::ranges::find(known, wanted) != known.end()) return {};
  const auto [oldest, newest] = std::ranges::minmax(known);
  return unsupported(
      "NVRTC {} does not compile for {}: expected one of sm_{} to sm_{}; install a newer package of NVRTC 13, or name "
      "its folder in FOVEA_CUDA_LIBRARIES",
      version_of(nvrtc), architecture, oldest, newest);
}

Result<std::string> compile(const Nvrtc& nvrtc, const std::string& source, const std::string& architecture) {
  FOVEA_TRY(check_architecture(nvrtc, architecture));
  nvrtcProgram program = nullptr;
  if (nvrtcResult r = nvrtc.create(&program, source.c_str(), "fovea.cu", 0, nullptr, nullptr); r != NVRTC_SUCCESS)
    return system_error("nvrtcCreateProgram failed with {}", static_cast<int>(r));
  const std::string arch = "--gpu-architecture=" + architecture;
  const char* options[] = {arch.c_str(), "--std=c++17", "--fmad=true", "-default-device"};
  const nvrtcResult compiled = nvrtc.compile(program, std::size(options), options);
  std::string result;
  size_t size = 0;
  if (compiled != NVRTC_SUCCESS) {
    (void)nvrtc.log_size(program, &size);
    result.resize(size);
    (void)nvrtc.log(program, result.data());
  } else {
    (void)nvrtc.cubin_size(program, &size);
    result.resize(size);
    (void)nvrtc.cubin(program, result.data());
  }
  (void)nvrtc.destroy(&program);
  if (compiled != NVRTC_SUCCESS) return internal_error("generated code does not compile: {}\n{}", result, source);
  return result;
}

std::string hash_of(const std::string& text) {
  const XXH128_hash_t h = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

std::string cache_folder() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg == '/') return std::string(xdg) + "/fovea";
  if (const char* home = std::getenv("HOME"); home && *home == '/') return std::string(home) + "/.cache/fovea";
  return "";
}

std::string cache_path(const std::string& kind, const std::string& key) {
  const std::string folder = cache_folder();
  return folder.empty() ? "" : fmt::format("{}/{}/{}", folder, kind, hash_of(key));
}

}  // namespace

// A file is the length of its key, the key, and the bytes' hash before the bytes: what another key or half a disk left
// behind is not taken for it.
std::optional<std::string> cache_read(const std::string& kind, const std::string& key) {
  const std::string path = cache_path(kind, key);
  std::error_code error;
  if (path.empty() || !std::filesystem::exists(path, error)) return std::nullopt;
  auto text = read_file(path);
  if (!text.ok()) return std::nullopt;
  const std::string head = key + '\n';
  if (!text->starts_with(head) || text->size() < head.size() + 33) return std::nullopt;
  std::string bytes = text->substr(head.size() + 33);
  if (text->substr(head.size(), 32) != hash_of(bytes)) return std::nullopt;
  return bytes;
}

void cache_write(const std::string& kind, const std::string& key, const std::string& bytes) {
  const std::string path = cache_path(kind, key);
  if (path.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (!error) (void)write_file(path, key + '\n' + hash_of(bytes) + '\n' + bytes);
}

Result<std::string> compile_source(const std::string& source, const std::string& architecture) {
  FOVEA_TRY_SET(const Nvrtc nvrtc, open_nvrtc());
  return compile(nvrtc, source, architecture);
}

Result<cudaKernel_t> compile_kernel(const CudaDevice& device, const std::string& source, const std::string& kernel) {
  // Loaded code stays: it is small, and kernels that use it may be anywhere.
  static std::mutex mutex;
  static std::map<std::tuple<int, std::string, std::string>, cudaKernel_t> loaded;
  std::lock_guard lock(mutex);
  auto& entry = loaded[{device.properties().index, source, kernel}];
  if (entry) return entry;
  FOVEA_TRY_SET(const Nvrtc nvrtc, open_nvrtc());
  const std::string architecture = fmt::format("sm_{}{}", device.properties().major, device.properties().minor);
  const std::string key = fmt::format("{} NVRTC {} {}", architecture, version_of(nvrtc), hash_of(source));
  std::optional<std::string> cubin = cache_read("cubin", key);
  if (!cubin) {
    FOVEA_TRY_SET(cubin, compile_source(source, architecture));
    cache_write("cubin", key, *cubin);
  }
  FOVEA_TRY(device.make_current());
  cudaLibrary_t library = nullptr;
  FOVEA_CUDA(cudaLibraryLoadData(&library, cubin->data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  FOVEA_CUDA(cudaLibraryGetKernel(&entry, library, kernel.c_str()));
  return entry;
}

}  // namespace fovea::core::cuda
