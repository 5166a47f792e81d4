// What a fit reports: core's values to v1.FitReport, and back for models that are imported.
#ifndef EMSERVE_SERVER_CODEC_REPORT_H_
#define EMSERVE_SERVER_CODEC_REPORT_H_

#include <string>

#include "absl/status/status.h"
#include "emserve/v1/job.pb.h"
#include "server/registry/model_version.h"

namespace emserve::server {

v1::Termination EncodeTermination(Termination termination);

void EncodeReport(const FitReport& report, v1::FitReport& out);

// The inverse. InvalidArgument under `path` for an unknown
// termination, a negative count, a figure that is not finite, or more restarts, optima or repairs
// than a report has.
absl::Status DecodeReport(const v1::FitReport& report, const std::string& path, FitReport& out);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_REPORT_H_
