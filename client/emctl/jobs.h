// emctl jobs, and following a job, which fits and prediction jobs share.
#ifndef EMSERVE_CLIENT_EMCTL_JOBS_H_
#define EMSERVE_CLIENT_EMCTL_JOBS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/emctl/session.h"
#include "emserve/v1/job.pb.h"

namespace emserve::emctl {

// A job at its end, and the warnings on its way.
struct FinishedJob {
  v1::Job job;
  std::vector<v1::WarningEvent> warnings;
  // Of components 0, 1, ... in the labels; empty if they have none, or to be found out.
  std::vector<std::string> label_names = {};
};

// What Ctrl-C means while a job is followed.
enum class OnInterrupt { kCancelJob, kStopWatching };

// Shows the job's progress until it ends; the error of one that did not succeed.
absl::StatusOr<FinishedJob> FollowJob(Session& session, const std::string& name,
                                      OnInterrupt on_interrupt);

// Prints the result of a job that succeeded: the model of a fit, the dataset of a prediction.
absl::Status PrintResult(Session& session, const FinishedJob& finished);

// A job that goes on without us.
absl::Status PrintDetached(Session& session, const v1::Job& job);

absl::Status ListJobs(Session& session, int64_t limit, const std::vector<std::string>& states);
absl::Status GetJob(Session& session, const std::string& job);
absl::Status WatchJob(Session& session, const std::string& job);
absl::Status CancelJobs(Session& session, const std::vector<std::string>& jobs);
absl::Status DeleteJobs(Session& session, const std::vector<std::string>& jobs);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_JOBS_H_
