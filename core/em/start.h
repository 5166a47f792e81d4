// Where a fit starts: responsibilities drawn from the data, then one maximisation.
//
// Apart from seeds.h and centres.h, which say where components begin: here rows are assigned to
// them.
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
#include "core/em/sample.h"
#include "core/em/seeds.h"
#include "core/runtime/pool.h"

namespace emserve {

// The random stream of draw `number` of a restart, 0 for its own start; restarts are below 2^31.
inline uint64_t StreamOf(int restart, int number) {
  return static_cast<uint64_t>(restart) + (static_cast<uint64_t>(number) << 32);
}

// Checks the table's start columns, as Fit does where the start is taken from them: one per
// component with responsibilities, finite and 0 or more, or a single one with the component's
// index; missing where unknown, anything in rows without weight. InvalidArgument "start_columns:
// got ..." for their number, "start_columns[<i>]: got <value> in row <row>, must be ..." for the
// first cell. Cancelled when `stop` is requested. O(rows x columns).
absl::Status CheckStarts(const Table& table, int num_components, Pool::Share& share,
                         std::stop_token stop);

// Draws starts for the restarts of one fit. Immutable once made: restarts may draw at the same
// time.
//
// Distances are Euclidean on columns divided by their standard deviation, so units do not matter
// (but to a model that measures in the cells' own); a column without spread counts as 0, and so
// does a missing cell. The automatic method draws k-means++ seeds and random rows in turn:
// overlapping clusters of unequal size are found from rows that lie in them, not from rows that lie
// far apart. Seeds come from a Sample of the rows. Row weights count as multiplicities throughout.
// A component for which some sampled row is labelled, and only for it, has one of those rows as its
// seed, or with agglomeration the cluster whose mean is nearest to one. Rows never get
// responsibilities that their labels exclude.
//
// A row belongs wholly to its nearest seed in restarts 0, 3, 6, ...; in the others a tenth and two
// tenths of it are spread evenly over all components. Hard assignments find separated clusters
// best; softened ones reach optima with overlapping components that hard ones miss, and give
// components with few rows a proper variance. Of a chain's states several may look alike and differ
// in what comes before and behind: where fewer rows than states can be told apart, rows with the
// same cells in them and in their neighbours have the same random responsibilities. Models
// whose probabilities could start at 0, and
// would stay there, are never started hard. Components that no seed stands for (noise) share a
// twentieth of every row.
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
  // FailedPrecondition when fewer rows than components can be told apart, but for models with a
  // chain; Cancelled; what the model's maximisation returns. O(sample x K log K x columns + rows x
  // K x columns); agglomeration O(min(sample, 4096)^2 x columns).
  absl::Status Draw(uint64_t restart, absl::FunctionRef<bool()> time_is_up,
                    Expectation& expectation, std::span<double> theta,
                    std::vector<Repair>& repairs) const;

 private:
  using TimeIsUp = absl::FunctionRef<bool()>;

  StartMethod MethodOf(uint64_t stream) const;
  // Standardised centres [seeds, columns].
  absl::StatusOr<std::vector<double>> DrawCentres(uint64_t restart, TimeIsUp time_is_up) const;

  absl::Status AssignToCentres(std::vector<double> centres, double softness,
                               std::span<const double> reference, Expectation& expectation) const;
  absl::Status AssignAtRandom(uint64_t restart, std::span<const double> reference,
                              Expectation& expectation) const;
  absl::Status AssignByNeighbours(uint64_t restart, std::span<const double> reference,
                                  Expectation& expectation) const;
  absl::Status AssignAsGiven(std::span<const double> reference, Expectation& expectation) const;
  void KeepToLabels(const Block& block, std::span<double> posterior) const;

  const Model& model_;
  const Table& table_;
  const Summary& summary_;
  const StartMethod method_;
  const uint64_t seed_;
  const std::stop_token stop_;
  const int num_columns_;
  const int num_seeds_;
  const Sample sample_;
  const Seeds seeds_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_START_H_
