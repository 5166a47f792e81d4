// What is asked of a fit beside the model: start, seed, restarts, stopping and how it climbs.
#ifndef EMSERVE_SERVER_CODEC_FIT_SPEC_H_
#define EMSERVE_SERVER_CODEC_FIT_SPEC_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/em/fit.h"
#include "core/families.h"
#include "emserve/v1/job.pb.h"
#include "server/jobs/fit_plan.h"

namespace emserve::server {

// Seed, restarts, start method, stopping, variant, acceleration and collapse policy of `spec`;
// absent fields keep core's defaults. A start from parameters or from a model makes the start
// kGiven, one from columns kResponsibilities, and then, if absent, restarts 1; the parameters
// themselves (FitOptions::given) need the model's layout and are the caller's to add.
// InvalidArgument under `path`: an unknown enum value, a malformed time budget, restarts with a
// given start; ranges are the domain's to check.
absl::StatusOr<FitOptions> DecodeFitOptions(const v1::FitSpec& spec, const std::string& path);

// Unspecified is float64.
absl::StatusOr<Storage> DecodeStorage(const v1::FitSpec& spec, const std::string& path);

// Writes what `model` and `options` say into `spec` with every field present, so that a stored
// specification repeats the fit whatever later defaults are. What the start is drawn from is kept.
// The columns of a product's parts are `spec`'s own, in their order.
void CompleteFitSpec(const ModelOptions& model, const FitOptions& options, v1::FitSpec& spec);

// Writes `model` into `spec` likewise and leaves the rest.
void CompleteModel(const ModelOptions& model, v1::FitSpec& spec);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_FIT_SPEC_H_
