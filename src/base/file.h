// Files: read-only maps, whole reads, and writes that either appear whole or not at all.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace fovea::core {

using Bytes = std::span<const std::byte>;

// A read-only memory map. Empty files give an empty span.
class MappedFile {
 public:
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  Bytes bytes() const { return {static_cast<const std::byte*>(address_), size_}; }
  const std::string& path() const { return path_; }
  // Gives the resident pages back to the system; they come again from the file when touched.
  void release_pages() const;

 private:
  MappedFile() = default;
  std::string path_;
  void* address_ = nullptr;
  size_t size_ = 0;
};

Result<std::string> read_file(const std::string& path);

// A writer of one file: bytes go to a temporary file beside `path`, commit() syncs and renames it into place. Destroyed
// without commit, nothing is left behind. Pipes and devices are written as they are.
class FileWriter {
 public:
  static Result<std::unique_ptr<FileWriter>> create(const std::string& path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  Status write(Bytes bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text.data(), text.size()))); }
  Status commit();
  int64_t position() const { return position_; }

 private:
  FileWriter() = default;
  std::string path_, target_, temporary_;
  int fd_ = -1;
  int64_t position_ = 0;
};

Status write_file(const std::string& path, std::string_view contents);

}  // namespace fovea::core
