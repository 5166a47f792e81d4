// Fits and sweeps that are asked for: v1.FitSpec and v1.SweepSpec with their data to the domain's
// requests, and a sweep's rows back.
#ifndef EMSERVE_SERVER_CODEC_FIT_REQUEST_H_
#define EMSERVE_SERVER_CODEC_FIT_REQUEST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "emserve/v1/job.pb.h"
#include "server/jobs/fit_plan.h"
#include "server/jobs/job.h"
#include "server/jobs/sweep_work.h"

namespace emserve::server {

// The data that comes with a request.
struct InlineData {
  const v1::InlineTable* table = nullptr;                    // null: none
  std::shared_ptr<const google::protobuf::Message> request;  // keeps it
  int64_t max_bytes = 0;
};

// The domain's request. InvalidArgument under `path` for what can be told without data: an unknown
// enum value, no model, a dataset and inline data, columns that are not those of a product's parts.
absl::StatusOr<FitRequest> DecodeFitRequest(const std::shared_ptr<const v1::FitSpec>& spec,
                                            const InlineData& data, const std::string& path);

// Likewise; and for lists that name a value twice, that do not go with the template, or that make
// too many candidates.
absl::StatusOr<SweepRequest> DecodeSweepRequest(const std::shared_ptr<const v1::SweepSpec>& spec,
                                                const InlineData& data, const std::string& path);

void EncodeSweepRow(const SweepRow& row, v1::SweepRow& out);
void EncodeSweepResult(const SweepJobResult& result, v1::SweepResult& out);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_FIT_REQUEST_H_
