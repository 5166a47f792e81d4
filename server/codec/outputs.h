// Outputs of predictions: what a request names, with the options of what it names.
#ifndef EMSERVE_SERVER_CODEC_OUTPUTS_H_
#define EMSERVE_SERVER_CODEC_OUTPUTS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "server/registry/prediction.h"

namespace emserve::server {

// The fields of PredictRequest, StreamPredictRequest and PredictSpec that go together.
struct NamedOutputs {
  google::protobuf::RepeatedField<int> outputs;
  std::optional<int64_t> forecast_horizon;
  std::optional<int32_t> num_paths;

  template <typename Message>
  static NamedOutputs Of(const Message& message) {
    NamedOutputs named;
    named.outputs = message.outputs();
    if (message.has_forecast_horizon()) named.forecast_horizon = message.forecast_horizon();
    if (message.has_num_paths()) named.num_paths = message.num_paths();
    return named;
  }
};

// Which outputs are named; none: labels. InvalidArgument under "<path>outputs[i]", and under an
// option that goes with none of them. The values of options are for the predictor to check.
absl::StatusOr<PredictionOutputs> DecodeOutputs(const NamedOutputs& named, const std::string& path);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_OUTPUTS_H_
