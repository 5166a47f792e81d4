// Predictions and samples: request tables to core's tables, results to named tensors.
#ifndef EMSERVE_SERVER_CODEC_PREDICTION_H_
#define EMSERVE_SERVER_CODEC_PREDICTION_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "emserve/v1/prediction_service.pb.h"
#include "server/codec/outputs.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

// Bytes of a request's table and of the answer to it.
struct PredictBounds {
  int64_t max_table_bytes = 0;
  int64_t max_answer_bytes = 0;
};

// Whether a request takes less time than handing it to another thread does: a few rows of a small
// model. O(outputs).
bool IsQuick(const ModelVersion& version, const v1::PredictRequest& request);

// What is asked about a table, by a request alone or by one of a stream.
struct TableQuestion {
  const v1::InlineTable& table;
  NamedOutputs outputs;
  bool packed = false;
  const v1::SequenceSpec* sequences = nullptr;  // null: none are given
  // Of a stream: where its last sequence stands, with which the table goes on; null: alone.
  SequenceState* state = nullptr;
};

// Predicts under `version` on the calling thread and writes one tensor per output. InvalidArgument
// under "table", also for more rows than an answer has room for, "sequences", "outputs" and the
// latter's options; Cancelled when `cancelled`, which is asked now and then, says so.
absl::Status PredictTable(const ModelVersion& version, const TableQuestion& question,
                          const PredictBounds& bounds, const std::function<bool()>& cancelled,
                          google::protobuf::RepeatedPtrField<v1::NamedTensor>& out);

// Draws what `request` asks for. InvalidArgument under "num_rows" when the answer would not fit
// `max_bytes`, and under "sequence_lengths"; `cancelled` as for PredictTable.
absl::Status SampleRows(const ModelVersion& version, const v1::SampleRequest& request,
                        int64_t max_bytes, const std::function<bool()>& cancelled,
                        v1::SampleResponse& response);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_PREDICTION_H_
