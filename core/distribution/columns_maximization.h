// The M-step of emissions with independent columns, under constraints on any elements.
//
// Apart from columns.cc, which does everything that happens block by block.
#ifndef EMSERVE_CORE_DISTRIBUTION_COLUMNS_MAXIMIZATION_H_
#define EMSERVE_CORE_DISTRIBUTION_COLUMNS_MAXIMIZATION_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "core/distribution/univariate.h"
#include "core/em/constraints.h"

namespace emserve {

// Cells (k, d) are numbered c = k D + d, elements of the parameters p K D + c, those of the
// statistics s K D + c with the observed weights as s = 0. Immutable; the univariate outlives it.
class ColumnsMaximization {
 public:
  ColumnsMaximization(const Univariate& univariate, int num_components, int num_columns,
                      Constraints constraints);

  const Constraints& constraints() const { return constraints_; }
  // Where a fit keeps an element: the limits of its column, and of all that it is tied to.
  Range RangeOf(int64_t element) const;

  // Writes the maximiser to `next`; cells with an observed weight of at most `empty` keep their
  // parameters unless they are tied to others. Cancelled when `stop` asks for it.
  absl::Status Maximize(std::span<const double> params, std::span<const double> stats, double empty,
                        std::span<double> next, const std::stop_token& stop) const;

 private:
  // A free parameter that several cells share, or one cell has for itself.
  struct Group {
    int parameter = 0;
    std::vector<size_t> members;  // indices in the set's cells
  };
  // Cells that ties connect, directly or through others.
  struct Set {
    std::vector<int64_t> cells;
    bool pooled = false;  // one tie or one fixed value for all cells in every parameter
    std::vector<Group> groups;
  };
  class Work;

  int64_t Element(int p, int64_t cell) const { return p * num_cells_ + cell; }
  bool SharesAll(const std::vector<int64_t>& cells) const;
  std::vector<Group> GroupsOf(const std::vector<int64_t>& cells) const;
  void MaximizePool(std::span<const int64_t> cells, const Work& work, std::span<double> next) const;
  void Ascend(const Set& set, const Work& work, std::span<double> next,
              const std::stop_token& stop) const;

  const Univariate& univariate_;
  const int num_columns_;
  const int num_parameters_;
  const int num_sums_;  // with the observed weight
  const int64_t num_cells_;
  const Constraints constraints_;
  std::vector<Range> limits_;  // [P, D]
  std::vector<Range> ranges_;  // [P, K, D], or empty without constraints
  std::vector<Set> sets_;      // all cells, or empty without constraints
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_COLUMNS_MAXIMIZATION_H_
