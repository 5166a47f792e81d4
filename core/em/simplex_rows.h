// An array whose rows are probability vectors, one per component, as a fit updates it.
//
// Apart from simplex.h, which knows one probability vector: here are ties between rows, the
// Dirichlet prior and rows that no data speak for. Emissions of categories and counts keep their
// probabilities in it.
#ifndef EMSERVE_CORE_EM_SIMPLEX_ROWS_H_
#define EMSERVE_CORE_EM_SIMPLEX_ROWS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/em/constraints.h"

namespace emserve {

// Immutable but for Constrain. Spans are arrays [num_rows, size], row-major.
class SimplexRows {
 public:
  // `name` of the array, for messages. `concentration` >= 1 is that of a symmetric Dirichlet prior
  // on every row, 1: none.
  SimplexRows(std::string name, int num_rows, int64_t size, double concentration);

  int64_t size() const { return size_; }

  // Takes over constraints on the array. Elements may be fixed one by one and tied within a row; a
  // row may be tied to another as a whole, element by element, with the elements that both have
  // fixed at the same values left out. InvalidArgument "constraints: got ..., must be ..." for
  // other ties and for fixed values that leave no probability vector. O(num_rows x size).
  absl::Status Constrain(const Constraints& constraints);

  // InvalidArgument "<name>[<row>, <i>]: got ..., must be ..." for what is not a probability, or is
  // 0 where the prior has no density; "<name>[<row>]: got a sum of ...".
  absl::Status Validate(std::span<const double> probabilities) const;

  // Even probabilities under the constraints.
  void SetUniform(std::span<double> probabilities) const;

  // next = argmax sum counts log p + LogPrior(p) under the constraints. Rows with keep[row] stay as
  // they are `now`, unless a row that they are tied to moves. A row without any count and without a
  // prior stays too. O(num_rows x size); quadratic in the number of tie groups of a row.
  void Maximize(std::span<const double> counts, std::span<const char> keep,
                std::span<const double> now, std::span<double> next) const;

  // (concentration - 1) sum log p over the elements that are not fixed, nats.
  double LogPrior(std::span<const double> probabilities) const;

  // Logarithms, -infinity of 0; back, rows are rescaled to sum to 1.
  void ToCoordinates(std::span<const double> probabilities, std::span<double> coordinates) const;
  void FromCoordinates(std::span<const double> coordinates, std::span<double> probabilities) const;

 private:
  const Constraints& OfRow(int row) const { return of_rows_.empty() ? none_ : of_rows_[row]; }
  // The first row that `row` is tied to, itself if there is none before it.
  int Source(int row) const { return source_.empty() ? row : source_[row]; }
  std::string Element(int64_t i) const;
  std::string Row(int row) const;

  const std::string name_;
  const int num_rows_;
  const int64_t size_;
  const double concentration_;
  const Constraints none_;
  std::vector<int> source_;           // [num_rows], or empty: no constraints
  std::vector<Constraints> of_rows_;  // [num_rows] of the source's elements, or empty
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_SIMPLEX_ROWS_H_
