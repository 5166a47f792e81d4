// emctl sweep.
#ifndef EMSERVE_CLIENT_EMCTL_SWEEP_H_
#define EMSERVE_CLIENT_EMCTL_SWEEP_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/emctl/fit.h"
#include "client/emctl/jobs.h"
#include "client/emctl/session.h"

namespace emserve::emctl {

// What was typed beside the options of a fit.
struct SweepOptions {
  FitOptions base;
  std::optional<std::string> components;   // "1-9", "2,3,5-7"
  std::optional<std::string> covariances;  // "all", or names with commas
  std::optional<std::string> emissions;    // names with commas
  v1::SweepCriterion criterion = v1::SWEEP_CRITERION_UNSPECIFIED;
};

// The specification of the sweep around `base`. InvalidArgument with the option.
absl::StatusOr<v1::SweepSpec> SweepSpecOf(const SweepOptions& options, v1::FitSpec base);

// Fits all candidates, shows the table as it grows and prints it with the best.
absl::Status SweepModels(Session& session, const SweepOptions& options);

// The line of a candidate while the sweep runs.
std::string CandidateLine(const v1::SweepRow& row);

// The table of a sweep, and what the figures mean.
std::string SweepTable(const v1::SweepResult& result);

// The one document of a sweep: job, model, criterion, best, rows, and the fit of the best.
Json SweepDocument(const v1::Job& job, const v1::ModelVersion& version,
                   const std::vector<v1::WarningEvent>& warnings,
                   const std::vector<std::string>& label_names = {});

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_SWEEP_H_
