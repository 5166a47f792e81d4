// A fitted model ready to be used: core model and everything prepared from its parameters, once.
#ifndef EMSERVE_SERVER_REGISTRY_PREDICTOR_H_
#define EMSERVE_SERVER_REGISTRY_PREDICTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/em/chain.h"
#include "core/em/lanes.h"
#include "core/em/model.h"
#include "core/families.h"
#include "core/runtime/pool.h"
#include "server/registry/block_inference.h"
#include "server/registry/prediction.h"

namespace emserve::server {

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
  // Whether the rows of a sequence depend on those before them. Tables to predict then have
  // sequences.
  bool sequential() const { return model_->chain() != nullptr; }
  // Whether forecasts are of cells, too.
  bool forecasts_cells() const { return forecasts_cells_; }
  // Of models of sequences: share of the rows in each state in the long run, [K], empty where that
  // depends on how a sequence begins and for more than kMostStationary states; and mean number of
  // rows of a visit to each state, [K]. Empty for others.
  static constexpr int kMostStationary = 512;
  const std::vector<double>& stationary() const { return stationary_; }
  const std::vector<double>& expected_durations() const { return expected_durations_; }
  // Numbers that a model keeps once it is fitted: its parameters, and of a chain as many again as
  // it has transitions and durations, since few parameters may stand for many of the latter. What
  // is prepared from them is of that order.
  static int64_t NumbersOf(const Model& model);
  // Multiplications that a row takes, roughly.
  double CostOfRow() const;
  // Bytes of a SequenceState that is not empty; 0 where rows have no sequences.
  int64_t StateBytes() const;

  // INVALID_ARGUMENT "outputs: ..." for outputs that the model does not have; "forecast_horizon:
  // ..." and "num_paths: ..." for options of wanted outputs that are out of range, or of a horizon
  // that takes too long for a model of this size.
  absl::Status CheckOutputs(PredictionOutputs outputs) const;
  // Whether the best paths of the longest sequence of `table`, if they are wanted, are found in
  // reasonable time.
  // INVALID_ARGUMENT "num_paths: ...", also when a thread takes more than `max_bytes` for them.
  absl::Status CheckPaths(const Table& table, PredictionOutputs outputs, double max_bytes) const;
  // Bytes that forecasts and best paths take in PredictRows, beside blocks and messages.
  double BytesBesideBlocks(const Table& table, PredictionOutputs outputs, int num_threads) const;

  // Predicts on the calling thread. `table` has the model's columns in the model's order; NaN cells
  // are missing. INVALID_ARGUMENT "rows[7]: ..." for a cell that is infinite, a row where the model
  // has no density (a count below 0, ...), and one so far from every component that its density
  // vanishes, but as BlockInference; as CheckOutputs; as CheckPaths for more than kMostPathBytes.
  // INVALID_ARGUMENT "rows: ..." where messages between blocks and all else that a chain needs take
  // more than kMostChainBytes. O(rows x cost of a row). `cancelled` is asked before each block of
  // rows, and within the search for what lies ahead and for best paths: true ends it with
  // Cancelled.
  //
  // Of a model of sequences, with a `state` that is not empty the table's first sequence goes on
  // from there; it has no best paths and no path's probability of its own then ("outputs"). On
  // success `state` is where the table's last sequence stands, otherwise it is left as it was.
  static constexpr double kMostPathBytes = 256 << 20;
  static constexpr double kMostChainBytes = 512 << 20;
  absl::StatusOr<Prediction> Predict(const Table& table, PredictionOutputs outputs,
                                     const std::function<bool()>& cancelled = nullptr,
                                     SequenceState* state = nullptr) const;

  // Numbers that PredictRows writes per row.
  int NumOutputColumns(PredictionOutputs outputs) const;

  // Predicts with the threads of `share` and writes NumOutputColumns doubles per row, row-major, to
  // `out`: the label if asked for, then the posteriors, the log density, the imputed cells and
  // their variances, the filtered posteriors, the decoded state, the forecast states, means and
  // variances, the residuals, the forecast residuals, and in every row its sequence's
  // log-likelihood, the log-probability of its path, the states on its best paths, -1 where there
  // are fewer, and their log-probabilities. The same numbers as Predict's, to the bit, with any
  // number of threads. `rows_done` is called after each block with the number of its rows, from
  // several threads, as `cancelled` is. Precondition: best paths pass CheckPaths; otherwise as
  // Predict.
  absl::Status PredictRows(const Table& table, PredictionOutputs outputs, Pool::Share& share,
                           const std::function<bool()>& cancelled,
                           const std::function<void(int)>& rows_done, double* out) const;

  // Draws `num_rows` >= 0 rows; the same seed gives the same rows. Of a model of sequences they are
  // one sequence unless `sequences`, of as many rows, says otherwise. `cancelled` as for Predict.
  absl::StatusOr<SampledRows> Sample(int64_t num_rows, uint64_t seed,
                                     const std::function<bool()>& cancelled = nullptr,
                                     const Sequences* sequences = nullptr) const;

 private:
  Predictor(std::unique_ptr<Model> model, std::unique_ptr<Model::Prepared> prepared,
            const ModelOptions& options, std::span<const double> theta);

  struct Walks;
  absl::Status Walk(const Table& table, PredictionOutputs outputs, Lanes& lanes, Pool::Share& share,
                    const std::function<bool()>& cancelled, SequenceState* state,
                    Walks& walks) const;
  // Infers what is wanted block by block and calls `use` after each, from several threads; from one
  // in order. `state` null: not of interest.
  absl::Status Infer(const Table& table, PredictionOutputs outputs, Pool::Share& share,
                     const std::function<bool()>& cancelled, SequenceState* state,
                     absl::FunctionRef<void(const BlockInference&, const Block&)> use) const;
  absl::Status CheckBlock(const Table& table, const Block& block) const;
  absl::Status CheckHorizon(int64_t horizon) const;
  absl::Status CheckChainBytes(const Table& table, PredictionOutputs outputs, bool to_end) const;
  absl::StatusOr<BlockInference::Outlook> OutlookOf(PredictionOutputs outputs,
                                                    const std::function<bool()>& cancelled) const;
  // Calls `use` with the best paths of each sequence, from several threads.
  using RatedPaths = std::vector<Chain::RatedPath>;
  absl::Status FindPaths(
      const Table& table, int num_paths, Pool::Share& share, const std::function<bool()>& cancelled,
      absl::FunctionRef<void(int64_t sequence, const RatedPaths& paths)> use) const;

  const std::unique_ptr<const Model> model_;
  const std::unique_ptr<const Model::Prepared> prepared_;
  const std::string_view family_;
  const bool forecasts_cells_;
  const bool has_residuals_;
  const bool has_durations_;
  std::vector<double> stationary_, expected_durations_;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_PREDICTOR_H_
