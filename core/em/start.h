// Where a fit starts: seeds drawn from the data, rows assigned to the nearest, one maximisation.
#ifndef EMSERVE_CORE_EM_START_H_
#define EMSERVE_CORE_EM_START_H_

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/data/table.h"
#include "core/em/expectation.h"
#include "core/em/fit.h"
#include "core/em/model.h"
#include "core/runtime/random.h"

namespace emserve {

// Draws starts for the restarts of one fit. Immutable once made: restarts may draw at the same
// time.
//
// Distances are Euclidean on columns divided by their standard deviation, so units do not matter; a
// column without spread counts as 0. Seeds come from a sample of the rows with positive weight: all
// of them if there are at most max(128 K, min(16384, 2^22 / columns)), else that many, one drawn
// from each of equally long stretches of the table. Row weights count as multiplicities throughout.
//
// A row belongs wholly to its nearest seed in restarts 0, 3, 6, ...; in the others a tenth and two
// tenths of it are spread evenly over all components. Hard assignments find separated clusters
// best; softened ones reach optima with overlapping components that hard ones miss, and give
// components with few rows a proper variance.
class Starts {
 public:
  // `seed` drives the sample and, with its number, each restart's draw. All arguments outlive it.
  // O(rows) if some rows have no weight, else O(sample x columns).
  Starts(const Model& model, const Table& table, const Summary& summary, StartMethod method,
         uint64_t seed, std::stop_token stop = {});

  // Writes the start parameters of `restart` to `theta` and what the maximisation repaired to
  // `repairs`. A pure function of the seed and `restart` while `time_is_up`, asked before each
  // candidate for a seed, says no. Once it says yes, the seeds still missing are random distinct
  // rows, without a look at how far they are apart. Uses `expectation` for one pass over the table.
  //
  // FailedPrecondition when fewer rows than components can be told apart; Cancelled; what the
  // model's maximisation returns. O(sample x K log K x columns + rows x K x columns).
  absl::Status Draw(int restart, absl::FunctionRef<bool()> time_is_up, Expectation& expectation,
                    std::span<double> theta, std::vector<Repair>& repairs) const;

 private:
  absl::StatusOr<std::vector<int>> DrawSeeds(Random& random,
                                             absl::FunctionRef<bool()> time_is_up) const;
  absl::Status AddRandomSeeds(Random& random, std::vector<int>& seeds) const;
  absl::Status TooFewRows(size_t distinct) const;

  const Model& model_;
  const Summary& summary_;
  const StartMethod method_;
  const uint64_t seed_;
  const std::stop_token stop_;
  const int num_columns_;
  std::vector<double> inverse_sd_;  // [columns], 0 for a column without spread
  std::vector<double> unit_;        // [columns] of 1, the scale of the sample
  BlockBuffer sample_buffer_;
  Block sample_;  // the sampled rows, standardised: (x - mean) / sd
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_START_H_
