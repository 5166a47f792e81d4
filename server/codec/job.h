// Jobs: their specifications to the domain's requests, and what came of them to messages.
#ifndef EMSERVE_SERVER_CODEC_JOB_H_
#define EMSERVE_SERVER_CODEC_JOB_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "emserve/v1/job.pb.h"
#include "emserve/v1/job_service.pb.h"
#include "server/jobs/fit_work.h"
#include "server/jobs/job.h"
#include "server/jobs/job_table.h"
#include "server/jobs/predict_work.h"

namespace emserve::server {

// What making the work of a job needs.
struct JobEnvironment {
  DatasetStore* datasets = nullptr;
  ModelRegistry* registry = nullptr;
  Pool* pool = nullptr;
  int64_t max_inline_bytes = 0;
  int64_t max_working_bytes = std::numeric_limits<int64_t>::max();
  std::stop_token stop = {};  // ends making the work of fits and sweeps
};

// The table's request for `request`, a job of any kind. The work is made from it when the table
// asks. InvalidArgument with the path in the request: "job.fit.model.mixture.num_components",
// "inline_data.values". `environment` outlives the result.
absl::StatusOr<NewJob> DecodeCreateJob(v1::CreateJobRequest request,
                                       const JobEnvironment& environment);

// Likewise for the one-call Fit; paths begin with "fit".
absl::StatusOr<NewJob> DecodeFit(v1::FitRequest request, const JobEnvironment& environment);

absl::StatusOr<JobState> DecodeJobState(v1::JobState state, const std::string& path);

void EncodeJob(const JobSnapshot& job, v1::Job& out);
void EncodeEvent(const JobEvent& event, v1::JobEvent& out);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_JOB_H_
