// What is asked of a fit beside the model: start, seed, restarts and stopping.
#ifndef EMSERVE_SERVER_CODEC_FIT_SPEC_H_
#define EMSERVE_SERVER_CODEC_FIT_SPEC_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/em/fit.h"
#include "core/families.h"
#include "emserve/v1/job.pb.h"

namespace emserve::server {

// Seed, restarts, start method and stopping of `spec`; absent fields keep core's defaults. A start
// from parameters or from a model makes the start kGiven and, if absent, restarts 1; the parameters
// themselves (FitOptions::given) need the model's layout and are the caller's to add.
// InvalidArgument under `path`: an unknown start method, a malformed time budget, restarts with a
// given start; ranges are the domain's to check.
absl::StatusOr<FitOptions> DecodeFitOptions(const v1::FitSpec& spec, const std::string& path);

// Writes what `model` and `options` say into `spec` with every field present, so that a stored
// specification repeats the fit whatever later defaults are. What the start is drawn from is kept.
void CompleteFitSpec(const ModelOptions& model, const FitOptions& options, v1::FitSpec& spec);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_FIT_SPEC_H_
