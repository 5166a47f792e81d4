// What can be asked about rows, and the answers.
#ifndef EMSERVE_SERVER_REGISTRY_PREDICTION_H_
#define EMSERVE_SERVER_REGISTRY_PREDICTION_H_

#include <cstdint>
#include <vector>

#include "core/data/table.h"

namespace emserve::server {

// Which outputs to compute.
struct PredictionOutputs {
  bool labels = false;
  bool posteriors = false;
  bool log_densities = false;
  bool imputed = false;
  bool imputed_variances = false;
  // Of models of sequences.
  bool filtered = false;
  bool decoded = false;
  bool forecasts = false;  // of states, and of cells where the model can
  bool residuals = false;
  bool forecast_residuals = false;
  bool sequence_log_likelihoods = false;
  bool path_log_probabilities = false;
  bool best_paths = false;

  int64_t forecast_horizon = 1;  // rows that forecasts look ahead, 1 to kMaxHorizon
  int num_paths = 1;             // of each sequence, 1 to kMaxPaths

  static constexpr int64_t kMaxHorizon = 1'000'000;
  static constexpr int kMaxPaths = 100;

  bool any() const {
    return labels || posteriors || log_densities || conditional() || sequential();
  }
  // Whether cells given the others of their row are wanted.
  bool conditional() const { return imputed || imputed_variances; }
  // Whether pseudo-residuals are.
  bool of_residuals() const { return residuals || forecast_residuals; }
  // Whether what rows behind say is needed, and whether the labels' best path is.
  bool smoothed() const { return posteriors || decoded || residuals || conditional(); }
  bool of_paths() const { return labels || path_log_probabilities; }
  // Whether nothing but log densities is wanted: what rows have even where no posterior is.
  bool only_log_densities() const {
    return !(labels || posteriors || conditional() || filtered || decoded || forecasts ||
             of_residuals() || best_paths);
  }
  // Whether something is wanted that only models of sequences have.
  bool sequential() const {
    return filtered || decoded || forecasts || of_residuals() || sequence_log_likelihoods ||
           path_log_probabilities || best_paths;
  }
};

// One entry per row, or per sequence; arrays that were not asked for are empty.
struct Prediction {
  // [rows] most probable component, the first of equals; in a sequence the state on the most
  // probable path
  std::vector<int64_t> labels;
  std::vector<double> posteriors;  // [rows x components], row-major
  // [rows], nats; in a sequence given the rows before. Where only log densities are wanted
  // -infinity for a row that those leave no state for; rows behind it are as if nothing were known
  // before.
  std::vector<double> log_densities;
  // [rows x columns], row-major: missing cells given the observed ones of their row, the most
  // probable of categories; observed cells as they are.
  std::vector<double> imputed;
  // [rows x columns], row-major: variances of those, 0 for observed cells; of categories the
  // probability of all but the most probable.
  std::vector<double> imputed_variances;
  std::vector<double> filtered;  // [rows x states], row-major: given the rows up to this one
  std::vector<int64_t> decoded;  // [rows] the state with the largest posterior, the first of equals
  // Of the row `forecast_horizon` rows later given the rows up to this one: [rows x states], and
  // [rows x columns] as `imputed` or empty where the model forecasts no cells, row-major.
  std::vector<double> forecasts, forecast_means, forecast_variances;
  // [rows x columns], row-major: pseudo-residuals given the sequence's other rows, or the rows
  // before; NaN where the cell is missing.
  std::vector<double> residuals, forecast_residuals;
  std::vector<double> sequence_log_likelihoods;  // [sequences], nats
  std::vector<double> path_log_probabilities;    // [sequences] of rows and best path, nats
  // [rows x num_paths], row-major: the sequence's most probable paths, best first; -1 where it has
  // fewer.
  std::vector<int64_t> best_paths;
  // [sequences x num_paths], row-major: of rows and path, nats; -infinity where there is none.
  std::vector<double> best_path_log_probabilities;

  // With room for all that is wanted of `table`: zero at first, of paths as if there were none.
  static Prediction Of(const Table& table, int num_components, bool forecasts_cells,
                       PredictionOutputs outputs);
};

// Where a sequence that goes on in a later table stands: what its rows so far say about the state
// of the last one (core/em/chain.h), by all paths and by the best ones. Empty before its first row.
struct SequenceState {
  std::vector<double> all, best;
};

struct SampledRows {
  std::vector<double> rows;     // [rows x columns], row-major
  std::vector<int64_t> labels;  // [rows] the component each came from
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_PREDICTION_H_
