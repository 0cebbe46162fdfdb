#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace fovea::core {
namespace {

std::string why() { return std::strerror(errno); }

Status open_failed(const std::string& path) {
  // A path that is not there is the caller's mistake; a disk that fails is the system's.
  if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == EISDIR || errno == ENAMETOOLONG)
    return invalid_argument("{}: cannot open: {}", path, why());
  return system_error("{}: cannot open: {}", path, why());
}

constexpr int kReading = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a pipe that nobody writes to is not waited for

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Result<int64_t> regular_size(int fd, const std::string& path) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return system_error("{}: cannot stat: {}", path, why());
  if (!S_ISREG(st.st_mode)) return invalid_argument("{}: expected a regular file", path);
  return static_cast<int64_t>(st.st_size);
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  Descriptor d{::open(path.c_str(), kReading)};
  if (d.fd < 0) return open_failed(path);
  FOVEA_TRY_SET(int64_t size, regular_size(d.fd, path));
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  if (size > 0) {
    void* address = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_PRIVATE, d.fd, 0);
    if (address == MAP_FAILED) return system_error("{}: cannot map {} bytes: {}", path, size, why());
    file->address_ = address;
    file->size_ = static_cast<size_t>(size);
  }
  return std::shared_ptr<const MappedFile>(std::move(file));
}

MappedFile::~MappedFile() {
  if (address_) ::munmap(address_, size_);
}

void MappedFile::release_pages() const {
  if (address_) ::madvise(address_, size_, MADV_DONTNEED);
}

Result<std::string> read_file(const std::string& path) {
  Descriptor d{::open(path.c_str(), kReading)};
  if (d.fd < 0) return open_failed(path);
  FOVEA_TRY_SET(int64_t size, regular_size(d.fd, path));
  std::string text(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    ssize_t n = ::read(d.fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("{}: cannot read: {}", path, why());
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

Result<std::unique_ptr<FileWriter>> FileWriter::create(const std::string& path) {
  std::unique_ptr<FileWriter> writer(new FileWriter);
  writer->path_ = writer->target_ = path;
  struct stat st;
  if (::stat(path.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) return invalid_argument("{}: expected a file to write, found a folder", path);
    if (!S_ISREG(st.st_mode)) {  // a pipe or a device, /dev/stdout say: never to be renamed over
      writer->fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
      if (writer->fd_ < 0) return open_failed(path);
      return writer;
    }
    // A link stays a link, and what it points at is replaced.
    std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
    if (real) writer->target_ = real.get();
  }
  std::string name = writer->target_ + ".tmpXXXXXX";
  writer->fd_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (writer->fd_ < 0) return open_failed(path);
  writer->temporary_ = name;
  ::fchmod(writer->fd_, 0644);
  return writer;
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status FileWriter::write(Bytes bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return system_error("{}: cannot write (at byte {}): {}", path_, position_, why());
    position_ += n;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status FileWriter::commit() {
  if (!temporary_.empty() && ::fsync(fd_) != 0) return system_error("{}: cannot write: {}", path_, why());
  int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) return system_error("{}: cannot write: {}", path_, why());
  if (!temporary_.empty() && ::rename(temporary_.c_str(), target_.c_str()) != 0)
    return system_error("{}: cannot rename into place: {}", path_, why());
  temporary_.clear();
  return {};
}

Status write_file(const std::string& path, std::string_view contents) {
  FOVEA_TRY_SET(auto writer, FileWriter::create(path));
  FOVEA_TRY(writer->write(contents));
  return writer->commit();
}

}  // namespace fovea::core
