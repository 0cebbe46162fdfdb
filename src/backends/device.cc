#include "backends/device.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <map>
#include <mutex>

#include "backends/cpu/target.h"

namespace fovea::core {
namespace {

// The folder of the program or library that this code is in.
std::string own_folder() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<const void*>(&own_folder), &info) || !info.dli_fname) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

Result<const BackendEntry*> load(const std::string& backend) {
  const std::string file = fmt::format("libfovea_{}.so", backend), folder = own_folder();
  std::string why;
  for (const std::string& path : {folder + "/" + file, folder + "/../lib/" + file, file}) {
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      const char* error = ::dlerror();
      // The first place where the file is, but cannot be opened, has the reason worth telling.
      if (why.empty() || why.find("No such file") != std::string::npos) why = error ? error : "";
      continue;
    }
    auto* get = reinterpret_cast<const BackendEntry* (*)()>(::dlsym(library, kBackendEntry));
    if (!get) return system_error("{} is no backend of fovea", path);
    const BackendEntry* entry = get();
    if (const std::string here = cpu_target().build; entry->build != here)
      return system_error("{} belongs to fovea {}, this is {}: install both from one build", path, entry->build, here);
    return entry;
  }
  return unsupported("this build of fovea has no backend '{}' ({})", backend, why);
}

}  // namespace

std::optional<DeviceName> parse_device_name(std::string_view name) {
  const size_t colon = name.find(':');
  DeviceName out{std::string(name.substr(0, colon)), 0};
  if (out.backend.empty() || out.backend == "cpu" ||
      out.backend.find_first_not_of("abcdefghijklmnopqrstuvwxyz") != std::string::npos)
    return std::nullopt;
  if (colon == std::string_view::npos) return out;
  const std::string_view digits = name.substr(colon + 1);
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  out.index = std::stoi(std::string(digits));
  return out;
}

Result<std::shared_ptr<Device>> open_device(std::string_view name) {
  const auto parsed = parse_device_name(name);
  if (!parsed) return invalid_argument("device: expected 'cpu' or a name like 'cuda:0', found '{}'", name);
  // Libraries are never closed, and a device's state is per process: both are kept, under a lock.
  static std::mutex mutex;
  static std::map<std::string, const BackendEntry*> entries;
  static std::map<std::pair<std::string, int>, std::shared_ptr<Device>> devices;
  std::lock_guard lock(mutex);
  auto& device = devices[{parsed->backend, parsed->index}];
  if (device) return device;
  auto& entry = entries[parsed->backend];
  if (!entry) {
    FOVEA_TRY_SET(entry, load(parsed->backend));
  }
  FOVEA_TRY_SET(device, entry->open(parsed->index));
  return device;
}

}  // namespace fovea::core
