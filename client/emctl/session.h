// What every command has: the options that all share, the connection, and the places for its
// output.
#ifndef EMSERVE_CLIENT_EMCTL_SESSION_H_
#define EMSERVE_CLIENT_EMCTL_SESSION_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/data_file.h"
#include "client/emctl/interrupts.h"
#include "client/emctl/json.h"
#include "client/emctl/progress.h"

namespace emserve::emctl {

struct CommonOptions {
  client::ConnectOptions connect;
  // One JSON document on the standard output, and nothing else there.
  bool json = false;
  // No progress and no notes.
  bool quiet = false;
};

// Results go to the standard output, everything else to the standard error.
class Session {
 public:
  explicit Session(CommonOptions options);

  bool json() const { return options_.json; }
  Interrupts& interrupts() { return interrupts_; }
  StatusLine& line() { return line_; }

  // Connects at the first call; waits for a server that is not there yet.
  absl::StatusOr<client::Client*> Connect();

  absl::Status Print(std::string_view text);
  // The document, and in the end a line feed.
  absl::Status PrintJson(const Json& document);
  // A remark for a person.
  void Note(std::string_view text) { line_.Print(text); }

 private:
  const CommonOptions options_;
  Interrupts interrupts_;  // before anything that starts threads
  StatusLine line_;
  std::unique_ptr<client::Client> client_;
};

// Reads a file and passes its notes on.
absl::StatusOr<client::DataFile> ReadData(Session& session, const std::string& path,
                                          const client::DataFileOptions& options);

// Uploads a table with a progress bar called `what`. Ctrl-C ends the upload and deletes the
// dataset.
absl::StatusOr<v1::Dataset> UploadTable(Session& session, const client::Table& table,
                                        const client::DatasetOptions& dataset,
                                        const std::string& what);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_SESSION_H_
