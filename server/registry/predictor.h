// A fitted model ready to be used: core model and everything prepared from its parameters, once.
#ifndef EMSERVE_SERVER_REGISTRY_PREDICTOR_H_
#define EMSERVE_SERVER_REGISTRY_PREDICTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/em/model.h"
#include "core/families.h"
#include "core/runtime/pool.h"

namespace emserve::server {

// Which outputs to compute.
struct PredictionOutputs {
  bool labels = false;
  bool posteriors = false;
  bool log_densities = false;
  bool imputed = false;
  bool imputed_variances = false;

  bool any() const { return labels || posteriors || log_densities || conditional(); }
  // Whether cells given the others of their row are wanted.
  bool conditional() const { return imputed || imputed_variances; }
};

// One entry per row; arrays that were not asked for are empty.
struct Prediction {
  std::vector<int64_t> labels;        // [rows] most probable component, the first of equals
  std::vector<double> posteriors;     // [rows x components], row-major
  std::vector<double> log_densities;  // [rows], nats
  // [rows x columns], row-major: missing cells given the observed ones of their row, the most
  // probable of categories; observed cells as they are.
  std::vector<double> imputed;
  // [rows x columns], row-major: variances of those, 0 for observed cells; of categories the
  // probability of all but the most probable.
  std::vector<double> imputed_variances;
};

struct SampledRows {
  std::vector<double> rows;     // [rows x columns], row-major
  std::vector<int64_t> labels;  // [rows] the component each came from
};

// Immutable and thread-safe.
class Predictor {
 public:
  // Builds the model and prepares `theta`. Options and parameters may be hostile: INVALID_ARGUMENT
  // or FAILED_PRECONDITION name what is wrong ("num_components: ...", "covariances[0]: ...").
  static absl::StatusOr<std::shared_ptr<const Predictor>> Create(
      const ModelOptions& options, const Summary& summary, const std::vector<std::string>& columns,
      std::span<const double> theta);

  const Model& model() const { return *model_; }
  // Whether the family can tell missing cells given the observed ones.
  bool imputes() const;
  // Memory of the prepared parameters is of the order of the parameters themselves.

  // Predicts on the calling thread. `table` has the model's columns in the model's order; NaN cells
  // are missing. INVALID_ARGUMENT "rows[7]: ..." for a cell that is infinite, a row where the model
  // has no density (a count below 0, ...), and one so far from every component that its density
  // vanishes; "outputs" for cells given the others from a family that cannot tell them. O(rows x
  // cost of a row).
  // `cancelled` is asked before each block of rows: true ends it with Cancelled.
  absl::StatusOr<Prediction> Predict(const Table& table, PredictionOutputs outputs,
                                     const std::function<bool()>& cancelled = nullptr) const;

  // Numbers that PredictRows writes per row.
  int NumOutputColumns(PredictionOutputs outputs) const;

  // Predicts with the threads of `share` and writes NumOutputColumns doubles per row, row-major, to
  // `out`: the label if asked for, then the posteriors, the log density, the imputed cells and
  // their variances. `rows_done` is called after each block with the number of its rows, from
  // several threads. Cancelled within a block after `stop` is requested; otherwise as Predict.
  absl::Status PredictRows(const Table& table, PredictionOutputs outputs, Pool::Share& share,
                           std::stop_token stop, const std::function<void(int)>& rows_done,
                           double* out) const;

  // Draws `num_rows` >= 0 rows; the same seed gives the same rows. `cancelled` as for Predict.
  absl::StatusOr<SampledRows> Sample(int64_t num_rows, uint64_t seed,
                                     const std::function<bool()>& cancelled = nullptr) const;

 private:
  Predictor(std::unique_ptr<Model> model, std::unique_ptr<Model::Prepared> prepared,
            std::string_view family);

  struct Scratch;
  absl::Status CheckOutputs(PredictionOutputs outputs) const;
  absl::Status PredictBlock(const Table& table, const Block& block, PredictionOutputs outputs,
                            Scratch& scratch) const;

  const std::unique_ptr<const Model> model_;
  const std::unique_ptr<const Model::Prepared> prepared_;
  const std::string_view family_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_PREDICTOR_H_
