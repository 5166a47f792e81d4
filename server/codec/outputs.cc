#include "server/codec/outputs.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "emserve/v1/job.pb.h"
#include "server/codec/fields.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr std::array kOutputs = {
    std::pair(v1::PREDICTION_OUTPUT_LABELS, &PredictionOutputs::labels),
    std::pair(v1::PREDICTION_OUTPUT_POSTERIORS, &PredictionOutputs::posteriors),
    std::pair(v1::PREDICTION_OUTPUT_LOG_DENSITIES, &PredictionOutputs::log_densities),
    std::pair(v1::PREDICTION_OUTPUT_IMPUTED, &PredictionOutputs::imputed),
    std::pair(v1::PREDICTION_OUTPUT_IMPUTED_VARIANCES, &PredictionOutputs::imputed_variances),
    std::pair(v1::PREDICTION_OUTPUT_FILTERED, &PredictionOutputs::filtered),
    std::pair(v1::PREDICTION_OUTPUT_DECODED, &PredictionOutputs::decoded),
    std::pair(v1::PREDICTION_OUTPUT_SEQUENCE_LOG_LIKELIHOODS,
              &PredictionOutputs::sequence_log_likelihoods),
    std::pair(v1::PREDICTION_OUTPUT_PATH_LOG_PROBABILITIES,
              &PredictionOutputs::path_log_probabilities),
    std::pair(v1::PREDICTION_OUTPUT_FORECASTS, &PredictionOutputs::forecasts),
    std::pair(v1::PREDICTION_OUTPUT_RESIDUALS, &PredictionOutputs::residuals),
    std::pair(v1::PREDICTION_OUTPUT_FORECAST_RESIDUALS, &PredictionOutputs::forecast_residuals),
    std::pair(v1::PREDICTION_OUTPUT_BEST_PATHS, &PredictionOutputs::best_paths),
};

absl::Status Alone(const std::string& field, int64_t value, const char* output) {
  return InvalidArgument(
      field, absl::StrCat("got ", value, " without ", output, ", must go with them among outputs"));
}

}  // namespace

absl::StatusOr<PredictionOutputs> DecodeOutputs(const NamedOutputs& named,
                                                const std::string& path) {
  constexpr int kMost = static_cast<int>(std::size(kOutputs));
  if (named.outputs.size() > kMost) {
    return InvalidArgument(path + "outputs",
                           absl::StrCat("got ", named.outputs.size(), " of them, must be at most ",
                                        kMost, ", each once"));
  }
  PredictionOutputs out;
  for (int i = 0; i < named.outputs.size(); ++i) {
    bool PredictionOutputs::*output = nullptr;
    for (const auto& [wire, domain] : kOutputs) {
      if (wire == named.outputs[i]) output = domain;
    }
    if (output == nullptr) {
      return UnknownEnum(absl::StrCat(path, "outputs[", i, "]"), *v1::PredictionOutput_descriptor(),
                         named.outputs[i]);
    }
    out.*output = true;
  }
  if (!out.any()) out.labels = true;
  if (named.forecast_horizon.has_value()) {
    out.forecast_horizon = *named.forecast_horizon;
    if (!out.forecasts) return Alone(path + "forecast_horizon", out.forecast_horizon, "FORECASTS");
  }
  if (named.num_paths.has_value()) {
    out.num_paths = *named.num_paths;
    if (!out.best_paths) return Alone(path + "num_paths", out.num_paths, "BEST_PATHS");
  }
  return out;
}

}  // namespace emserve::server
