#include "server/registry/prediction.h"

#include <limits>

namespace emserve::server {

Prediction Prediction::Of(const Table& table, int num_components, bool forecasts_cells,
                          PredictionOutputs outputs) {
  const auto rows = static_cast<size_t>(table.num_rows());
  const auto posteriors = rows * static_cast<size_t>(num_components);
  const auto cells = rows * static_cast<size_t>(table.num_columns());
  const auto sequences =
      static_cast<size_t>(table.sequences() == nullptr ? 0 : table.sequences()->size());
  const size_t paths = outputs.best_paths ? static_cast<size_t>(outputs.num_paths) : 0;
  const size_t forecast_cells = outputs.forecasts && forecasts_cells ? cells : 0;
  Prediction out;
  out.labels.resize(outputs.labels ? rows : 0);
  out.posteriors.resize(outputs.posteriors ? posteriors : 0);
  out.log_densities.resize(outputs.log_densities ? rows : 0);
  out.imputed.resize(outputs.imputed ? cells : 0);
  out.imputed_variances.resize(outputs.imputed_variances ? cells : 0);
  out.filtered.resize(outputs.filtered ? posteriors : 0);
  out.decoded.resize(outputs.decoded ? rows : 0);
  out.forecasts.resize(outputs.forecasts ? posteriors : 0);
  out.forecast_means.resize(forecast_cells);
  out.forecast_variances.resize(forecast_cells);
  out.residuals.resize(outputs.residuals ? cells : 0);
  out.forecast_residuals.resize(outputs.forecast_residuals ? cells : 0);
  out.sequence_log_likelihoods.resize(outputs.sequence_log_likelihoods ? sequences : 0);
  out.path_log_probabilities.resize(outputs.path_log_probabilities ? sequences : 0);
  out.best_paths.resize(rows * paths, -1);
  out.best_path_log_probabilities.resize(sequences * paths,
                                         -std::numeric_limits<double>::infinity());
  return out;
}

}  // namespace emserve::server
