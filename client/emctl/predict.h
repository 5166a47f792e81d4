// emctl predict and emctl sample.
#ifndef EMSERVE_CLIENT_EMCTL_PREDICT_H_
#define EMSERVE_CLIENT_EMCTL_PREDICT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "client/emctl/session.h"
#include "emserve/v1/tensor.pb.h"

namespace emserve::emctl {

struct PredictArguments {
  std::string model;
  std::string data;            // a file, predicted over a stream, or
  std::string dataset;         // a dataset on the server, predicted by a job
  std::string output;          // CSV file; empty for the standard output
  std::string output_dataset;  // id of the dataset that the job makes
  std::string outputs;         // comma-separated; empty for the server's default
  std::optional<int64_t> forecast_horizon;
  std::optional<int32_t> num_paths;
  client::DataFileOptions reading;
  v1::SequenceSpec sequences;  // how the rows are cut, if anything is said of it
  bool detach = false;
};

absl::Status Predict(Session& session, const PredictArguments& arguments);

struct SampleArguments {
  std::string model;
  std::optional<int64_t> num_rows;  // default 1, or those of the lengths
  uint64_t seed = 0;
  std::string output;             // CSV file; empty for the standard output
  bool labels = false;            // a last column with the component of each row
  v1::SequenceLengths sequences;  // rows of each, of models of sequences
  std::string sequence_column;    // name of a first column with each row's sequence, from 0
};

absl::Status SampleModel(Session& session, const SampleArguments& arguments);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_PREDICT_H_
