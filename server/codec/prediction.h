// Predictions and samples: request tables to core's tables, results to named tensors.
#ifndef EMSERVE_SERVER_CODEC_PREDICTION_H_
#define EMSERVE_SERVER_CODEC_PREDICTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "emserve/v1/prediction_service.pb.h"
#include "google/protobuf/repeated_field.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

// Predicts `table` under `version` on the calling thread and writes one tensor per output.
// InvalidArgument under "table" and "outputs".
absl::Status PredictTable(const ModelVersion& version, const v1::InlineTable& table,
                          const google::protobuf::RepeatedField<int>& outputs, bool packed,
                          int64_t max_bytes,
                          google::protobuf::RepeatedPtrField<v1::NamedTensor>& out);

// Draws what `request` asks for. InvalidArgument under "num_rows" when the answer would not fit
// `max_bytes`.
absl::Status SampleRows(const ModelVersion& version, const v1::SampleRequest& request,
                        int64_t max_bytes, v1::SampleResponse& response);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_PREDICTION_H_
