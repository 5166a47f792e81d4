// What a fit reports: core's values to v1.FitReport, and back for models that are imported.
#ifndef EMSERVE_SERVER_CODEC_REPORT_H_
#define EMSERVE_SERVER_CODEC_REPORT_H_

#include <string>

#include "absl/status/status.h"
#include "core/em/fit.h"
#include "core/select/criteria.h"
#include "emserve/v1/job.pb.h"

namespace emserve::server {

// The report of a fit; `result.theta` is not part of it. At most 1000 restarts and 1000 optima.
void EncodeReport(const FitResult& result, const Criteria& criteria, v1::FitReport& report);

// The inverse; `result.theta` is left alone. InvalidArgument under `path` for an unknown
// termination, a negative count, a figure that is not finite, or more restarts, optima or repairs
// than a report has.
absl::Status DecodeReport(const v1::FitReport& report, const std::string& path, FitResult& result,
                          Criteria& criteria);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_REPORT_H_
