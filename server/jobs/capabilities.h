// What a fit asks of its family, held against what the family says it can do.
#ifndef EMSERVE_SERVER_JOBS_CAPABILITIES_H_
#define EMSERVE_SERVER_JOBS_CAPABILITIES_H_

#include "absl/status/status.h"
#include "core/em/model.h"
#include "server/jobs/fit_data.h"
#include "server/jobs/fit_plan.h"

namespace emserve::server {

// INVALID_ARGUMENT "<field>: got <choice> with <family>, which has no <capability>; must be ..."
// for a choice of `request` that the family of `model` does not have: it would be ignored, or mean
// something else. Defaults ask for nothing.
absl::Status CheckCapabilities(const FitRequest& request, const FitData& data, const Model& model);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_CAPABILITIES_H_
