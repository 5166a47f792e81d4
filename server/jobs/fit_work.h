// The work of a fit: data and specification in, a new model version out.
#ifndef EMSERVE_SERVER_JOBS_FIT_WORK_H_
#define EMSERVE_SERVER_JOBS_FIT_WORK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/jobs/fit_plan.h"
#include "server/jobs/job.h"

namespace emserve::server {

// Checks everything that can be known before running and makes the work. Sealed datasets are judged
// by the figures of their columns where these say enough, other tables by one pass over them. A
// stored model that it starts from is looked up now: the version of this moment counts, whatever
// becomes of the model until the work runs.
//
// INVALID_ARGUMENT: a malformed field ("columns[2]: ..."), a cell that is infinite in a modelled
// column or no number in the weights ("columns[x]: got inf in row 7, ..."), negative weights,
// labels or plausibilities that fit no component, a start that does not fit the model, a choice
// that the family does not have. NOT_FOUND: dataset, model. FAILED_PRECONDITION: a dataset that is
// not ACTIVE, data that cannot support the model (a constant column, fewer rows than components),
// with the remedy. RESOURCE_EXHAUSTED: no room for the result, more working memory than all jobs
// have. Cancelled when environment.stop is requested.
absl::StatusOr<std::unique_ptr<Work>> MakeFitWork(FitRequest request,
                                                  const FitEnvironment& environment,
                                                  const std::string& job_id);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_FIT_WORK_H_
