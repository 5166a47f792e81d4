// An array whose rows are probability vectors, one per component, as a fit updates it.
//
// Apart from simplex.h, which knows one probability vector: here are ties between rows, the
// Dirichlet prior and rows that no data speak for. Chains keep their transitions in it, emissions
// of categories and counts their probabilities.
#ifndef EMSERVE_CORE_EM_SIMPLEX_ROWS_H_
#define EMSERVE_CORE_EM_SIMPLEX_ROWS_H_

#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/em/constraints.h"
#include "core/em/tied_rows.h"

namespace emserve {

// Immutable but for Constrain. Spans are arrays [num_rows, size], row-major.
class SimplexRows {
 public:
  // `name` of the array, for messages. `concentration` >= 1 is that of a symmetric Dirichlet prior
  // on every row, 1: none.
  SimplexRows(std::string name, int num_rows, int64_t size, double concentration);

  // One probability vector, an array [size].
  static SimplexRows Vector(std::string name, int64_t size, double concentration);

  int64_t size() const { return size_; }

  // Takes over constraints on the array. Elements may be fixed one by one and tied within a row and
  // between rows. InvalidArgument "constraints: got ..., must be ..." for those that leave no
  // probability vectors, or with ties between rows none without zeros. O(num_rows x size), but for
  // rows that are tied otherwise than as wholes, element by element: see TiedRows.
  absl::Status Constrain(const Constraints& constraints);

  // Free parameters under the constraints, of all rows or of the active ones: what rows share
  // counts once, if one of them is active.
  int64_t num_free() const;
  int64_t num_free(const std::vector<bool>& active) const;

  // InvalidArgument "<name>[<row>, <i>]: got ..., must be ..." for what is not a probability, is 0
  // where the prior has no density, or further than kSimplexTolerance from the value that it is
  // fixed to, or from the one of another row that it is tied to, unless both rows are tied as
  // wholes; "<name>[<row>]: got a sum of ...".
  absl::Status Validate(std::span<const double> probabilities) const;

  // Even probabilities under the constraints.
  void SetUniform(std::span<double> probabilities) const;

  // next = argmax sum counts log p + LogPrior(p) under the constraints. Rows with keep[row] stay as
  // they are `now`, unless a row that they are tied to moves. A row without any count and without a
  // prior stays too. O(num_rows x size), but for ties between rows as Constrain; Cancelled soon
  // after `stop` is requested.
  absl::Status Maximize(std::span<const double> counts, std::span<const char> keep,
                        std::span<const double> now, std::span<double> next,
                        const std::stop_token& stop) const;

  // (concentration - 1) sum log p over the elements that are not fixed, nats.
  double LogPrior(std::span<const double> probabilities) const;

  // Logarithms, -infinity of 0; back, rows are rescaled to sum to 1, and tied ones are the maximum
  // of the numbers as counts.
  void ToCoordinates(std::span<const double> probabilities, std::span<double> coordinates) const;
  void FromCoordinates(std::span<const double> coordinates, std::span<double> probabilities) const;

 private:
  // Rows that ties join otherwise than as wholes.
  struct Joined {
    std::vector<int> rows;       // ascending
    std::vector<int> group;      // [rows, size] of each element, or kFixed
    std::vector<int64_t> first;  // [groups] first element of each
    TiedRows values;
  };
  static constexpr int kFixed = -1;
  static constexpr int kJoined = -1;  // as a source

  absl::Status Join(const Constraints& constraints, std::vector<int> rows);
  // Calls body(element, its group) for all that are not fixed.
  template <typename Body>
  void ForEachFree(const Joined& joined, Body body) const;
  // Joined rows of `next`, from sums of counts and from values of the groups.
  absl::Status MaximizeJoined(const Joined& joined, std::span<const double> sums,
                              std::span<const double> now, std::span<double> next,
                              const std::stop_token& stop) const;
  const Constraints& OfRow(int row) const { return of_rows_.empty() ? none_ : of_rows_[row]; }
  // The first row that `row` is tied to, itself if there is none before it; or kJoined.
  int Source(int row) const { return source_.empty() ? row : source_[row]; }
  std::string Element(int64_t i) const;
  std::string Row(int row) const;

  const std::string name_;
  bool is_vector_ = false;
  const int num_rows_;
  const int64_t size_;
  const double concentration_;
  const Constraints none_;
  std::vector<int> source_;  // [num_rows], or empty: no constraints
  std::vector<Constraints>
      of_rows_;  // [num_rows] of the source's elements or, joined, its own; or empty
  std::vector<Joined> joined_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_SIMPLEX_ROWS_H_
