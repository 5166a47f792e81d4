// emctl fit, and what emctl sweep shares with it.
#ifndef EMSERVE_CLIENT_EMCTL_FIT_H_
#define EMSERVE_CLIENT_EMCTL_FIT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/emctl/fit_request.h"
#include "client/emctl/sent_file.h"
#include "client/emctl/session.h"
#include "emserve/v1/job.pb.h"
#include "emserve/v1/job_service.pb.h"

namespace emserve::emctl {

struct PreparedData {
  std::string temporary;  // dataset to delete once the job has it, or ""
  SentFile file;          // what the data came from, if it was not on the server
};

// Puts the data on the server, unless it is there, and completes the specification.
absl::StatusOr<PreparedData> PrepareData(Session& session, const FitOptions& options,
                                         v1::FitSpec& spec);

// Submits the job, shows its progress and prints the result.
absl::Status SubmitAndFollow(Session& session, const v1::CreateJobRequest& request,
                             const PreparedData& data, bool detach);

// Uploads the data, fits the model to it, shows the iterations and prints the result.
absl::Status FitModel(Session& session, const FitOptions& options);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_FIT_H_
