#include "client/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace emserve::client {
namespace {

absl::Status FileError(const std::string& path, const char* what) {
  const int error = errno;
  const std::string message = absl::StrCat(path, ": cannot be ", what, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::InvalidArgumentError(message);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const bool is_stdin = path == "-";
  const int fd = is_stdin ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(path, "read");
  std::string content;
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    content.reserve(static_cast<size_t>(info.st_size) + 1);
  }
  absl::Status status;
  constexpr size_t kStep = size_t{1} << 20;
  size_t size = 0;
  while (true) {
    content.resize(std::max(content.capacity(), size + kStep));
    const ssize_t got = read(fd, content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = FileError(path, "read");
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  if (!is_stdin) close(fd);
  if (!status.ok()) return status;
  content.resize(size);
  return content;
}

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path) {
  const auto make = [](int fd, std::string name, std::string temporary) {
    return std::unique_ptr<OutputFile>(new OutputFile(fd, std::move(name), std::move(temporary)));
  };
  if (path == "-") {
    const int copy = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return FileError("standard output", "written");
    return make(copy, "standard output", "");
  }
  // Through a link the file that it names is replaced, not the link.
  std::string target = path;
  if (char* resolved = realpath(path.c_str(), nullptr); resolved != nullptr) {
    target = resolved;
    free(resolved);
  }
  struct stat info;
  if (stat(target.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    const int fd = open(target.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return FileError(path, "written");
    return make(fd, path, "");
  }
  const std::string temporary = absl::StrCat(target, ".", getpid(), ".part");
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return FileError(path, "written");
  return make(fd, target, temporary);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status OutputFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError(path_, "written");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Commit() {
  const int closed = close(fd_);
  fd_ = -1;
  if (closed != 0) return FileError(path_, "written");
  if (temporary_.empty()) return absl::OkStatus();
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return FileError(path_, "written");
  temporary_.clear();
  return absl::OkStatus();
}

}  // namespace emserve::client
