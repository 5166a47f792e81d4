// emctl fit.
#ifndef EMSERVE_CLIENT_EMCTL_FIT_H_
#define EMSERVE_CLIENT_EMCTL_FIT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/emctl/session.h"
#include "emserve/v1/job.pb.h"
#include "emserve/v1/model_spec.pb.h"

namespace emserve::emctl {

// What was typed. Absent options are left out of the request, so that the engine's defaults hold.
struct FitOptions {
  std::string data;                 // a file, or
  std::string dataset;              // a dataset on the server
  client::DataFileOptions reading;  // what the columns above do not say
  std::string keep;                 // id under which the uploaded data stays on the server
  std::string columns;              // comma-separated
  std::string weights_column;
  std::optional<int32_t> components;
  v1::Covariance covariance = v1::COVARIANCE_UNSPECIFIED;
  std::optional<double> ridge;
  std::optional<int32_t> restarts;
  std::optional<uint64_t> seed;
  v1::StartMethod start = v1::START_METHOD_UNSPECIFIED;
  std::string start_model;
  std::optional<int64_t> max_iterations;
  std::optional<double> tolerance;
  std::optional<double> absolute_tolerance;
  std::optional<absl::Duration> time_budget;
  std::optional<absl::Duration> timeout;
  std::string model;
  bool detach = false;
};

// Uploads the data, fits a Gaussian mixture to it, shows the iterations and prints the result.
absl::Status FitGaussianMixture(Session& session, const FitOptions& options);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_FIT_H_
