#include <algorithm>
#include <filesystem>

#include "verbs.h"

namespace fovea::core::tool {

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension;
}

Result<std::vector<std::string>> picture_files(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      const std::string extension = lower_extension(entry.path());
      if (extension == ".jpg" || extension == ".jpeg" || extension == ".png") found.push_back(entry.path().string());
    }
    if (found.empty()) return invalid_argument("{}: expected a folder with .jpg or .png pictures, found none", path);
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

}  // namespace fovea::core::tool
