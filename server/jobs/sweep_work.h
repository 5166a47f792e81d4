// The work of a sweep: one fit per candidate over the same data, one after another, of which the
// best becomes a model version.
#ifndef EMSERVE_SERVER_JOBS_SWEEP_WORK_H_
#define EMSERVE_SERVER_JOBS_SWEEP_WORK_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/jobs/fit_plan.h"
#include "server/jobs/job.h"
#include "server/jobs/sweep_row.h"

namespace emserve::server {

inline constexpr size_t kMaxCandidates = 1000;

// A model that a sweep tries.
struct SweepCandidate {
  ModelOptions model;
  std::optional<int> emission;  // index among the alternatives; none: the template's
};

// A sweep as the domain sees it. Paths in errors are those of a SweepSpec ("base.restarts"), but
// for those that begin with "data", as in FitRequest.
struct SweepRequest {
  FitRequest base;            // its `model` is not looked at; the start is a method
  size_t num_candidates = 0;  // 1 to kMaxCandidates
  // Makes candidate 0, 1, ..., as often as it is asked: constraints and priors may be large, so
  // that candidates are made when they are needed and not kept. Called from one thread at a time.
  std::function<absl::StatusOr<SweepCandidate>(size_t candidate)> candidate;
  // As FitRequest::model_field, of a candidate.
  std::function<std::string(size_t candidate, std::string_view field)> model_field;
  // Where a field of a candidate's FitSpec stands in the SweepSpec. Null: under "base".
  std::function<std::string(size_t candidate, std::string_view path)> path;
  // Absent: BIC, log-likelihood for a family without a likelihood.
  std::optional<SweepCriterion> criterion;
};

// Checks everything that can be known before running and makes the work.
//
// Errors as MakeFitWork's. A candidate that the data cannot support (FAILED_PRECONDITION, or a
// label that it has no component for), or that runs out of memory, is a row with that error; it
// fails the sweep only if all candidates do, at once if that can be known.
absl::StatusOr<std::unique_ptr<Work>> MakeSweepWork(SweepRequest request,
                                                    const FitEnvironment& environment,
                                                    const std::string& job_id);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_SWEEP_WORK_H_
