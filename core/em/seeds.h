// Seeds of a start: rows of a sample, one per component.
#ifndef EMSERVE_CORE_EM_SEEDS_H_
#define EMSERVE_CORE_EM_SEEDS_H_

#include <cstddef>
#include <stop_token>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/sample.h"
#include "core/runtime/random.h"

namespace emserve {

// Draws seeds from one sample. Immutable: restarts may draw at the same time. Seeds are indices of
// sampled rows.
class Seeds {
 public:
  using TimeIsUp = absl::FunctionRef<bool()>;

  // All arguments outlive it.
  Seeds(const Table& table, const Sample& sample, int num_seeds, std::stop_token stop)
      : table_(table),
        sample_(sample),
        num_columns_(sample.num_columns()),
        num_seeds_(num_seeds),
        stop_(std::move(stop)) {}

  // Per seed a random sampled row whose label leaves its component only; -1 where there is none.
  std::vector<int> Labelled(Random& random) const;

  // Those of `labelled`, and in the place of each -1 a seed drawn by one of the rules below. Once
  // `time_is_up`, asked before each candidate, says yes, the seeds still missing are random
  // distinct rows. FailedPrecondition when fewer rows than seeds can be told apart; Cancelled.
  //
  // Greedy k-means++ (Arthur & Vassilvitskii 2007): each seed is the best of 2 + log K rows drawn
  // by weight times squared distance to the nearest seed so far. O(sample x K log K x columns).
  absl::StatusOr<std::vector<int>> PlusPlus(const std::vector<int>& labelled, Random& random,
                                            TimeIsUp time_is_up) const {
    return Choose(sample_.block(), true, labelled, random, time_is_up);
  }
  // Rows drawn by weight among those that are not seeds yet. O(sample x K x columns).
  absl::StatusOr<std::vector<int>> Rows(const std::vector<int>& labelled, Random& random,
                                        TimeIsUp time_is_up) const {
    return Choose(sample_.block(), false, labelled, random, time_is_up);
  }
  // k-means|| (Bahmani et al. 2012): rounds that each draw about 2 K rows at once by their distance
  // to those drawn before; among all of them, weighted by the rows that are nearest to each, greedy
  // k-means++ chooses. O(sample x K x columns).
  absl::StatusOr<std::vector<int>> Parallel(const std::vector<int>& labelled, Random& random,
                                            TimeIsUp time_is_up) const;

 private:
  // Indices into `rows`, which are the sample or some of it.
  absl::StatusOr<std::vector<int>> Choose(const Block& rows, bool greedy,
                                          const std::vector<int>& labelled, Random& random,
                                          TimeIsUp time_is_up) const;
  absl::Status AddRandom(const Block& rows, Random& random, std::vector<int>& seeds) const;
  absl::Status TooFewRows(size_t distinct) const;

  const Table& table_;
  const Sample& sample_;
  const int num_columns_;
  const int num_seeds_;
  const std::stop_token stop_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_SEEDS_H_
