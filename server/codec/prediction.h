// Predictions and samples: request tables to core's tables, results to named tensors.
#ifndef EMSERVE_SERVER_CODEC_PREDICTION_H_
#define EMSERVE_SERVER_CODEC_PREDICTION_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "emserve/v1/prediction_service.pb.h"
#include "google/protobuf/repeated_field.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

// Bytes of a request's table and of the answer to it.
struct PredictBounds {
  int64_t max_table_bytes = 0;
  int64_t max_answer_bytes = 0;
};

// Predicts `table` under `version` on the calling thread and writes one tensor per output.
// InvalidArgument under "table" and "outputs", also for more rows than an answer has room for;
// Cancelled when `cancelled`, which is asked now and then, says so.
absl::Status PredictTable(const ModelVersion& version, const v1::InlineTable& table,
                          const google::protobuf::RepeatedField<int>& outputs, bool packed,
                          const PredictBounds& bounds, const std::function<bool()>& cancelled,
                          google::protobuf::RepeatedPtrField<v1::NamedTensor>& out);

// Draws what `request` asks for. InvalidArgument under "num_rows" when the answer would not fit
// `max_bytes`; `cancelled` as for PredictTable.
absl::Status SampleRows(const ModelVersion& version, const v1::SampleRequest& request,
                        int64_t max_bytes, const std::function<bool()>& cancelled,
                        v1::SampleResponse& response);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_PREDICTION_H_
