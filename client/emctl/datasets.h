// emctl datasets.
#ifndef EMSERVE_CLIENT_EMCTL_DATASETS_H_
#define EMSERVE_CLIENT_EMCTL_DATASETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/emctl/session.h"

namespace emserve::emctl {

struct UploadArguments {
  std::string file;
  std::string id;          // empty: chosen by the server
  std::string columns;     // comma-separated
  std::string categories;  // columns of them, comma-separated, or "all"
  std::string description;
  client::DataFileOptions reading;
};

absl::Status ListDatasets(Session& session, int64_t limit);
absl::Status GetDataset(Session& session, const std::string& dataset);
absl::Status UploadDataset(Session& session, const UploadArguments& arguments);
// To a CSV file, or to the standard output if `output` is empty.
absl::Status DownloadDataset(Session& session, const std::string& dataset,
                             const std::string& output);
absl::Status DeleteDatasets(Session& session, const std::vector<std::string>& datasets);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_DATASETS_H_
