// The server's words about rows, in those of the file that the rows came from.
#ifndef EMSERVE_CLIENT_EMCTL_SENT_FILE_H_
#define EMSERVE_CLIENT_EMCTL_SENT_FILE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/data_file.h"

namespace emserve::emctl {

// What is left of a file once its cells are sent.
struct SentFile {
  SentFile() = default;
  explicit SentFile(const client::DataFile& file);

  // The names that stand for the numbers of a column; empty if it has none.
  const std::vector<std::string>& LevelsOf(const std::string& column) const;

  client::RowPlaces places;
  std::map<std::string, std::vector<std::string>> levels;  // by column
  std::string label_column;                                // if there is one
  std::string sequence_column;
};

// An error about a row says where it stands in the file, and of a label or a sequence the name that
// it has there: "f.csv:9: --label: got "wake", must be ...". Any other error stays as it is.
absl::Status InFile(const absl::Status& status, const SentFile& file);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_SENT_FILE_H_
