// Where a fit starts when it is told: parameters of the request's own, or those of a stored model,
// of which an update takes over the past too.
#ifndef EMSERVE_SERVER_JOBS_WARM_START_H_
#define EMSERVE_SERVER_JOBS_WARM_START_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/em/model.h"
#include "server/jobs/fit_data.h"
#include "server/jobs/fit_plan.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

struct WarmStart {
  std::vector<double> theta;  // valid for the model
  std::string version;        // "models/{model}/versions/{version}" it is of; empty: none
  std::string model_id;       // of that version
  Past past = {0, 0};         // of an update: what the version counts for
};

// The start of `request`, whose method is kGiven, for `model` of `data`. A stored model is looked
// up once, so that parameters and past are those of one version whatever happens to its aliases.
//
// INVALID_ARGUMENT: start.parameters that are none of `model`'s; start.model of another family,
// other columns or categories, or other parameters; update.weight where the version does not know
// what it counts for. NOT_FOUND: start.model.
absl::StatusOr<WarmStart> FindWarmStart(const FitRequest& request, const Model& model,
                                        const FitData& data, const ModelRegistry& registry);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_WARM_START_H_
