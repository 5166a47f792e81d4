// Whole files in, and files out that appear complete or not at all.
#ifndef EMSERVE_CLIENT_FILE_H_
#define EMSERVE_CLIENT_FILE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace emserve::client {

// The content of the file, or of the standard input for "-". InvalidArgument if it cannot be read.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// A file that is written under a temporary name beside its own and takes its name when it is
// complete. A path that already names something other than a regular file (a pipe, a terminal,
// /dev/null) is written directly, and "-" is the standard output. Not thread-safe.
class OutputFile {
 public:
  // InvalidArgument if the file cannot be made.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path);
  // Removes what was written unless Commit succeeded.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Internal or ResourceExhausted (disk full) with the path.
  absl::Status Write(std::string_view bytes);
  // Ends the file and gives it its name. Call once, last.
  absl::Status Commit();

 private:
  OutputFile(int fd, std::string path, std::string temporary)
      : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

  int fd_;
  const std::string path_;
  std::string temporary_;  // empty if written directly
};

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_FILE_H_
