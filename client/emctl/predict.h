// emctl predict and emctl sample.
#ifndef EMSERVE_CLIENT_EMCTL_PREDICT_H_
#define EMSERVE_CLIENT_EMCTL_PREDICT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "client/emctl/session.h"

namespace emserve::emctl {

struct PredictArguments {
  std::string model;
  std::string data;            // a file, predicted over a stream, or
  std::string dataset;         // a dataset on the server, predicted by a job
  std::string output;          // CSV file; empty for the standard output
  std::string output_dataset;  // id of the dataset that the job makes
  std::string outputs;         // comma-separated; empty for the server's default
  client::DataFileOptions reading;
  bool detach = false;
};

absl::Status Predict(Session& session, const PredictArguments& arguments);

struct SampleArguments {
  std::string model;
  int64_t num_rows = 1;
  uint64_t seed = 0;
  std::string output;   // CSV file; empty for the standard output
  bool labels = false;  // a last column with the component of each row
};

absl::Status SampleModel(Session& session, const SampleArguments& arguments);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_PREDICT_H_
