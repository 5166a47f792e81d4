// Emissions whose columns are independent within a component.
//
// Everything that such emissions share lives here and is written once: parameters [K, D], blocks,
// missing cells, constraints, repairs, coordinates, conditionals. A distribution adds what one cell
// needs, as a Univariate.
#ifndef EMSERVE_CORE_DISTRIBUTION_COLUMNS_H_
#define EMSERVE_CORE_DISTRIBUTION_COLUMNS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"
#include "core/distribution/univariate.h"

namespace emserve {

// The emission of `num_components` components whose columns are independent `univariate`s.
//
// Parameters: the univariate's, each [K, D]. Statistics: "observed" [K, D], the weight with which a
// cell was observed, and the univariate's sums, each [K, D]. Missing cells are left out of both
// density and statistics, which is what integrating them out comes to.
//
// - A cell with an observed weight below 1e-10 of an average row keeps its old parameters. Its
//   component is reported: with kComponentEmpty if its occupancy is as small, otherwise with
//   kCellsUnobserved and the least weight of its cells.
// - Priors are per cell (k, d): where a tie makes one parameter serve m cells, it has m priors.
// - Constraints: any fixed or tied elements. Cells tied in all parameters are pooled and maximised
//   like one; other cells under constraints by coordinate ascent over their free parameters, where
//   one that a cell has for itself follows the others in closed form.
// - Parameters that a maximisation leaves at their limits are reported by component, with the
//   largest variance, in squared data units, that a cell has because of it.
//
// FailedPrecondition "columns[<name>]: got ..., must ..." for a column without observed cells or
// whose extremes are outside the support; InvalidArgument if the parameters do not fit in 16 GiB.
// E-step O(rows x K x D) cell densities; M-step O(K x D) closed forms.
absl::StatusOr<std::unique_ptr<Emission>> MakeColumns(std::unique_ptr<Univariate> univariate,
                                                      int num_components, const Summary& summary,
                                                      const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_COLUMNS_H_
